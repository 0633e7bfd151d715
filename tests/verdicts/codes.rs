//! The agent's status code in each case, and the descriptors and memory of the agent afterwards.

use super::busy;
use super::fixture::Fixture;
use crate::support::agent::{Agent, is_emulated};
use crate::support::faults::http1::Http1FaultApps;
use crate::support::faults::{Expected, FaultCase};
use crate::support::http::{End, Response};
use crate::support::{Outcome, TLS};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Asserts that the case gets its code well within kubelet's timeout.
pub fn check(fixture: &Fixture, name: &str) -> Outcome {
    Ok(fixture.run(name, check_code)?)
}

/// Runs one case.
fn check_code(agent: &Agent, case: &FaultCase) -> Result<(), String> {
    let failed = |what: &str| {
        Err(format!(
            "{}: {what}, expected {:?}",
            case.name, case.expected
        ))
    };
    let answer = match agent.get(&case.status_path()) {
        Ok(answer) => answer,
        Err(e) => return failed(&e.to_string()),
    };
    let (Expected::Status(code) | Expected::BrokenBody(code)) = case.expected;
    if answer.code() != Some(code) {
        let text = String::from_utf8_lossy(&answer.bytes);
        return failed(&format!("answered {text:?}"));
    }
    if answer.end != End::Fin || answer.took >= Duration::from_secs(case.seconds.into()) {
        return failed(&format!(
            "ended with {:?} after {:?}",
            answer.end, answer.took
        ));
    }
    if !answer.body().is_empty() || answer.field("location").is_some() {
        return failed("passes on body or Location");
    }
    if announces_body(&answer) != matches!(case.expected, Expected::BrokenBody(_)) {
        return failed(&format!("its head is {:?}", answer.head()));
    }
    Ok(())
}

/// Whether a client has to wait for a body. 204 and 304 have none whatever the fields are.
fn announces_body(answer: &Response) -> bool {
    let bodiless = matches!(answer.code(), Some(204 | 304));
    !bodiless && answer.field("content-length") != Some("0")
}

/// Asserts that no case leaves descriptors, and that memory does not grow with every round of the cases. The trials of the
/// cases are the first round, which is completed here.
pub fn check_leaves_nothing(fixture: &Fixture) -> Outcome {
    let _exclusive = fixture
        .exclusive
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    let failure = |agent: &Agent, case: &FaultCase| check_code(agent, case).err();
    let mut failures = fixture.run_all(|entry| !entry.has_run.load(Ordering::SeqCst), failure);
    let round = |agents: &[usize]| {
        failures.extend(fixture.run_all(|entry| agents.contains(&entry.agent), failure));
    };
    let resources = match fixture.catalogue.http1.as_ref() {
        Some(app) if !app.is_secure => check_busy_memory(fixture, app, round),
        _ => check_growth(fixture, round),
    };
    failures.extend(resources.err());
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
    Ok(())
}

fn check_descriptors(fixture: &Fixture) -> Result<(), String> {
    for (agent, before) in fixture.agents.iter().zip(&fixture.descriptors) {
        if !agent.wait_descriptors(*before) {
            let after = agent.descriptors();
            return Err(format!("{after} descriptors, at the start {before}"));
        }
    }
    Ok(())
}

/// Anonymous memory of each agent in KiB, without pages of the program, which depend on the code that has run.
fn memory(fixture: &Fixture) -> Result<Vec<u64>, String> {
    let of = |agent: &Agent| agent.memory("Anonymous");
    let all = fixture.agents.iter().map(of).collect::<Option<_>>();
    all.ok_or_else(|| "/proc/PID/smaps_rollup of an agent cannot be read".into())
}

/// The memory that rustls keeps of one connection, in KiB: some cases redirect to HTTPS.
const TLS_KIB: u64 = if TLS { 64 } else { 0 };

/// Asserts that after a round an agent has no more memory than with the largest probe in each slot.
fn check_busy_memory(
    fixture: &Fixture,
    app: &Http1FaultApps,
    mut round: impl FnMut(&[usize]),
) -> Result<(), String> {
    let marks = busy::memory(fixture, app)?;
    round(&all_agents(fixture));
    check_descriptors(fixture)?;
    // The memory of an emulated agent is the emulator's.
    if is_emulated() {
        return Ok(());
    }
    for (mark, resident) in marks.into_iter().zip(memory(fixture)?) {
        if resident > mark + TLS_KIB {
            return Err(format!(
                "{resident} KiB of anonymous memory, with all slots busy {mark}"
            ));
        }
    }
    Ok(())
}

fn all_agents(fixture: &Fixture) -> Vec<usize> {
    (0..fixture.agents.len()).collect()
}

/// The maximum of anonymous memory of a debug build, including relocated data.
const OWN_KIB: u64 = 2 * 1024;

/// The tolerance for a higher value between rounds.
const PEAK_KIB: u64 = 1024;

/// The tolerance of a round over the highest value before it: the allocator's fragments vary.
const GROWTH_KIB: u64 = 64;

/// The maximum of rounds. The number of slots and handshakes in use at the same time varies, so one of the first rounds may
/// need more memory than those before it. A leak grows in every round.
const ROUNDS: usize = 5;

/// Runs rounds of the cases of an agent until its memory does not grow. Asserts that it stops growing below the maximum.
fn check_growth(fixture: &Fixture, mut round: impl FnMut(&[usize])) -> Result<(), String> {
    let mut values: Vec<_> = memory(fixture)?.into_iter().map(|kib| vec![kib]).collect();
    let mut growing = all_agents(fixture);
    for _ in 0..ROUNDS {
        round(&growing);
        check_descriptors(fixture)?;
        if is_emulated() {
            return Ok(());
        }
        let after = memory(fixture)?;
        growing.retain(|&agent| {
            let highest = values[agent].iter().copied().max().unwrap_or(0);
            values[agent].push(after[agent]);
            after[agent] > highest + GROWTH_KIB
        });
        if growing.is_empty() {
            break;
        }
    }
    for (agent, values) in values.iter().enumerate() {
        if growing.contains(&agent) || values.iter().any(|kib| *kib > OWN_KIB) {
            let values: Vec<_> = values.iter().map(u64::to_string).collect();
            let values = values.join(", ");
            return Err(format!("anonymous memory after each round: {values} KiB"));
        }
    }
    check_peak(fixture)
}

/// Asserts that the agents did not need much more memory than they have now.
fn check_peak(fixture: &Fixture) -> Result<(), String> {
    for agent in &fixture.agents {
        let resident = agent
            .memory("Rss")
            .ok_or("/proc/PID/smaps_rollup of an agent cannot be read")?;
        let peak = agent
            .status_figure("VmHWM")
            .ok_or("/proc/PID/status of an agent cannot be read")?;
        if peak > resident + PEAK_KIB {
            return Err(format!("{resident} KiB resident, {peak} at its peak"));
        }
    }
    Ok(())
}
