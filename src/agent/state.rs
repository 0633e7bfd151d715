//! The state that all tasks of the agent share.

use core::net::IpAddr;
use std::rc::Rc;

use super::forward_log::{ForwardState, forward_filters};
use super::log_events::EventLog;
use super::metrics::{Metrics, Rejection};
use super::probe_log::Health;
use super::slots::Slots;
use crate::config::Config;
use crate::forward::ForwardConnections;
use crate::net::Reactor;
use crate::net::tls::Tls;
use crate::probe::Dialler;
use crate::telemetry::ChangeFilters;

/// The state that all tasks of the agent share.
pub struct Agent {
    pub config: Config,
    pub reactor: Rc<Reactor>,
    pub dialler: Dialler,
    pub slots: Slots,
    /// Those of each forward.
    pub forward_connections: Box<[Rc<ForwardConnections>]>,
    pub metrics: Metrics,
    pub log: EventLog,
    pub probe_filters: ChangeFilters<Health>,
    pub forward_filters: ChangeFilters<ForwardState>,
}

impl Agent {
    /// An agent without connections.
    pub fn new(config: Config, reactor: Rc<Reactor>, tls: Rc<Tls>) -> Agent {
        let (probers, forwards) = (config.probers.len(), config.forwards.len());
        let forward_ports = config.forwards.iter().map(|forward| forward.listen.port);
        Agent {
            dialler: Dialler {
                reactor: reactor.clone(),
                target: config.target,
                source: config.source,
                own_ports: forward_ports.chain([config.status.port]).collect(),
                tls,
                observer: None,
            },
            slots: Slots::new(config.capacity),
            forward_connections: (0..forwards)
                .map(|_| ForwardConnections::new(config.capacity.forward_connections))
                .collect(),
            metrics: Metrics::new(probers),
            log: EventLog::new(config.log),
            probe_filters: ChangeFilters::new(probers, None),
            forward_filters: forward_filters(forwards),
            reactor,
            config,
        }
    }

    /// Counts and logs a connection to `port` that was reset, because its peer is in no network of `--allow-from`.
    pub fn count_peer_not_allowed(&self, port: u16, peer: IpAddr) {
        self.metrics.count_rejection(Rejection::PeerNotAllowed);
        self.log.peer_not_allowed(port, peer);
    }

    /// Number of open connections, to the status port and to the forwards.
    pub fn open_connections(&self) -> usize {
        self.slots.open_connections() + self.open_forward_connections()
    }

    /// Number of open connections of all forwards.
    pub fn open_forward_connections(&self) -> usize {
        let forwards = self.forward_connections.iter();
        forwards.map(|forward| forward.open_connections()).sum()
    }
}
