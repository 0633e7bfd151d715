//! More at once than fits: who has to go for whom, who is told 503, and what hooks may take.

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use libtest_mimic::Trial;

use crate::support::PATIENCE;
use crate::support::agent::Agent;
use crate::support::app::{App, Reply};
use crate::support::http::End;
use crate::support::observe::{assert_descriptors, logged, until, until_within};
use crate::support::raw::{connect, get, probe, read_to_end, send, state};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

use probelet::limits::{
    ANSWER_TIME, HOOK_SLOTS, PROBE_SLOTS, REQUEST_HEAD_TIME, RESERVE_SLOTS, SLOTS,
};

pub(crate) const LIVEZ: &str = "/app-health/web/livez";
pub(crate) const READYZ: &str = "/app-health/web/readyz";
pub(crate) const PRESTOP: &str = "/app-lifecycle/web/prestopz";

pub fn tests() -> Vec<Trial> {
    trials!["slots":
        idle_connections_make_room_the_oldest_first,
        half_sent_heads_make_room_the_oldest_first,
        probes_beyond_the_slots_get_503_and_the_others_their_answer,
        parked_connections_do_not_keep_anybody_from_the_503,
        unknown_paths_and_metrics_take_no_place_for_good,
        a_flag_lowers_the_probes_at_once,
        a_fifth_hook_is_closed_unanswered_and_logged,
        a_flag_lowers_the_hooks_at_once,
        hooks_and_probes_do_not_take_each_others_places,
        a_hook_ends_when_kubelet_closes,
        abandoned_probes_give_their_places_back,
        with_every_slot_held_a_newcomer_still_gets_in,
        a_client_that_never_reads_is_let_go,
        a_client_that_sends_for_ever_is_let_go,
    ]
}

/// An agent whose app holds every request of `LIVEZ` and of the hook, and answers `READYZ`.
pub(crate) fn scene(args: &[&str]) -> (App, App, Agent) {
    let (slow, quick) = (App::start(Reply::Hold), App::start(Reply::Status(200)));
    let table = Table::new()
        .http(LIVEZ, slow.port(), 60)
        .http(READYZ, quick.port(), 5)
        .http(PRESTOP, slow.port(), 60);
    let agent = agent_with(&table, args);
    (slow, quick, agent)
}

/// Sends so many requests whose answer the app holds, and waits until it holds them all.
fn hold(agent: &Agent, app: &App, path: &str, count: usize) -> Vec<TcpStream> {
    let before = app.requests();
    let held = (0..count).map(|_| send(agent.addr(), &get(path))).collect();
    app.until_requests(before + count);
    held
}

pub(crate) fn assert_all_answered(held: Vec<TcpStream>, status: u16) {
    for mut stream in held {
        read_to_end(&mut stream).assert_is(status);
    }
}

fn idle_connections_make_room_the_oldest_first() {
    parked_connections_make_room(b"");
}

fn half_sent_heads_make_room_the_oldest_first() {
    parked_connections_make_room(b"GET /app-health/web/readyz HTTP/1.1\r\nHost: ");
}

fn parked_connections_make_room(part: &[u8]) {
    let (_slow, _quick, agent) = scene(&[]);
    let before = agent.descriptors();
    let parked: Vec<_> = (0..2 * SLOTS).map(|_| send(agent.addr(), part)).collect();
    let started = Instant::now();
    probe(&agent, READYZ).assert_is(200);
    assert!(
        started.elapsed() < REQUEST_HEAD_TIME,
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
    let (slow, _quick, agent) = scene(&[]);
    let before = agent.descriptors();
    let held = hold(&agent, &slow, LIVEZ, PROBE_SLOTS);
    for path in [LIVEZ, READYZ].into_iter().cycle().take(40) {
        probe(&agent, path).assert_is(503);
    }
    logged(&agent, "msg=\"not asked\"");
    assert!(
        held.iter().all(|s| state(s) == End::Open),
        "no probe in flight is given up for another"
    );
    slow.set(Reply::Status(204));
    assert_all_answered(held, 204);
    probe(&agent, READYZ).assert_is(200);
    assert_eq!(
        slow.requests(),
        PROBE_SLOTS,
        "what got 503 never reached the app"
    );
    assert_descriptors(&agent, before);
}

fn parked_connections_do_not_keep_anybody_from_the_503() {
    let (slow, _quick, agent) = scene(&[]);
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
        started.elapsed() < REQUEST_HEAD_TIME,
        "waited for parked heads to time out"
    );
    assert!(
        held.iter().all(|s| state(s) == End::Open),
        "nobody who is probed for has to go"
    );
    drop(parked);
    slow.set(Reply::Status(200));
    assert_all_answered(held, 200);
}

fn unknown_paths_and_metrics_take_no_place_for_good() {
    let (_slow, quick, agent) = scene(&[]);
    for _ in 0..4 * SLOTS {
        probe(&agent, "/no").assert_is(404);
        probe(&agent, "/healthz/ready").assert_is(200);
        probe(&agent, READYZ).assert_is(200);
    }
    assert_eq!(quick.requests(), 4 * SLOTS);
}

fn a_flag_lowers_the_probes_at_once() {
    let (slow, _quick, agent) = scene(&["--max-probes", "2"]);
    let held = hold(&agent, &slow, LIVEZ, 2);
    for _ in 0..5 {
        probe(&agent, READYZ).assert_is(503);
    }
    slow.set(Reply::Status(200));
    assert_all_answered(held, 200);
    probe(&agent, READYZ).assert_is(200);
}

fn a_fifth_hook_is_closed_unanswered_and_logged() {
    let (slow, _quick, agent) = scene(&[]);
    let held = hold(&agent, &slow, PRESTOP, HOOK_SLOTS);
    probe(&agent, PRESTOP).assert_none();
    let line = logged(&agent, "reason=hook_slots_full");
    assert!(line.contains(PRESTOP), "{line}");
    probe(&agent, READYZ).assert_is(200);
    slow.set(Reply::Status(200));
    assert_all_answered(held, 200);
    probe(&agent, PRESTOP).assert_is(200);
}

fn a_flag_lowers_the_hooks_at_once() {
    let (slow, _quick, agent) = scene(&["--max-hooks=1"]);
    let held = hold(&agent, &slow, PRESTOP, 1);
    probe(&agent, PRESTOP).assert_none();
    slow.set(Reply::Status(200));
    assert_all_answered(held, 200);
}

fn hooks_and_probes_do_not_take_each_others_places() {
    let (slow, _quick, agent) = scene(&[]);
    let mut held = hold(&agent, &slow, PRESTOP, HOOK_SLOTS);
    held.extend(hold(&agent, &slow, LIVEZ, PROBE_SLOTS));
    probe(&agent, READYZ).assert_is(503);
    probe(&agent, PRESTOP).assert_none();
    slow.set(Reply::Status(200));
    assert_all_answered(held, 200);
    // And the other way round: all probes first.
    slow.set(Reply::Hold);
    let mut held = hold(&agent, &slow, LIVEZ, PROBE_SLOTS);
    held.extend(hold(&agent, &slow, PRESTOP, HOOK_SLOTS));
    slow.set(Reply::Status(200));
    assert_all_answered(held, 200);
}

fn a_hook_ends_when_kubelet_closes() {
    let (slow, _quick, agent) = scene(&[]);
    let before = agent.descriptors();
    let held = hold(&agent, &slow, PRESTOP, HOOK_SLOTS);
    drop(held);
    logged(&agent, "msg=abandoned");
    // The app still holds its side: only the agent's watching the client frees the slots.
    until("the hooks are given up", || {
        (agent.descriptors() == before).then_some(())
    });
    let held = hold(&agent, &slow, PRESTOP, HOOK_SLOTS);
    slow.set(Reply::Status(200));
    assert_all_answered(held, 200);
}

/// The prober's own timeout is a minute: only that the clients went away can free its places.
fn abandoned_probes_give_their_places_back() {
    let (slow, _quick, agent) = scene(&[]);
    let before = agent.descriptors();
    drop(hold(&agent, &slow, LIVEZ, PROBE_SLOTS));
    until("the probes are given up", || {
        (agent.descriptors() == before).then_some(())
    });
    logged(&agent, "msg=abandoned");
    probe(&agent, READYZ).assert_is(200);
}

/// Hooks and probes in flight leave the reserve, and even that is parked by half-sent heads.
fn with_every_slot_held_a_newcomer_still_gets_in() {
    let (slow, _quick, agent) = scene(&[]);
    let hooks = hold(&agent, &slow, PRESTOP, HOOK_SLOTS);
    let parked: Vec<_> = (0..PROBE_SLOTS + RESERVE_SLOTS)
        .map(|_| send(agent.addr(), b"GET /app-health/web/readyz HTTP/1.1\r\n"))
        .collect();
    let started = Instant::now();
    probe(&agent, READYZ).assert_is(200);
    assert!(
        started.elapsed() < REQUEST_HEAD_TIME,
        "waited for parked heads to time out"
    );
    drop(parked);
    slow.set(Reply::Status(200));
    assert_all_answered(hooks, 200);
}

fn a_client_that_never_reads_is_let_go() {
    let (_slow, _quick, agent) = scene(&[]);
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
        ANSWER_TIME * 2,
        "the agent lets go of clients that do not read",
        || (agent.descriptors() == before).then_some(()),
    );
    drop(silent);
    probe(&agent, READYZ).assert_is(200);
}

fn a_client_that_sends_for_ever_is_let_go() {
    let (_slow, _quick, agent) = scene(&[]);
    let before = agent.descriptors();
    let head = b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n";
    let mut stream = connect(agent.addr());
    stream.write_all(head).expect("sent");
    let started = Instant::now();
    // Bounded by the agent: it stops reading, and writing fails.
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("SO_SNDTIMEO");
    while stream.write_all(&[b'x'; 4096]).is_ok() {
        assert!(
            started.elapsed() < PATIENCE,
            "reads what nobody asked for, without end"
        );
    }
    assert_descriptors(&agent, before);
    probe(&agent, READYZ).assert_is(200);
}
