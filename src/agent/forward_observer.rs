//! Logs the results of forwarded connections.

use core::net::IpAddr;

use rustix::io::Errno;

use super::forward_log::{ForwardState, RelayKind, RelayPort, log_forward};
use super::state::Agent;
use crate::forward::{AcceptObserver, ForwardObserver};
use crate::probe::Failure;

impl AcceptObserver for Agent {
    fn peer_not_allowed(&self, index: usize, peer: IpAddr) {
        self.count_peer_not_allowed(self.config.forwards[index].listen.port, peer);
    }

    fn accept_failed(&self, index: usize, error: Errno) {
        let port = self.config.forwards[index].listen.port;
        self.log.accept_failed(port, error);
    }
}

impl ForwardObserver for Agent {
    fn connected(&self, index: usize) {
        self.log_forward(index, ForwardState::Healthy);
    }

    fn connect_failed(&self, index: usize, failure: Failure) {
        self.log_forward(index, ForwardState::Failing(failure));
    }

    fn connection_evicted(&self, index: usize, evicted: IpAddr) {
        self.metrics.forwards_evicted.increment();
        let port = self.config.forwards[index].listen.port;
        self.log.forward_evicted(port, evicted);
    }

    fn limit_reached(&self, index: usize) {
        self.metrics.forwards_rejected.increment();
        let limit = self.slot_capacity.forward_connections;
        self.log_forward(index, ForwardState::LimitReached { limit });
    }
}

impl Agent {
    fn log_forward(&self, index: usize, state: ForwardState) {
        let (logger, forward) = (&self.log.logger, &self.config.forwards[index]);
        let port = RelayPort {
            kind: RelayKind::Forward,
            port: forward.listen.port,
            target: forward.target,
        };
        log_forward(logger, &self.forward_filters, index, port, state);
    }
}
