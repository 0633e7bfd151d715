//! The inbound ports of the agent: their tasks, and the results of their connections in logs and metrics.

use core::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;
use smol::{LocalExecutor, Task};

use super::forward_log::{ForwardState, RelayKind, RelayPort, log_forward};
use super::inbound_metrics::InboundMetrics;
use super::inbound_ports::InboundPorts;
use super::state::Agent;
use crate::config::InboundMode;
use crate::forward::inbound::{InboundListener, InboundObserver, InboundResult, accept_loop};
use crate::forward::{AcceptObserver, Sender};
use crate::limits;
use crate::net::tls::{PeerNames, TlsAcceptor};
use crate::net::{Listener, TlsReload};
use crate::probe::Failure;
use crate::telemetry::Level;

/// Observes connections for an agent that has inbound ports.
struct Observer {
    agent: Rc<Agent>,
    ports: Rc<InboundPorts>,
    metrics: Rc<InboundMetrics>,
}

impl Agent {
    /// Starts to accept at the inbound ports, if there are any.
    #[inline(never)]
    pub fn start_inbound(
        self: &Rc<Self>,
        executor: &Rc<LocalExecutor<'static>>,
        listeners: Vec<Listener>,
        tasks: &mut Vec<Task<()>>,
    ) {
        let (Some(ports), Some(metrics)) = (&self.inbound, &self.metrics.inbound) else {
            return;
        };
        let observer = Rc::new(Observer {
            agent: self.clone(),
            ports: ports.clone(),
            metrics: metrics.clone(),
        });
        let inbounds = listeners.into_iter().zip(&self.config.inbounds);
        for (index, (listener, inbound)) in inbounds.enumerate() {
            self.log
                .listening("inbound", listener.addr(), Some(inbound.target));
            if let InboundMode::Permissive { .. } = inbound.mode {
                self.log
                    .logger
                    .line(Level::Warn, "inbound port accepts plaintext from any peer")
                    .field("port", inbound.listen.port);
            }
            let allow = inbound.allow.clone();
            let authorize = move |names: &PeerNames<'_>| {
                allow.permits(names.uris.iter().copied(), names.dns_names.iter().copied())
            };
            let alpn = inbound
                .alpn
                .iter()
                .map(|protocol| protocol.as_bytes().to_vec());
            let listener = InboundListener {
                index,
                tables: ports.tables.clone(),
                listener,
                inbound: inbound.clone(),
                acceptor: TlsAcceptor::new(self.dialler.tls.clone(), alpn, Arc::new(authorize)),
                allow_from: self.config.allow_from.clone(),
            };
            let (reactor, executor_clone) = (self.reactor.clone(), executor.clone());
            let accepting = accept_loop(listener, reactor, executor_clone, observer.clone());
            tasks.push(executor.spawn(accepting));
        }
        executor.spawn(self.clone().poll_certificates()).detach();
    }

    /// Reads changed files also without connections: the log and the metrics show them.
    async fn poll_certificates(self: Rc<Self>) {
        loop {
            let next = Instant::now() + limits::PEM_POLL_INTERVAL;
            self.reactor.sleep_until(next).await;
            self.dialler.tls.poll_files();
            self.log_reloads();
        }
    }

    /// The end of the validity of each certificate, if there are inbound ports.
    pub fn certificates_not_after(&self) -> Vec<(&'static str, u64)> {
        match self.inbound {
            Some(_) => self.dialler.tls.not_after(),
            None => Vec::new(),
        }
    }

    /// Counts files that were read again, if there are inbound ports.
    pub fn count_reload(&self, reload: &TlsReload) {
        if let Some(metrics) = &self.metrics.inbound {
            metrics.count_reload(reload);
        }
    }

    /// Number of open inbound connections.
    pub fn open_inbound_connections(&self) -> usize {
        let metrics = self.metrics.inbound.as_ref();
        metrics.map_or(0, |metrics| metrics.open_connections())
    }

    /// Number of inbound connections whose peers are authorized.
    pub fn established_inbound_connections(&self) -> usize {
        let ports = self.inbound.as_ref();
        ports.map_or(0, |ports| ports.tables.established.open_connections())
    }

    /// Ends the inbound connections that are quiet as their apps would, and resets the others.
    pub async fn close_inbound(&self) {
        let Some(ports) = &self.inbound else { return };
        ports.tables.handshakes.close_all();
        ports.tables.established.close_all();
        // Each lingers until then at most.
        let deadline = Instant::now() + limits::LINGER_TIMEOUT + limits::DRAIN_POLL_INTERVAL;
        while ports.tables.established.open_connections() > 0 && Instant::now() < deadline {
            let next = Instant::now() + limits::DRAIN_POLL_INTERVAL;
            self.reactor.sleep_until(next).await;
        }
    }
}

impl Observer {
    fn port(&self, index: usize) -> u16 {
        self.agent.config.inbounds[index].listen.port
    }

    fn log_state(&self, index: usize, state: ForwardState) {
        let inbound = &self.agent.config.inbounds[index];
        let port = RelayPort {
            kind: RelayKind::Inbound,
            port: inbound.listen.port,
            target: inbound.target,
        };
        let logger = &self.agent.log.logger;
        log_forward(logger, &self.ports.filters, index, port, state);
    }

    fn log_evicted(&self, index: usize, peer: IpAddr) {
        let limit = &mut self.ports.evicted.borrow_mut();
        self.agent
            .log
            .logger
            .limited_line(limit, Level::Warn, "inbound connection evicted")
            .field("port", self.port(index))
            .field("client", peer);
    }

    fn log_refused(&self, index: usize, peer: IpAddr, result: InboundResult, id: Option<&str>) {
        // Failed handshakes are frequent where a client has no certificate yet: they must not hide identities.
        let limit = match result {
            InboundResult::NotAllowed => &self.ports.not_allowed,
            _ => &self.ports.refused,
        };
        self.agent
            .log
            .logger
            .limited_line(
                &mut limit.borrow_mut(),
                Level::Warn,
                "inbound connection rejected",
            )
            .field("port", self.port(index))
            .field("client", peer)
            .field("reason", result.as_str())
            .maybe("id", id.map(|id| id.as_bytes().escape_ascii()));
    }
}

impl AcceptObserver for Observer {
    fn peer_not_allowed(&self, index: usize, peer: IpAddr) {
        self.agent.count_peer_not_allowed(self.port(index), peer);
    }

    fn accept_failed(&self, index: usize, error: Errno) {
        self.agent.log.accept_failed(self.port(index), error);
    }
}

impl InboundObserver for Observer {
    fn opened(&self, index: usize) {
        self.metrics.count_opened(index);
    }

    fn closed(&self, index: usize) {
        self.metrics.count_closed(index);
    }

    fn decided(&self, index: usize, peer: IpAddr, result: InboundResult, id: Option<&str>) {
        self.metrics.count_result(index, result);
        // The files were polled for this connection.
        self.agent.log_reloads();
        match result {
            InboundResult::Served | InboundResult::Plaintext => {
                self.log_state(index, ForwardState::Healthy);
            }
            InboundResult::AppUnreachable(failure) => {
                self.log_state(index, ForwardState::Failing(failure));
            }
            InboundResult::LimitReached => {
                let limit = self.ports.limit;
                self.log_state(index, ForwardState::LimitReached { limit });
            }
            InboundResult::Evicted => self.log_evicted(index, peer),
            // Health checks of load balancers connect and close.
            InboundResult::HandshakeFailed(Failure::ClosedEarly | Failure::Reset) => {}
            InboundResult::NotAllowed
            | InboundResult::HandshakeTimeout
            | InboundResult::HandshakeFailed(_)
            | InboundResult::HandshakeTooLong
            | InboundResult::HandshakeLimitReached
            | InboundResult::NoCommonProtocol => self.log_refused(index, peer, result, id),
        }
    }

    fn evicted(&self, index: usize, peer: IpAddr) {
        self.metrics.count_eviction(index);
        self.log_evicted(index, peer);
    }

    fn passed(&self, index: usize, sender: Sender, bytes: usize) {
        self.metrics.count_bytes(index, sender, bytes);
    }
}
