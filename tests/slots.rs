//! More than fits: idle connections, probes that do not end, hooks, floods and no descriptors left.
//! Whatever comes, the agent stays up, answers what it accepted and gives everything back.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::support::agent::{Agent, Setup};
use crate::support::app::{App, Reply};
use crate::support::http::End;
use crate::support::observe::{assert_descriptors, logged, until, until_within};
use crate::support::ports::reserve;
use crate::support::raw::{
    connect, connect_if_let, exchange, get, has_bytes, probe, read_to_end, reset, send, state,
};
use crate::support::table::{Table, agent_with, start};
use crate::support::trials::trials;
use crate::support::{Need, PATIENCE};

use probelet::limits::{
    ANSWER_TIME, HOOK_SLOTS, PROBE_SLOTS, REQUEST_HEAD_TIME, RESERVE_SLOTS, SLOTS,
};

const LIVEZ: &str = "/app-health/web/livez";
const READYZ: &str = "/app-health/web/readyz";
const PRESTOP: &str = "/app-lifecycle/web/prestopz";

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["slots":
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
        a_flood_loses_no_probe_and_leaves_nothing_behind,
        nothing_takes_more_memory_than_all_slots_busy_did,
        a_client_that_never_reads_is_let_go,
        a_client_that_sends_for_ever_is_let_go,
    ];
    let prlimit = trials!["slots" needs &[Need::Peer("prlimit")];
        started_with_too_few_descriptors_it_says_how_many_it_needs,
        started_with_few_descriptors_it_takes_less_at_once_and_says_so,
        out_of_descriptors_it_stays_up_and_quiet_and_recovers,
    ];
    tests.extend(prlimit);
    tests
}

/// An agent whose app holds every request of `LIVEZ` and of the hook, and answers `READYZ`.
fn scene(args: &[&str]) -> (App, App, Agent) {
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

fn assert_all_answered(held: Vec<TcpStream>, status: u16) {
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
    // The app still holds its side: only the agent's watching the client frees the slots.
    until("the hooks are given up", || {
        (agent.descriptors() == before).then_some(())
    });
    let held = hold(&agent, &slow, PRESTOP, HOOK_SLOTS);
    slow.set(Reply::Status(200));
    assert_all_answered(held, 200);
}

/// What a flood does with its next connection.
fn flood_step(agent: &Agent, n: usize, parked: &mut Vec<TcpStream>) {
    let Some(mut stream) = connect_if_let(agent.addr()) else {
        return;
    };
    let part: &[u8] = match n % 5 {
        0 | 1 => b"",
        2 => b"GET /app-health/web/readyz HTTP/1.1\r\nHost: ",
        3 => b"\x16\x03\x01 no HTTP at all\r\n\r\n",
        _ => b"GET /app-health/web",
    };
    // Whoever was sent away meanwhile cannot write.
    let _ = stream.write_all(part);
    match n % 5 {
        0 | 2 => reset(stream),
        4 => parked.push(stream),
        _ => drop(stream),
    }
    // Enough to fill every slot several times over, few enough for a test's own descriptors.
    if parked.len() > 4 * SLOTS {
        parked.clear();
    }
}

/// Connections of a flood at least, and probes beside it.
const FLOOD: (usize, usize) = (2_000, 50);

/// Floods until both counts are reached; gives the probes, every one of which was answered 200.
fn probe_beside_a_flood(agent: &Agent) -> usize {
    // kubelet's head follows its connect at once; a test thread that is preempted in between would
    // be one more idle connection, and rightly reset. So the flood holds still for that moment.
    let sending = RwLock::new(());
    let probes = AtomicUsize::new(0);
    let flooded = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut parked = Vec::new();
            let more = |n: &usize| *n < FLOOD.0 || probes.load(Ordering::SeqCst) < FLOOD.1;
            for n in (0..10 * FLOOD.0).take_while(more) {
                let _one_more = sending.read().expect("no panic while it is held");
                flood_step(agent, n, &mut parked);
            }
            flooded.store(true, Ordering::SeqCst);
        });
        while !flooded.load(Ordering::SeqCst) {
            let mut stream = {
                let _alone = sending.write().expect("no panic while it is held");
                send(agent.addr(), &get(READYZ))
            };
            read_to_end(&mut stream).assert_is(200);
            probes.fetch_add(1, Ordering::SeqCst);
        }
    });
    probes.into_inner()
}

fn a_flood_loses_no_probe_and_leaves_nothing_behind() {
    let (_slow, quick, agent) = scene(&[]);
    let before = agent.descriptors();
    let probes = probe_beside_a_flood(&agent);
    assert!(probes >= FLOOD.1, "only {probes} probes beside the flood");
    assert_eq!(quick.requests(), probes, "each probe asked the app once");
    assert_descriptors(&agent, before);
    probe(&agent, READYZ).assert_is(200);
}

/// A head nearly as large as one may be.
fn large_head(path: &str) -> Vec<u8> {
    let cookie = "c".repeat(15 * 1024);
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n").into_bytes()
}

fn nothing_takes_more_memory_than_all_slots_busy_did() {
    let (slow, _quick, agent) = scene(&[]);
    let mut held = Vec::new();
    for (path, count) in [(LIVEZ, PROBE_SLOTS), (PRESTOP, HOOK_SLOTS)] {
        let before = slow.requests();
        held.extend((0..count).map(|_| send(agent.addr(), &large_head(path))));
        slow.until_requests(before + count);
    }
    for _ in 0..2 * RESERVE_SLOTS {
        exchange(agent.addr(), &large_head(READYZ)).assert_is(503);
    }
    let high = agent.memory("Anonymous").expect("alive");
    slow.set(Reply::Status(200));
    assert_all_answered(held, 200);
    probe_beside_a_flood(&agent);
    let after = agent.memory("Anonymous").expect("alive");
    assert!(
        after <= high,
        "{after} KiB of its own, {high} KiB with every slot busy"
    );
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

fn started_with_few_descriptors_it_takes_less_at_once_and_says_so() {
    let (slow, quick) = (App::start(Reply::Hold), App::start(Reply::Status(200)));
    let table = Table::new()
        .http(LIVEZ, slow.port(), 60)
        .http(READYZ, quick.port(), 5);
    let agent = start(
        Setup::new().before(&["prlimit", "--nofile=32:32"]),
        &table,
        &[],
    );
    logged(&agent, "level=warn");
    probe(&agent, READYZ).assert_is(200);
    // Probes until it says no; two descriptors each, so far fewer than there are slots.
    let mut held = Vec::new();
    let full = loop {
        let mut stream = send(agent.addr(), &get(LIVEZ));
        match until("the request is held or answered", || {
            decided(&slow, held.len() + 1, &stream)
        }) {
            End::Open => held.push(stream),
            _ => break read_to_end(&mut stream),
        }
    };
    full.assert_is(503);
    assert!(
        (1..=16).contains(&held.len()),
        "{} probes at once",
        held.len()
    );
    slow.set(Reply::Status(200));
    assert_all_answered(held, 200);
    probe(&agent, READYZ).assert_is(200);
}

fn started_with_too_few_descriptors_it_says_how_many_it_needs() {
    let setup = Setup::new().before(&["prlimit", "--nofile=11:11"]);
    let status = reserve();
    let setup = setup.arg(format!("--status-port={}", status.port));
    let (code, log) = setup.run_to_end().expect("ends by itself");
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("descriptors") && log.contains("11"), "{log}");
    assert!(!log.contains("msg=listening"), "{log}");
}

/// Held by the app (`Open`) or answered, whichever it turns out to be.
fn decided(app: &App, requests: usize, stream: &TcpStream) -> Option<End> {
    if app.requests() >= requests {
        return Some(End::Open);
    }
    (has_bytes(stream) || state(stream) != End::Open).then_some(End::Fin)
}

fn limit_descriptors(pid: u32, limit: usize) {
    let limit = format!("--nofile={limit}:");
    let done = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &limit])
        .status();
    assert!(
        done.expect("util-linux is installed").success(),
        "prlimit {limit}"
    );
}

/// The number the next descriptor would get; inherited ones may leave gaps below the highest.
fn first_free_descriptor(pid: u32) -> usize {
    let is_free = |n: &usize| !std::path::Path::new(&format!("/proc/{pid}/fd/{n}")).exists();
    (0..).find(is_free).expect("the table is not full")
}

fn out_of_descriptors_it_stays_up_and_quiet_and_recovers() {
    let (_slow, _quick, agent) = scene(&[]);
    let open = agent.descriptors();
    limit_descriptors(agent.pid(), first_free_descriptor(agent.pid()));
    // The kernel completes these connects; the agent cannot accept a single one.
    let waiting: Vec<_> = (0..8).map(|_| send(agent.addr(), &get(READYZ))).collect();
    logged(&agent, "accept failed");
    let before = agent.cpu().expect("alive");
    // A window to measure in, not a wait for something to happen.
    thread::sleep(Duration::from_secs(2));
    let spent = agent.cpu().expect("alive") - before;
    assert!(
        spent <= Duration::from_millis(200),
        "{spent:?} of 2 s spent with nothing to do"
    );
    limit_descriptors(agent.pid(), 1024);
    for mut stream in waiting {
        // Its time counts from the accept.
        read_to_end(&mut stream).assert_is(200);
    }
    probe(&agent, READYZ).assert_is(200);
    assert_descriptors(&agent, open);
}
