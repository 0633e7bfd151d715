//! The state that all tasks of the agent share.

use std::rc::Rc;

use rustix::io::Errno;

use super::forward_log::{ForwardState, forward_filters, log_forward};
use super::log_events::EventLog;
use super::metrics::Metrics;
use super::probe_log::Health;
use super::slots::Slots;
use crate::config::Config;
use crate::forward::{ForwardObserver, ForwardPermits, ForwardShares};
use crate::net::Reactor;
use crate::net::tls::Tls;
use crate::probe::{Dialler, Failure};
use crate::telemetry::ChangeFilters;

/// The state that all tasks of the agent share.
pub struct Agent {
    pub config: Config,
    pub reactor: Rc<Reactor>,
    pub dialler: Dialler,
    pub slots: Slots,
    pub forward_permits: Rc<ForwardPermits>,
    pub metrics: Metrics,
    pub log: EventLog,
    pub probe_filters: ChangeFilters<Health>,
    forward_filters: ChangeFilters<ForwardState>,
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
            forward_permits: ForwardPermits::new(ForwardShares::new(
                config.capacity.forward_connections,
                forwards,
            )),
            metrics: Metrics::new(probers),
            log: EventLog::new(config.log),
            probe_filters: ChangeFilters::new(probers, None),
            forward_filters: forward_filters(forwards),
            reactor,
            config,
        }
    }

    /// Number of open connections, to the status port and to the forwards.
    pub fn open_connections(&self) -> usize {
        self.slots.open_connections() + self.open_forward_connections()
    }

    /// Number of open connections of all forwards.
    pub fn open_forward_connections(&self) -> usize {
        self.forward_permits
            .with_policy(ForwardShares::open_connections)
    }

    fn log_forward(&self, index: usize, state: ForwardState) {
        let (logger, forward) = (&self.log.logger, &self.config.forwards[index]);
        log_forward(logger, &self.forward_filters, index, forward, state);
    }
}

impl ForwardObserver for Agent {
    fn connected(&self, index: usize) {
        self.log_forward(index, ForwardState::Healthy);
    }

    fn connect_failed(&self, index: usize, failure: Failure) {
        self.log_forward(index, ForwardState::Failing(failure));
    }

    fn permits_exhausted(&self, index: usize) {
        let limit = self.config.capacity.forward_connections;
        self.log_forward(index, ForwardState::LimitReached { limit });
    }

    fn accept_failed(&self, index: usize, error: Errno) {
        let port = self.config.forwards[index].listen.port;
        self.log.accept_failed(port, error);
    }
}
