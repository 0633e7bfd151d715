//! The code that the agent answers in each case, and what the probes leave in the agent.

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

/// The case gets its code, well within kubelet's deadline.
pub fn check(fixture: &Fixture, name: &str) -> Outcome {
    Ok(fixture.run(name, check_code)?)
}

/// One case by hand.
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

/// All cases leave no descriptors, and no memory that grows from one round to the next. The first round are the cases'
/// own trials, as far as they have run.
pub fn check_leaves_nothing(fixture: &Fixture) -> Outcome {
    let _exclusive = fixture
        .exclusive
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    let failure = |agent: &Agent, case: &FaultCase| check_code(agent, case).err();
    let rest = fixture.run_all(|entry| !entry.has_run.load(Ordering::SeqCst), failure);
    let round = || fixture.run_all(|_| true, failure);
    let wrong = match fixture.catalogue.http1.as_ref() {
        Some(app) if !app.is_secure => check_busy_memory(fixture, app, round)?,
        _ => check_growth(fixture, round)?,
    };
    let wrong = [rest, wrong].concat();
    assert!(
        wrong.is_empty(),
        "{} codes are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
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

/// Anonymous memory of each agent, in KiB. Pages of the program do not count: how much of it ran so far differs.
fn memory(fixture: &Fixture) -> Result<Vec<u64>, String> {
    let of = |agent: &Agent| agent.memory("Anonymous");
    let all = fixture.agents.iter().map(of).collect::<Option<_>>();
    all.ok_or_else(|| "smaps_rollup".into())
}

/// Some cases redirect to HTTPS: what rustls keeps of one such connection, more or less.
const TLS_KIB: u64 = if TLS { 64 } else { 0 };

/// After a round an agent has no more memory than with every slot at its largest.
fn check_busy_memory(
    fixture: &Fixture,
    app: &Http1FaultApps,
    round: impl Fn() -> Vec<String>,
) -> Result<Vec<String>, String> {
    let marks = busy::memory(fixture, app)?;
    let wrong = round();
    check_descriptors(fixture)?;
    // Under an emulator the memory is the emulator's.
    if is_emulated() {
        return Ok(wrong);
    }
    for (mark, resident) in marks.into_iter().zip(memory(fixture)?) {
        if resident > mark + TLS_KIB {
            return Err(format!(
                "{resident} KiB of anonymous memory, with all slots busy {mark}"
            ));
        }
    }
    Ok(wrong)
}

/// Anonymous memory that an agent of a debug build has at most, relocated data included.
const OWN_KIB: u64 = 2 * 1024;

/// How much more than at the end it may have had in between.
const PEAK_KIB: u64 = 1024;

/// What the second round of all cases may add to the first: which slots and how many handshakes at
/// once each case met is chance.
const GROWTH_KIB: u64 = 256;

fn check_growth(fixture: &Fixture, round: impl Fn() -> Vec<String>) -> Result<Vec<String>, String> {
    let warm = memory(fixture)?;
    let wrong = round();
    check_descriptors(fixture)?;
    if is_emulated() {
        return Ok(wrong);
    }
    for (before, after) in warm.into_iter().zip(memory(fixture)?) {
        let grown = after.saturating_sub(before);
        if grown > GROWTH_KIB || after > OWN_KIB {
            return Err(format!("{before} KiB of anonymous memory, then {after}"));
        }
    }
    for agent in &fixture.agents {
        let resident = agent.memory("Rss").ok_or("smaps_rollup")?;
        let peak = agent.status_figure("VmHWM").ok_or("status")?;
        if peak > resident + PEAK_KIB {
            return Err(format!("{resident} KiB resident, {peak} at its peak"));
        }
    }
    Ok(wrong)
}
