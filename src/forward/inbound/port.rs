//! What the connections of an inbound port share, and the tables of the connections of all ports.

use core::cell::RefCell;
use core::future::poll_fn;
use core::net::IpAddr;
use core::pin::pin;
use core::task::Poll;
use std::rc::Rc;
use std::time::Instant;

use super::bulk::BulkShared;
use super::result::{InboundObserver, InboundResult};
use crate::config::Inbound;
use crate::forward::Sender;
use crate::forward::connections::{ConnectionEntry, ConnectionTable};
use crate::forward::relay::unless_stuck;
use crate::limits;
use crate::net::tls::{TlsAcceptor, TlsServerStream};
use crate::net::{FairShares, Reactor, Semaphore, Socket};

/// The connections of all inbound ports.
pub struct InboundTables {
    /// Those in their handshake.
    pub handshakes: Rc<ConnectionTable>,
    /// Those whose peers are authorized.
    pub established: Rc<ConnectionTable>,
    /// The address of each of those that wait until they are admitted for their handshake.
    pub(super) waiting: RefCell<Vec<IpAddr>>,
    /// The bytes of long handshakes.
    pub long_handshakes: Rc<Semaphore<FairShares>>,
    /// For bulk data.
    pub(super) bulk: Rc<BulkShared>,
}

/// What the connections of a port share.
pub(super) struct Port {
    pub(super) index: usize,
    pub(super) tables: Rc<InboundTables>,
    pub(super) inbound: Inbound,
    pub(super) acceptor: TlsAcceptor,
    pub(super) reactor: Rc<Reactor>,
    pub(super) observer: Rc<dyn InboundObserver>,
}

impl InboundTables {
    /// No connections, and at most `limit` of them later.
    pub fn new(limit: usize) -> InboundTables {
        InboundTables {
            handshakes: ConnectionTable::for_handshakes(limits::INBOUND_HANDSHAKES),
            established: ConnectionTable::new(limit),
            waiting: RefCell::default(),
            long_handshakes: Semaphore::new(FairShares::of(limits::INBOUND_LONG_HANDSHAKES_BYTES)),
            bulk: Rc::default(),
        }
    }

    /// Number of open connections, those in their handshake included.
    pub fn open_connections(&self) -> usize {
        self.handshakes.open_connections() + self.established.open_connections()
    }
}

impl Port {
    pub(super) fn decided(&self, peer: IpAddr, result: InboundResult, id: Option<&str>) {
        self.observer.decided(self.index, peer, result, id);
    }

    /// Sends the client the encrypted bytes that wait, and ends the connection as the app has ended its own. The client's
    /// bytes are discarded meanwhile: a client that reads only after it has sent all would otherwise never read.
    pub(super) async fn deliver(
        &self,
        peer: IpAddr,
        mut client: Box<TlsServerStream>,
        entry: &ConnectionEntry,
        is_reset: bool,
    ) {
        let mut discarded = 0;
        let flushed = {
            let flushing = pin!(poll_fn(|cx| {
                let waiting = client.outgoing_bytes();
                let flushed = client.poll_flush(cx);
                if client.outgoing_bytes() < waiting {
                    entry.record_bytes(Sender::App);
                }
                while flushed.is_pending() && discarded < limits::LINGER_BYTES {
                    let read = |buf: &mut [u8]| client.socket().poll_read(cx, buf);
                    match self.reactor.with_scratch(read) {
                        Poll::Ready(Ok(len @ 1..)) => discarded += len,
                        _ => break,
                    }
                }
                flushed
            }));
            let limited = pin!(unless_stuck(&self.reactor, entry, flushing));
            entry.unless_evicted(limited).await
        };
        match flushed {
            Some(Some(Ok(()))) if is_reset => self.discard(client.socket(), entry).await,
            Some(Some(Ok(()))) => return self.linger(client.socket(), entry).await,
            Some(_) => {}
            None => self.observer.evicted(self.index, peer),
        }
        client.into_socket().reset();
    }

    /// Ends our side, and discards the client's bytes until it ends its own: a reset could overtake the alert.
    pub(super) async fn linger(&self, client: &Socket, entry: &ConnectionEntry) {
        client.shutdown();
        self.discard(client, entry).await;
    }

    /// Discards the client's bytes until it ends its side, for a short time.
    async fn discard(&self, client: &Socket, entry: &ConnectionEntry) {
        let deadline = Instant::now() + limits::LINGER_TIMEOUT;
        let discarding = pin!(async {
            let mut discarded = 0;
            while discarded < limits::LINGER_BYTES {
                match client.read_with(<[u8]>::len).await {
                    Ok(len @ 1..) => discarded += len,
                    Ok(0) | Err(_) => return,
                }
            }
        });
        let lingering = pin!(self.reactor.timeout_at(deadline, discarding));
        let _ = entry.unless_evicted(lingering).await;
    }
}
