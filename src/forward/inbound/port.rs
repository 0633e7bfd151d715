//! What the connections of an inbound port share, and the tables of the connections of all ports.

use core::net::IpAddr;
use core::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use super::result::{InboundObserver, InboundResult};
use crate::config::Inbound;
use crate::forward::connections::{ConnectionEntry, ConnectionTable};
use crate::limits;
use crate::net::tls::TlsAcceptor;
use crate::net::{FairShares, Reactor, Semaphore, Socket};

/// The connections of all inbound ports.
pub struct InboundTables {
    /// Those in their handshake.
    pub handshakes: Rc<ConnectionTable>,
    /// Those whose peers are authorized.
    pub established: Rc<ConnectionTable>,
    /// The bytes of long handshakes.
    pub long_handshakes: Rc<Semaphore<FairShares>>,
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
            handshakes: ConnectionTable::new(limits::INBOUND_HANDSHAKES),
            established: ConnectionTable::new(limit),
            long_handshakes: Semaphore::new(FairShares::of(limits::INBOUND_LONG_HANDSHAKES_BYTES)),
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

    /// Ends our side, and discards the client's bytes until it ends its own: a reset could overtake the alert.
    pub(super) async fn linger(&self, client: &Socket, entry: &ConnectionEntry) {
        client.shutdown();
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
