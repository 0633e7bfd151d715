//! Resolves the name of the host and probes its addresses, within the limits of the plan.

mod race;

use core::cell::Cell;
use core::future::{pending, poll_fn};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::pin::pin;
use core::task::Poll;
use std::rc::Rc;
use std::time::Instant;

use rustix::io;
use rustix::net::SocketAddrUnix;
use smol::LocalExecutor;
use smol::future::or;

use super::plan::{DialTarget, Plan};
use super::report::CheckResult;
use super::resolve;
use super::watch::{Phase, Watch};
use crate::config::Action;
use crate::limits;
use crate::net::{self, Elapsed, Reactor, Socket};
use crate::probe::{
    CallOptions, Connector, Dialler, Failure, GrpcProbe, HttpProbe, Outcome, PROBE_BYTES,
    RequestOrigin, UrlAuthority,
};

/// Resolves the name and probes.
///
/// # Errors
/// epoll fails. A failed probe is not an error.
pub(super) fn resolve_and_probe(plan: &Rc<Plan>, watch: &Rc<Watch>) -> io::Result<CheckResult> {
    let deadline = watch.start() + plan.timeout;
    let addresses = match &plan.dial {
        // The address is not used.
        DialTarget::Unix(_) => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
        DialTarget::Host(host) => {
            let connect = plan.connect_timeout.map(|limit| watch.start() + limit);
            let until = connect.map_or(deadline, |until| until.min(deadline));
            match resolve::addresses(host, until) {
                Ok(addresses) => addresses,
                Err(error) => return Ok(CheckResult::NoAddress(error)),
            }
        }
    };
    if let (DialTarget::Host(host), None) = (&plan.dial, plan.address()) {
        watch.record(Phase::Resolved);
        watch.print_addresses(host, &addresses);
    }
    let outcome = probe(plan.clone(), watch.clone(), deadline, addresses)?;
    Ok(CheckResult::Probed(outcome))
}

/// Probes these addresses on a new reactor.
fn probe(
    plan: Rc<Plan>,
    watch: Rc<Watch>,
    deadline: Instant,
    addresses: Vec<IpAddr>,
) -> io::Result<Outcome> {
    let scratch = vec![0; limits::SCRATCH_BYTES].leak();
    let reactor = Rc::new(Reactor::new(scratch)?);
    let executor = LocalExecutor::new();
    let check = Check {
        plan,
        reactor: reactor.clone(),
        watch,
        deadline,
    };
    net::run(&reactor, &executor, check.probe_within_limits(addresses))
}

/// A running check.
struct Check {
    plan: Rc<Plan>,
    reactor: Rc<Reactor>,
    watch: Rc<Watch>,
    deadline: Instant,
}

impl Check {
    /// Probes, and ends the probe if a phase exceeds its own limit.
    async fn probe_within_limits(self, addresses: Vec<IpAddr>) -> Outcome {
        let outcome = or(pin!(self.probe(addresses)), pin!(self.limit_exceeded())).await;
        self.watch.record(Phase::Done);
        outcome
    }

    /// Waits until connecting, or the call after it, takes longer than its own limit.
    async fn limit_exceeded(&self) -> Outcome {
        // The task that connects is polled before this one.
        let ready = poll_fn(|_| match self.watch.ready_at() {
            Some(at) => Poll::Ready(Some(at)),
            None => Poll::Pending,
        });
        let ready_at = match self.connect_until() {
            Some(until) => {
                let late = async {
                    self.reactor.sleep_until(until).await;
                    None
                };
                or(ready, pin!(late)).await
            }
            None => ready.await,
        };
        match (ready_at, self.plan.call_timeout) {
            (None, _) => {}
            (Some(at), Some(limit)) => self.reactor.sleep_until(at + limit).await,
            (Some(_), None) => pending().await,
        }
        Outcome::Failed(Failure::DeadlineExceeded)
    }

    /// Probes the first address that accepts a connection. A gRPC probe retries with grpc-go's backoff while there is
    /// time, as it does with one address.
    async fn probe(&self, addresses: Vec<IpAddr>) -> Outcome {
        let is_usable = |ip: &IpAddr| {
            let source = self.plan.source;
            source.is_none_or(|source| source.is_ipv4() == ip.is_ipv4())
        };
        let addresses: Vec<IpAddr> = addresses.into_iter().filter(is_usable).collect();
        match &*addresses {
            [] => return Outcome::Failed(Failure::AddressNotAvailable),
            [address] => return self.probe_address(*address, None).await,
            _ => {}
        }
        let connect_until = self.connect_until().unwrap_or(self.deadline);
        let mut backoff = limits::GRPC_BACKOFF;
        loop {
            let race = pin!(race::connect(
                &self.reactor,
                &self.watch,
                self.plan.source,
                self.plan.action.port(),
                &addresses
            ));
            let failure = match self.reactor.timeout_at(self.deadline, race).await {
                Ok(Ok((address, socket))) => {
                    return self.probe_address(address, Some(socket)).await;
                }
                Ok(Err(failure)) => failure,
                Err(Elapsed) => return Outcome::Failed(Failure::DeadlineExceeded),
            };
            let again = Instant::now() + backoff;
            if !self.plan.is_grpc() || again >= connect_until {
                return Outcome::Failed(failure);
            }
            self.reactor.sleep_until(again).await;
            let (more, less) = limits::GRPC_BACKOFF_GROWTH;
            backoff = (backoff * more / less).min(limits::GRPC_BACKOFF_MAX);
        }
    }

    /// When the connection must be ready, if that has its own limit.
    fn connect_until(&self) -> Option<Instant> {
        let limit = self.plan.connect_timeout?;
        Some(self.watch.start() + limit)
    }

    /// Probes one address, over a connection if there is one.
    async fn probe_address(&self, target: IpAddr, connected: Option<Socket>) -> Outcome {
        let dialler = Dialler {
            reactor: self.reactor.clone(),
            target,
            source: self.plan.source,
            own_listeners: Box::default(),
            tls: self.plan.tls.clone(),
            observer: Some(self.watch.clone()),
            connector: match (&self.plan.dial, connected) {
                (DialTarget::Host(_), None) => None,
                (DialTarget::Host(_), Some(socket)) => {
                    Some(Rc::new(EstablishedConnection(Cell::new(Some(socket)))))
                }
                (DialTarget::Unix(address), _) => Some(Rc::new(UnixConnector {
                    reactor: self.reactor.clone(),
                    address: address.clone(),
                })),
            },
        };
        let plan = &*self.plan;
        let authority = UrlAuthority {
            host: &plan.host,
            has_port: plan.has_port,
            server_name: plan.server_name.as_deref(),
            method: plan.method,
        };
        let origin = RequestOrigin::Url(&authority);
        let mut space = vec![0; PROBE_BYTES];
        let app = SocketAddr::new(target, plan.action.port());
        let get = match &plan.action {
            Action::Http(get) => get,
            Action::Tcp { .. } => return dialler.probe_tcp(app, Some(self.deadline)).await,
            Action::Grpc { service, tls, .. } => {
                let probe = GrpcProbe {
                    app,
                    service,
                    tls: *tls,
                    origin,
                    user_agent: plan.user_agent.as_bytes(),
                    deadline: self.deadline,
                    options: CallOptions {
                        metadata: &plan.metadata,
                        timeout: plan.call_timeout,
                        connect_until: self.connect_until(),
                    },
                };
                return dialler.probe_grpc(&probe, &mut space).await;
            }
        };
        let probe = HttpProbe {
            head: &plan.request.head,
            buf: &plan.request.bytes,
            http_get: get,
            target,
            origin,
            is_hook: false,
            deadline: Some(self.deadline),
        };
        dialler.probe_http(&probe, &mut space).await
    }
}

/// A connection that is established, for the first dial.
struct EstablishedConnection(Cell<Option<Socket>>);

impl Connector for EstablishedConnection {
    fn connect(&self) -> Option<io::Result<Socket>> {
        self.0.take().map(Ok)
    }
}

/// Connects to a UNIX socket.
struct UnixConnector {
    reactor: Rc<Reactor>,
    address: SocketAddrUnix,
}

impl Connector for UnixConnector {
    fn connect(&self) -> Option<io::Result<Socket>> {
        Some(Socket::connect_unix(&self.reactor, &self.address))
    }
}

#[cfg(test)]
mod tests;
