//! Accepts the connections of a forward and connects each to the target.

use core::net::{IpAddr, SocketAddr};
use core::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use rustix::io::Errno;
use smol::LocalExecutor;

use super::connections::{Admission, ConnectionEntry, ConnectionTable};
use super::relay::{PlainRelayEnd, relay};
use crate::config::{AllowFrom, Forward};
use crate::limits;
use crate::net::{Accepted, Elapsed, Listener, Reactor, Socket};
use crate::probe::Failure;

/// Observes what listeners accept; `index` is the number of the forward or of the inbound port.
pub trait AcceptObserver {
    /// The client was reset, because its address is in no network of `--allow-from`.
    fn peer_not_allowed(&self, index: usize, peer: IpAddr);
    /// No connection could be accepted, for lack of descriptors or memory.
    fn accept_failed(&self, index: usize, error: Errno);
}

/// Observes the connections of all forwards; `index` is the forward's number.
pub trait ForwardObserver: AcceptObserver {
    /// The target was reached.
    fn connected(&self, index: usize);
    /// The target was not reached; the client was reset.
    fn connect_failed(&self, index: usize, failure: Failure);
    /// A connection of the client `evicted` was reset for a new one: the forward is full.
    fn connection_evicted(&self, index: usize, evicted: IpAddr);
    /// The forward is full and no connection may be evicted; the new client was reset.
    fn limit_reached(&self, index: usize);
}

/// Waits for a connection of an allowed peer, and accepts it.
pub(super) async fn accept_allowed(
    listener: &Listener,
    allow_from: &AllowFrom,
    index: usize,
    observer: &dyn AcceptObserver,
) -> Accepted {
    loop {
        match listener.accept().await {
            Ok(accepted) if allow_from.permits(accepted.peer) => return accepted,
            Ok(accepted) => {
                observer.peer_not_allowed(index, accepted.peer);
                accepted.socket.reset();
            }
            Err(error) => {
                observer.accept_failed(index, error);
                listener.back_off().await;
            }
        }
    }
}

/// One forward that listens.
pub struct ForwardListener {
    /// Its number for the [`ForwardObserver`].
    pub index: usize,
    /// Its open connections.
    pub connections: Rc<ConnectionTable>,
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
    observer: Rc<dyn ForwardObserver>,
) {
    let ForwardListener {
        index,
        connections,
        listener,
        forward,
        source,
        allow_from,
    } = forward_listener;
    loop {
        let accepted = accept_allowed(&listener, &allow_from, index, &*observer).await;
        let Some(Admission { entry, evicted }) = admit(&connections, accepted.peer, &reactor).await
        else {
            observer.limit_reached(index);
            accepted.socket.reset();
            continue;
        };
        if let Some(evicted) = evicted {
            observer.connection_evicted(index, evicted);
        }
        let connection = ForwardedConnection {
            index,
            client: accepted.socket,
            entry,
            forward,
            source,
        };
        let task = connection.run(reactor.clone(), observer.clone());
        executor.spawn(task).detach();
    }
}

/// Admits a connection. Before it is refused, the connections whose clients have already gone are removed: their events
/// may be reported together with the new connection.
pub(super) async fn admit(
    connections: &Rc<ConnectionTable>,
    peer: IpAddr,
    reactor: &Reactor,
) -> Option<Admission> {
    let now = Instant::now();
    if let Some(admission) = connections.admit(peer, now) {
        return Some(admission);
    }
    // A timer fires after the events that are already there have woken their tasks.
    reactor.sleep_until(now).await;
    connections.admit(peer, now)
}

/// An admitted connection.
struct ForwardedConnection {
    index: usize,
    client: Socket,
    entry: ConnectionEntry,
    forward: Forward,
    source: Option<IpAddr>,
}

impl ForwardedConnection {
    async fn run(self, reactor: Rc<Reactor>, observer: Rc<dyn ForwardObserver>) {
        let ForwardedConnection {
            index,
            client,
            entry,
            forward,
            source,
        } = self;
        let connecting = pin!(connect(&reactor, forward.target, source, None));
        let app = match entry.unless_evicted(connecting).await {
            Some(Ok(app)) => app,
            Some(Err(failure)) => {
                observer.connect_failed(index, failure);
                return client.reset();
            }
            None => return client.reset(),
        };
        entry.record_connected();
        observer.connected(index);
        client.set_nodelay();
        app.set_nodelay();
        let end = {
            let relaying = pin!(relay(&reactor, &client, &app, &entry));
            entry.unless_evicted(relaying).await
        };
        if end != Some(PlainRelayEnd::Complete) {
            client.reset();
            app.reset();
        }
    }
}

/// Connects to the target before anything is read from the client. A target that accepts and
/// immediately resets has failed, too.
pub(super) async fn connect(
    reactor: &Rc<Reactor>,
    target: SocketAddr,
    source: Option<IpAddr>,
    buffers: Option<usize>,
) -> Result<Socket, Failure> {
    let app = Socket::start_connect_with(reactor, target, source, buffers)?;
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
