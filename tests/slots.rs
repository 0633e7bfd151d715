//! More connections than slots: which are evicted, which get 503, and how many slots hooks use.

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use libtest_mimic::Trial;

use crate::support::WAIT_LIMIT;
use crate::support::agent::Agent;
use crate::support::http::End;
use crate::support::observe::{assert_descriptors, logged, until, until_within};
use crate::support::raw::{connect, get, probe, read_to_end, send, state};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

use probelet::limits::{
    HOOK_SLOTS, PROBE_SLOTS, REQUEST_HEAD_TIMEOUT, RESERVE_SLOTS, RESPONSE_WRITE_TIMEOUT, SLOTS,
};

pub(crate) const LIVEZ: &str = "/app-health/web/livez";
pub(crate) const READYZ: &str = "/app-health/web/readyz";
pub(crate) const PRESTOP: &str = "/app-lifecycle/web/prestopz";

pub fn tests() -> Vec<Trial> {
    trials!["slots":
        the_oldest_idle_connections_are_evicted_first,
        the_oldest_half_sent_heads_are_evicted_first,
        probes_beyond_the_slots_get_503_and_the_others_their_answer,
        idle_connections_do_not_prevent_the_503,
        unknown_paths_and_metrics_release_their_slots,
        max_probes_lowers_concurrent_probes,
        a_fifth_hook_is_closed_without_a_response_and_logged,
        max_hooks_lowers_concurrent_hooks,
        hooks_and_probes_have_separate_slots,
        a_hook_ends_when_kubelet_closes,
        abandoned_probes_release_their_slots,
        with_every_slot_occupied_a_new_probe_is_answered,
        a_client_that_never_reads_is_disconnected,
        a_client_that_sends_without_end_is_disconnected,
    ]
}

/// An agent whose app holds every request of `LIVEZ` and of the hook, and answers `READYZ`.
pub(crate) fn fixture(args: &[&str]) -> (SwitchableApp, SwitchableApp, Agent) {
    let (slow, quick) = (
        SwitchableApp::start(ReplyMode::Hold),
        SwitchableApp::start(ReplyMode::Status(200)),
    );
    let table = Table::new()
        .http(LIVEZ, slow.port(), 60)
        .http(READYZ, quick.port(), 5)
        .http(PRESTOP, slow.port(), 60);
    let agent = agent_with(&table, args);
    (slow, quick, agent)
}

/// Sends requests that the app holds, and waits until it holds all of them.
fn hold(agent: &Agent, app: &SwitchableApp, path: &str, count: usize) -> Vec<TcpStream> {
    let before = app.requests();
    let held = (0..count).map(|_| send(agent.addr(), &get(path))).collect();
    app.wait_for_requests(before + count);
    held
}

pub(crate) fn assert_all_answered(held: Vec<TcpStream>, status: u16) {
    for mut stream in held {
        read_to_end(&mut stream).assert_is(status);
    }
}

fn the_oldest_idle_connections_are_evicted_first() {
    assert_oldest_evicted_first(b"");
}

fn the_oldest_half_sent_heads_are_evicted_first() {
    assert_oldest_evicted_first(b"GET /app-health/web/readyz HTTP/1.1\r\nHost: ");
}

fn assert_oldest_evicted_first(part: &[u8]) {
    let (_slow, _quick, agent) = fixture(&[]);
    let before = agent.descriptors();
    let parked: Vec<_> = (0..2 * SLOTS).map(|_| send(agent.addr(), part)).collect();
    let started = Instant::now();
    probe(&agent, READYZ).assert_is(200);
    assert!(
        started.elapsed() < REQUEST_HEAD_TIMEOUT,
        "waited for parked heads to time out"
    );
    let states: Vec<_> = parked.iter().map(state).collect();
    let gone = states.iter().take_while(|s| **s == End::Reset).count();
    assert!(
        gone >= SLOTS,
        "reset to make room: {gone} of {}",
        parked.len()
    );
    assert!(gone < parked.len(), "no more are reset than needed");
    assert!(
        states[gone..].iter().all(|s| *s == End::Open),
        "only the oldest are reset: {states:?}"
    );
    drop(parked);
    assert_descriptors(&agent, before);
}

fn probes_beyond_the_slots_get_503_and_the_others_their_answer() {
    let (slow, _quick, agent) = fixture(&[]);
    let before = agent.descriptors();
    let held = hold(&agent, &slow, LIVEZ, PROBE_SLOTS);
    for path in [LIVEZ, READYZ].into_iter().cycle().take(40) {
        probe(&agent, path).assert_is(503);
    }
    logged(&agent, "msg=\"probe rejected, no free slot\"");
    assert!(
        held.iter().all(|s| state(s) == End::Open),
        "no probe in flight is given up for another"
    );
    slow.set(ReplyMode::Status(204));
    assert_all_answered(held, 204);
    probe(&agent, READYZ).assert_is(200);
    assert_eq!(
        slow.requests(),
        PROBE_SLOTS,
        "what got 503 never reached the app"
    );
    assert_descriptors(&agent, before);
}

fn idle_connections_do_not_prevent_the_503() {
    let (slow, _quick, agent) = fixture(&[]);
    let held = hold(&agent, &slow, LIVEZ, PROBE_SLOTS);
    let park = || {
        send(
            agent.addr(),
            b"GET /app-health/web/readyz HTTP/1.1\r\nHost: ",
        )
    };
    let parked: Vec<_> = (0..4 * RESERVE_SLOTS).map(|_| park()).collect();
    let started = Instant::now();
    probe(&agent, READYZ).assert_is(503);
    assert!(
        started.elapsed() < REQUEST_HEAD_TIMEOUT,
        "waited for parked heads to time out"
    );
    assert!(
        held.iter().all(|s| state(s) == End::Open),
        "no probe in flight is evicted"
    );
    drop(parked);
    slow.set(ReplyMode::Status(200));
    assert_all_answered(held, 200);
}

fn unknown_paths_and_metrics_release_their_slots() {
    let (_slow, quick, agent) = fixture(&[]);
    for _ in 0..4 * SLOTS {
        probe(&agent, "/no").assert_is(404);
        probe(&agent, "/healthz/ready").assert_is(200);
        probe(&agent, READYZ).assert_is(200);
    }
    assert_eq!(quick.requests(), 4 * SLOTS);
}

fn max_probes_lowers_concurrent_probes() {
    let (slow, _quick, agent) = fixture(&["--max-probes", "2"]);
    let held = hold(&agent, &slow, LIVEZ, 2);
    for _ in 0..5 {
        probe(&agent, READYZ).assert_is(503);
    }
    slow.set(ReplyMode::Status(200));
    assert_all_answered(held, 200);
    probe(&agent, READYZ).assert_is(200);
}

fn a_fifth_hook_is_closed_without_a_response_and_logged() {
    let (slow, _quick, agent) = fixture(&[]);
    let held = hold(&agent, &slow, PRESTOP, HOOK_SLOTS);
    probe(&agent, PRESTOP).assert_none();
    let line = logged(&agent, "reason=hook_slots_full");
    assert!(line.contains(PRESTOP), "{line}");
    probe(&agent, READYZ).assert_is(200);
    slow.set(ReplyMode::Status(200));
    assert_all_answered(held, 200);
    probe(&agent, PRESTOP).assert_is(200);
}

fn max_hooks_lowers_concurrent_hooks() {
    let (slow, _quick, agent) = fixture(&["--max-hooks=1"]);
    let held = hold(&agent, &slow, PRESTOP, 1);
    probe(&agent, PRESTOP).assert_none();
    slow.set(ReplyMode::Status(200));
    assert_all_answered(held, 200);
}

fn hooks_and_probes_have_separate_slots() {
    let (slow, _quick, agent) = fixture(&[]);
    let mut held = hold(&agent, &slow, PRESTOP, HOOK_SLOTS);
    held.extend(hold(&agent, &slow, LIVEZ, PROBE_SLOTS));
    probe(&agent, READYZ).assert_is(503);
    probe(&agent, PRESTOP).assert_none();
    slow.set(ReplyMode::Status(200));
    assert_all_answered(held, 200);
    // In the reverse order: all probes first.
    slow.set(ReplyMode::Hold);
    let mut held = hold(&agent, &slow, LIVEZ, PROBE_SLOTS);
    held.extend(hold(&agent, &slow, PRESTOP, HOOK_SLOTS));
    slow.set(ReplyMode::Status(200));
    assert_all_answered(held, 200);
}

fn a_hook_ends_when_kubelet_closes() {
    let (slow, _quick, agent) = fixture(&[]);
    let before = agent.descriptors();
    let held = hold(&agent, &slow, PRESTOP, HOOK_SLOTS);
    drop(held);
    logged(&agent, "msg=\"probe canceled\"");
    // The app still holds its connections, so the slots are released because the clients close.
    until("the hooks are given up", || {
        (agent.descriptors() == before).then_some(())
    });
    let held = hold(&agent, &slow, PRESTOP, HOOK_SLOTS);
    slow.set(ReplyMode::Status(200));
    assert_all_answered(held, 200);
}

/// The prober's timeout is a minute, so the slots are released because the clients close.
fn abandoned_probes_release_their_slots() {
    let (slow, _quick, agent) = fixture(&[]);
    let before = agent.descriptors();
    drop(hold(&agent, &slow, LIVEZ, PROBE_SLOTS));
    until("the probes are given up", || {
        (agent.descriptors() == before).then_some(())
    });
    logged(&agent, "msg=\"probe canceled\"");
    probe(&agent, READYZ).assert_is(200);
}

/// Hooks and probes use all slots but the reserve, which incomplete heads occupy.
fn with_every_slot_occupied_a_new_probe_is_answered() {
    let (slow, _quick, agent) = fixture(&[]);
    let hooks = hold(&agent, &slow, PRESTOP, HOOK_SLOTS);
    let parked: Vec<_> = (0..PROBE_SLOTS + RESERVE_SLOTS)
        .map(|_| send(agent.addr(), b"GET /app-health/web/readyz HTTP/1.1\r\n"))
        .collect();
    let started = Instant::now();
    probe(&agent, READYZ).assert_is(200);
    assert!(
        started.elapsed() < REQUEST_HEAD_TIMEOUT,
        "waited for parked heads to time out"
    );
    drop(parked);
    slow.set(ReplyMode::Status(200));
    assert_all_answered(hooks, 200);
}

fn a_client_that_never_reads_is_disconnected() {
    let (_slow, _quick, agent) = fixture(&[]);
    let before = agent.descriptors();
    let silent: Vec<_> = ["/metrics", READYZ, "/no"]
        .into_iter()
        .map(|path| {
            let mut stream = connect(agent.addr());
            rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 1).expect("SO_RCVBUF");
            stream.write_all(&get(path)).expect("sent");
            stream
        })
        .collect();
    until_within(
        RESPONSE_WRITE_TIMEOUT * 2,
        "the agent lets go of clients that do not read",
        || (agent.descriptors() == before).then_some(()),
    );
    drop(silent);
    probe(&agent, READYZ).assert_is(200);
}

fn a_client_that_sends_without_end_is_disconnected() {
    let (_slow, _quick, agent) = fixture(&[]);
    let before = agent.descriptors();
    let head = b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n";
    let mut stream = connect(agent.addr());
    stream.write_all(head).expect("sent");
    let started = Instant::now();
    // The agent stops reading, so the write fails.
    stream
        .set_write_timeout(Some(WAIT_LIMIT))
        .expect("SO_SNDTIMEO");
    while stream.write_all(&[b'x'; 4096]).is_ok() {
        assert!(started.elapsed() < WAIT_LIMIT, "reads a body without end");
    }
    assert_descriptors(&agent, before);
    probe(&agent, READYZ).assert_is(200);
}
