//! `probelet check URL`: runs one probe with the agent's code, and prints one line about it.
//!
//! It reads only the files that flags name, and no environment variables, so it works as an exec probe in an image
//! without anything else. It installs no signal handlers: SIGINT ends it.

mod advice;
mod args_error;
mod failure_context;
mod install;
mod plan;
mod report;
mod resolve;
mod synthetic_request;
mod watch;

pub use args_error::{ArgFault, ArgsError};
pub use install::{InstallError, install};
pub use plan::{Plan, RawArgs};
pub use synthetic_request::SyntheticRequest;

use core::future::pending;
use core::net::{IpAddr, SocketAddr};
use core::pin::pin;
use std::io::Write;
use std::rc::Rc;
use std::time::Instant;

use rustix::io;
use smol::LocalExecutor;
use smol::future::or;

use crate::config::Action;
use crate::limits;
use crate::net::{self, Reactor};
use crate::probe::{
    Dialler, Failure, GrpcProbe, HttpProbe, Outcome, PROBE_BYTES, RequestOrigin, UrlAuthority,
};
use crate::text::EscapedLines;
use report::{CheckResult, Report};
use synthetic_request::USER_AGENT;
use watch::{Phase, Watch};

/// Probes once.
///
/// # Errors
/// epoll fails. A failed probe is not an error: its result is in the report.
#[inline(never)] // keeps it out of the pages that the agent of every pod uses
fn run(plan: Plan) -> io::Result<Report> {
    let watch = Rc::new(Watch::new(plan.is_verbose));
    let deadline = watch.start() + plan.timeout;
    let addresses = match resolve::addresses(&plan, deadline) {
        Ok(addresses) => addresses,
        Err(error) => return Ok(Report::new(&plan, &watch, CheckResult::NoAddress(error))),
    };
    if plan.address().is_none() {
        watch.record(Phase::Resolved);
        watch.print_addresses(&plan.host, &addresses);
    }
    let plan = Rc::new(plan);
    let outcome = probe(plan.clone(), watch.clone(), deadline, addresses)?;
    Ok(Report::new(&plan, &watch, CheckResult::Probed(outcome)))
}

/// Runs the probe and prints its result, or the error. Returns the exit code.
#[inline(never)] // as `run`
pub fn run_and_print(
    plan: Plan,
    program: &str,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    // Nothing can be done about a closed output.
    match run(plan) {
        Ok(report) => {
            let _ = writeln!(stdout, "{}", EscapedLines(report.text));
            u8::from(!report.is_healthy)
        }
        Err(error) => {
            let _ = writeln!(stderr, "{program}: epoll failed: {}", EscapedLines(error));
            1
        }
    }
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
    net::run(&reactor, &executor, check.probe(addresses))
}

/// A running check.
struct Check {
    plan: Rc<Plan>,
    reactor: Rc<Reactor>,
    watch: Rc<Watch>,
    deadline: Instant,
}

impl Check {
    /// Probes the first address that accepts the connection, in the resolver's order. Each address gets an equal share
    /// of the remaining time (Go `net/dial.go`: `partialDeadline`).
    async fn probe(self, addresses: Vec<IpAddr>) -> Outcome {
        let mut outcome = Outcome::Failed(Failure::DeadlineExceeded);
        for (index, address) in addresses.iter().enumerate() {
            let others = (addresses.len() - index - 1) as u32;
            let now = Instant::now();
            let share = self.deadline.saturating_duration_since(now) / (others + 1);
            let overdue = async {
                self.reactor.sleep_until(now + share).await;
                if others == 0 || self.watch.has_connected() {
                    pending::<()>().await;
                }
                Outcome::Failed(Failure::DeadlineExceeded)
            };
            outcome = or(pin!(self.probe_address(*address)), pin!(overdue)).await;
            let is_failed = matches!(outcome, Outcome::Failed(_));
            if !is_failed || self.watch.has_connected() || Instant::now() >= self.deadline {
                break;
            }
        }
        self.watch.record(Phase::Done);
        outcome
    }

    async fn probe_address(&self, target: IpAddr) -> Outcome {
        let dialler = Dialler {
            reactor: self.reactor.clone(),
            target,
            source: None,
            own_listeners: Box::default(),
            tls: self.plan.tls.clone(),
            observer: Some(self.watch.clone()),
        };
        let plan = &*self.plan;
        let authority = UrlAuthority {
            host: &plan.host,
            has_port: plan.has_port,
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
                    user_agent: USER_AGENT.as_bytes(),
                    deadline: self.deadline,
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

#[cfg(test)]
mod tests;
