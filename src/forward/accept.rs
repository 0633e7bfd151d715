//! Accepts the connections of a forward and connects each to the target.

use core::net::IpAddr;
use core::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use rustix::io::Errno;
use smol::LocalExecutor;

use super::permits::ForwardPermits;
use super::relay;
use crate::config::{AllowFrom, Forward};
use crate::limits;
use crate::net::{Elapsed, Listener, Reactor, Socket};
use crate::probe::Failure;

/// Observes the connections of all forwards; `index` is the forward's number.
pub trait ForwardObserver {
    /// The client was reset, because its address is not in [`ForwardListener::allow_from`].
    fn peer_not_allowed(&self, index: usize, peer: IpAddr);
    /// The target was reached.
    fn connected(&self, index: usize);
    /// The target was not reached; the client was reset.
    fn connect_failed(&self, index: usize, failure: Failure);
    /// No permit was free; the new client was reset.
    fn permits_exhausted(&self, index: usize);
    /// No connection could be accepted, for lack of descriptors or memory.
    fn accept_failed(&self, index: usize, error: Errno);
}

/// One forward that listens.
pub struct ForwardListener {
    /// Its number in [`ForwardPermits`] and for the [`ForwardObserver`].
    pub index: usize,
    /// Accepts its clients.
    pub listener: Listener,
    /// Its settings.
    pub forward: Forward,
    /// The address to connect to the target from, if not the kernel's choice.
    pub source: Option<IpAddr>,
    /// The peers that may connect.
    pub allow_from: AllowFrom,
}

/// Accepts and relays until the task is dropped. One task per connection instead of reusable slots: connections are few
/// and long, so their memory should be freed at their end.
pub async fn accept_loop(
    forward_listener: ForwardListener,
    reactor: Rc<Reactor>,
    executor: Rc<LocalExecutor<'static>>,
    permits: Rc<ForwardPermits>,
    observer: Rc<dyn ForwardObserver>,
) {
    let ForwardListener {
        index,
        listener,
        forward,
        source,
        allow_from,
    } = forward_listener;
    loop {
        let client = match listener.accept().await {
            Ok(accepted) if !allow_from.permits(accepted.peer) => {
                observer.peer_not_allowed(index, accepted.peer);
                accepted.socket.reset();
                continue;
            }
            Ok(accepted) => accepted.socket,
            Err(error) => {
                observer.accept_failed(index, error);
                listener.back_off().await;
                continue;
            }
        };
        let Some(permit) = permits.try_acquire(index) else {
            observer.permits_exhausted(index);
            client.reset();
            continue;
        };
        let (reactor, observer) = (reactor.clone(), observer.clone());
        let connection = async move {
            let _permit = permit;
            match connect(&reactor, &forward, source).await {
                Ok(app) => {
                    observer.connected(index);
                    client.set_nodelay();
                    app.set_nodelay();
                    relay::relay(&reactor, client, app).await;
                }
                Err(failure) => {
                    observer.connect_failed(index, failure);
                    client.reset();
                }
            }
        };
        executor.spawn(connection).detach();
    }
}

/// Connects to the target before anything is read from the client. A target that accepts and
/// immediately resets has failed, too.
async fn connect(
    reactor: &Rc<Reactor>,
    forward: &Forward,
    source: Option<IpAddr>,
) -> Result<Socket, Failure> {
    let app = Socket::start_connect(reactor, forward.target, source)?;
    let deadline = Instant::now() + limits::FORWARD_CONNECT_TIMEOUT;
    match reactor
        .timeout_at(deadline, pin!(app.wait_connected()))
        .await
    {
        Ok(connected) => connected?,
        Err(Elapsed) => return Err(Failure::Unreachable),
    }
    Ok(app)
}
