//! kubelet's verdict through the agent equals its verdict of the app, except for the listed differences.

use super::differences::{self, Difference};
use super::fixture::Fixture;
use crate::support::Outcome;
use crate::support::agent::Agent;
use crate::support::faults::{FaultCase, GrpcMode, Target};
use crate::support::kubelet::{Kubelet, ProbeRequest};
use crate::support::lock;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;

/// kubelet's verdict of the case is the same with the agent as without.
pub fn check(fixture: &Fixture, name: &str) -> Outcome {
    let (kubelet, list) = (Kubelet::get()?, differences::read()?);
    let disagreement =
        |agent: &Agent, case: &FaultCase| compare(fixture, kubelet, &list, agent, case);
    match fixture.run(name, disagreement) {
        None => Ok(()),
        Some(disagreement) => Err(disagreement.into()),
    }
}

/// Asserts that a case needs each listed difference of the family. Runs the cases whose trials have not run.
pub fn check_differences_are_needed(fixture: &Fixture) -> Outcome {
    let (kubelet, list) = (Kubelet::get()?, differences::read()?);
    let _exclusive = fixture
        .exclusive
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    let mut failures = fixture.run_all(
        |entry| entry.case.is_compared && !entry.has_run.load(Ordering::SeqCst),
        |agent, case| compare(fixture, kubelet, &list, agent, case),
    );
    let used = lock(&fixture.used_differences);
    let is_ours =
        |entry: &&Difference| entry.family() == fixture.prefix && entry.is_of_this_build();
    let unused = list
        .iter()
        .filter(is_ours)
        .filter(|entry| !used.contains(&entry.line));
    failures.extend(unused.map(|entry| format!("unused: {entry:?}")));
    assert!(
        failures.is_empty(),
        "{} disagreements:\n{}",
        failures.len(),
        failures.join("\n")
    );
    let app = fixture.catalogue.http1.as_ref().map(|app| &app.app);
    let is_idle = app.is_none_or(|app| app.wait_idle());
    assert!(
        is_idle,
        "{:?} connections stay open",
        app.map(|app| app.open())
    );
    Ok(())
}

/// Compares the verdicts of a case. Returns a disagreement that is not listed.
fn compare(
    fixture: &Fixture,
    kubelet: &Kubelet,
    list: &[Difference],
    agent: &Agent,
    case: &FaultCase,
) -> Option<String> {
    let direct = || verdict(kubelet, &direct(case));
    let through = || verdict(kubelet, &through(agent, case));
    let (direct, through) = if case.waits() && case.allows_two_probes() {
        thread::scope(|scope| {
            let direct = scope.spawn(direct);
            let through = through();
            (direct.join().expect("the probe did not panic"), through)
        })
    } else {
        (direct(), through())
    };
    if direct == through {
        return None;
    }
    if let Some(entry) = listed(fixture.prefix, list, &case.name, &direct, &through) {
        lock(&fixture.used_differences).insert(entry.line);
        return None;
    }
    let (name, expected) = (&case.name, case.expected);
    Some(format!(
        "{name}: direct {direct}, through {through}, due {expected:?}"
    ))
}

/// The first entry that allows these verdicts of a case. Entries of HTTP in plaintext also apply to HTTP over TLS.
fn listed<'a>(
    prefix: &str,
    list: &'a [Difference],
    name: &str,
    direct: &str,
    through: &str,
) -> Option<&'a Difference> {
    let find = |name: &str| {
        let mut list = list.iter();
        list.find(|entry| entry.covers(name) && entry.allows(direct, through))
    };
    if prefix == "https-" {
        return find(&format!("https-{name}")).or_else(|| find(name));
    }
    find(name)
}

fn verdict(kubelet: &Kubelet, request: &ProbeRequest) -> String {
    match kubelet.verdict(request) {
        Ok(verdict) => verdict.to_string(),
        Err(e) => e,
    }
}

/// kubelet probes the app itself.
fn direct(case: &FaultCase) -> ProbeRequest {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, case.target.port()));
    let get = ProbeRequest::http(to, &case.app_path());
    let request = match case.target {
        Target::Http(_) => get,
        Target::Https(_) => get.https(),
        Target::Http2(_) => ProbeRequest {
            protocol: "HTTP2",
            ..get
        },
        Target::Tcp(_) => ProbeRequest::tcp(to),
        Target::Grpc(_, service, mode) => {
            let mode = match mode {
                GrpcMode::Plaintext => "",
                GrpcMode::Tls => "TLS",
            };
            ProbeRequest::grpc(to, service.unwrap_or_default(), mode)
        }
    };
    ProbeRequest {
        seconds: case.direct_seconds,
        ..request
    }
}

/// kubelet probes through the agent.
fn through(agent: &Agent, case: &FaultCase) -> ProbeRequest {
    let request = ProbeRequest::http(agent.addr(), &case.status_path());
    ProbeRequest {
        seconds: case.seconds,
        ..request
    }
}
