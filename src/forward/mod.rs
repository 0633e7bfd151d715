//! A separate port passed through: whatever comes in on it goes to the app untouched, and back.
//!
//! Its connections have places of their own, so that they can never take one from a probe.

mod places;
mod relay;

use core::net::IpAddr;
use core::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use rustix::io::Errno;
use smol::LocalExecutor;

use crate::config::Forward;
use crate::limits;
use crate::net::{Listener, Reactor, Socket};
use crate::probe::Failure;

pub use places::Places;

/// What the owner of the forwards is told; `index` is the forward's number.
pub trait Events {
    /// The target could be reached.
    fn target_reached(&self, index: usize);
    /// The target could not be reached; the client was reset.
    fn target_failed(&self, index: usize, failure: Failure);
    /// No place was left; the newest client was reset.
    fn all_taken(&self, index: usize);
    /// No connection could be accepted, for want of descriptors or memory.
    fn accept_failed(&self, error: Errno);
}

/// One forward that listens.
pub struct Entry {
    /// Its number, as [`Places`] and [`Events`] count them.
    pub index: usize,
    /// Where its clients come in.
    pub listener: Listener,
    /// What was configured.
    pub forward: Forward,
    /// The address the target is dialled from, if not the kernel's choice.
    pub source: Option<IpAddr>,
}

/// Accepts and passes through to the target, for good. A connection gets a task of its own: forwards
/// live long and are few, so its memory goes when it goes.
pub async fn serve(
    entry: Entry,
    reactor: Rc<Reactor>,
    executor: Rc<LocalExecutor<'static>>,
    places: Rc<Places>,
    events: Rc<dyn Events>,
) {
    let Entry {
        index,
        listener,
        forward,
        source,
    } = entry;
    loop {
        let client = match listener.accept().await {
            Ok(client) => client,
            Err(error) => {
                events.accept_failed(error);
                listener.back_off().await;
                continue;
            }
        };
        let Some(place) = places.take(index) else {
            events.all_taken(index);
            client.reset();
            continue;
        };
        let (reactor, events) = (reactor.clone(), events.clone());
        let connection = async move {
            let _place = place;
            match dial(&reactor, &forward, source).await {
                Ok(app) => {
                    events.target_reached(index);
                    client.send_at_once();
                    app.send_at_once();
                    relay::relay(&reactor, client, app).await;
                }
                Err(failure) => {
                    events.target_failed(index, failure);
                    client.reset();
                }
            }
        };
        executor.spawn(connection).detach();
    }
}

/// The target first: only when it stands is there anything to pass a byte to. One that accepts and
/// resets before that is seen has hung up, and failed.
async fn dial(
    reactor: &Rc<Reactor>,
    forward: &Forward,
    source: Option<IpAddr>,
) -> Result<Socket, Failure> {
    let app = Socket::connect(reactor, forward.target, source)?;
    let deadline = Instant::now() + limits::FORWARD_CONNECT_TIME;
    match reactor.before(deadline, pin!(app.connected())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(Failure::Deadline),
    }
    Ok(app)
}
