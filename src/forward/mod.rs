//! A separate port passed through: whatever comes in on it goes to the app untouched, and back.
//!
//! Its connections have places of their own, so that they can never take one from a probe.

mod relay;

use core::cell::Cell;
use core::net::IpAddr;
use core::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use rustix::io::Errno;
use smol::LocalExecutor;

use crate::config::Forward;
use crate::limits;
use crate::net::{Listener, Reactor, Socket, is_out_of_descriptors};

/// What the owner of the forwards is told.
pub trait Events {
    /// The target could not be reached; the client was reset.
    fn target_failed(&self, forward: &Forward, error: Errno);
    /// All places were taken; the newest client was reset.
    fn all_taken(&self, forward: &Forward);
    /// No connection could be accepted, for want of descriptors or memory.
    fn accept_failed(&self, error: Errno);
}

/// The places of all forwards together.
pub struct Places {
    open: Cell<usize>,
    most: usize,
}

impl Places {
    /// `most` connections at once.
    pub fn new(most: usize) -> Rc<Places> {
        Rc::new(Places {
            open: Cell::new(0),
            most,
        })
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    fn take(self: &Rc<Places>) -> Option<Place> {
        if self.open.get() >= self.most {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Place(self.clone()))
    }
}

/// One place; given back on drop.
struct Place(Rc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

/// Accepts on `listener` and passes through to `forward.target`, for good. A connection gets a task of
/// its own: forwards live long and are few, so its memory goes when it goes. `source` is the address
/// the target is dialled from, if not the kernel's choice.
pub async fn serve(
    reactor: Rc<Reactor>,
    executor: Rc<LocalExecutor<'static>>,
    listener: Listener,
    forward: Forward,
    source: Option<IpAddr>,
    places: Rc<Places>,
    events: Rc<dyn Events>,
) {
    loop {
        let client = match listener.accept().await {
            Ok(client) => client,
            Err(error) => {
                events.accept_failed(error);
                listener.rest().await;
                continue;
            }
        };
        let Some(place) = places.take() else {
            events.all_taken(&forward);
            client.reset();
            continue;
        };
        let (reactor, events) = (reactor.clone(), events.clone());
        let connection = async move {
            let _place = place;
            match dial(&reactor, &forward, source).await {
                Ok(app) => relay::relay(&reactor, client, app).await,
                Err(error) => {
                    events.target_failed(&forward, error);
                    client.reset();
                }
            }
        };
        executor.spawn(connection).detach();
    }
}

/// The target first: only when it stands is there anything to pass a byte to.
async fn dial(
    reactor: &Rc<Reactor>,
    forward: &Forward,
    source: Option<IpAddr>,
) -> Result<Socket, Errno> {
    let app = Socket::connect(reactor, forward.target, source)?;
    let deadline = Instant::now() + limits::FORWARD_CONNECT_TIME;
    let connected = reactor.before(deadline, pin!(app.connected())).await;
    match connected {
        Ok(result) => result.map(|()| app),
        Err(_) => Err(Errno::TIMEDOUT),
    }
}

/// The word for why a target failed.
pub fn reason(error: Errno) -> &'static str {
    match error {
        Errno::CONNREFUSED => "refused",
        Errno::TIMEDOUT => "deadline",
        error if is_out_of_descriptors(error) => "no_descriptors",
        _ => "unreachable",
    }
}
