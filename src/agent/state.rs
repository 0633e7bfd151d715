//! The state that all tasks of the agent share.

use core::cell::RefCell;
use core::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use super::forward_log::{ForwardState, forward_filters};
#[cfg(feature = "tls")]
use super::inbound_ports::InboundPorts;
use super::log_events::EventLog;
use super::metrics::{Metrics, Rejection};
use super::probe_log::Health;
use super::prober_queue::ProberQueue;
use super::resources::SlotCapacity;
use super::slots::{Slots, WaitingRequest};
use crate::config::{Config, Prober};
use crate::forward::ConnectionTable;
use crate::net::tls::Tls;
use crate::net::{Alarm, Reactor};
use crate::probe::Dialler;
use crate::telemetry::ChangeFilters;

/// The state that all tasks of the agent share.
pub struct Agent {
    pub config: Config,
    pub reactor: Rc<Reactor>,
    pub dialler: Dialler,
    pub slot_capacity: SlotCapacity,
    pub slots: Slots,
    /// Those of each forward.
    pub forward_connections: Box<[Rc<ConnectionTable>]>,
    /// The inbound ports, if there are any.
    #[cfg(feature = "tls")]
    pub inbound: Option<Rc<InboundPorts>>,
    /// The queue of each prober.
    pub queues: RefCell<Box<[ProberQueue<WaitingRequest>]>>,
    /// When the next waiting request expires.
    pub next_expiry: Alarm,
    pub metrics: Metrics,
    pub log: EventLog,
    pub probe_filters: ChangeFilters<Health>,
    pub forward_filters: ChangeFilters<ForwardState>,
}

impl Agent {
    /// An agent without connections.
    pub fn new(
        config: Config,
        slot_capacity: SlotCapacity,
        reactor: Rc<Reactor>,
        tls: Rc<Tls>,
    ) -> Agent {
        let (probers, forwards) = (config.probers.len(), config.forwards.len());
        let metrics = Metrics::new(probers);
        #[cfg(feature = "tls")]
        let metrics = match config.inbounds.is_empty() {
            true => metrics,
            false => metrics.with_inbound(&config.inbounds),
        };
        Agent {
            dialler: Dialler {
                reactor: reactor.clone(),
                target: config.target,
                source: config.source,
                own_listeners: config.listeners().collect(),
                tls,
                observer: None,
                connector: None,
            },
            slot_capacity,
            slots: Slots::new(slot_capacity.slots(probers), slot_capacity.pool),
            queues: RefCell::new((0..probers).map(|_| ProberQueue::new()).collect()),
            next_expiry: Alarm::default(),
            forward_connections: (0..forwards)
                .map(|_| ConnectionTable::new(slot_capacity.forward_connections))
                .collect(),
            #[cfg(feature = "tls")]
            inbound: (!config.inbounds.is_empty()).then(|| {
                InboundPorts::new(config.inbounds.len(), slot_capacity.inbound_connections)
            }),
            metrics,
            log: EventLog::new(config.log),
            probe_filters: ChangeFilters::new(probers, None),
            // Most agents have no forwards, whose code is in the cold section (`.cargo/layout.ld`).
            forward_filters: match forwards {
                0 => ChangeFilters::empty(),
                _ => forward_filters(forwards),
            },
            reactor,
            config,
        }
    }

    /// Counts and logs a connection to `port` that was reset, because its peer is in no network of `--allow-from`.
    pub fn count_peer_not_allowed(&self, port: u16, peer: IpAddr) {
        self.metrics.count_rejection(Rejection::PeerNotAllowed);
        self.log.peer_not_allowed(port, peer);
    }

    /// Number of open connections, to the status port, to the forwards and to the inbound ports.
    pub fn open_connections(&self) -> usize {
        #[cfg(feature = "tls")]
        let inbound = self.open_inbound_connections();
        #[cfg(not(feature = "tls"))]
        let inbound = 0;
        self.open_status_connections() + self.open_forward_connections() + inbound
    }

    /// Logs and counts the files of TLS that were read, or could not be.
    pub fn log_reloads(&self) {
        if self.dialler.tls.has_files() {
            self.log_pending_reloads();
        }
    }

    /// Number of open connections to the status port, those that wait included.
    pub fn open_status_connections(&self) -> usize {
        let queues = self.queues.borrow();
        let waiting: usize = queues.iter().map(ProberQueue::waiting).sum();
        self.slots.open_connections() + waiting
    }

    /// When the outcome of a probe is due.
    pub fn due(&self, prober: &Prober, accepted_at: Instant) -> Instant {
        accepted_at + prober.timeout - self.config.deadline_margin
    }

    /// Number of open connections of all forwards.
    pub fn open_forward_connections(&self) -> usize {
        let forwards = self.forward_connections.iter();
        forwards.map(|forward| forward.open_connections()).sum()
    }
}
