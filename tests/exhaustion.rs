//! Floods, and limits of memory and descriptors. The agent keeps running, loses no accepted probe, and releases all
//! resources.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::support::Need;
use crate::support::agent::{Agent, Setup, is_emulated};
use crate::support::observe::{assert_descriptors, logged, next_descriptor};
use crate::support::ports::reserve;
use crate::support::raw::{connect_unless_reset, exchange, get, probe, read_to_end, reset, send};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::{Table, start};
use crate::support::trials::trials;

use crate::slots::{
    LIVEZ, POOL, PRESTOP, READYZ, assert_all_answered, fixture, hold, other_client, send_from,
};
use probelet::limits::{PROBES_PER_PROBER, WAITING_PER_PROBER};

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["exhaustion":
        a_flood_loses_no_probe_and_no_descriptor,
        memory_never_exceeds_that_of_all_slots_busy,
    ];
    tests.extend(trials!["exhaustion" needs &[Need::Peer("prlimit")];
        with_too_few_descriptors_it_reports_how_many_it_needs,
        with_few_descriptors_it_lowers_its_limits_and_warns,
        out_of_descriptors_it_backs_off_and_recovers,
    ]);
    tests
}

/// The actions of a flood on its next connection.
fn flood_step(agent: &Agent, n: usize, parked: &mut Vec<TcpStream>) {
    let Some(mut stream) = connect_unless_reset(agent.addr()) else {
        return;
    };
    let part: &[u8] = match n % 5 {
        0 | 1 => b"",
        2 => b"GET /app-health/web/readyz HTTP/1.1\r\nHost: ",
        3 => b"\x16\x03\x01 no HTTP at all\r\n\r\n",
        _ => b"GET /app-health/web",
    };
    // The agent may have closed it meanwhile.
    let _ = stream.write_all(part);
    match n % 5 {
        0 | 2 => reset(stream),
        4 => parked.push(stream),
        _ => drop(stream),
    }
    // Enough to fill the slots several times, few enough for the descriptors of the test.
    if parked.len() > 4 * POOL {
        parked.clear();
    }
}

/// The minimum of connections of a flood, and of probes during it.
const FLOOD: (usize, usize) = (2_000, 50);

/// Floods until both minimums are reached. Returns the number of probes, which all got 200.
fn probe_during_a_flood(agent: &Agent) -> usize {
    // kubelet sends its request right after the connect. A preempted test thread would be an idle connection, which the
    // agent may evict, so the flood pauses for that moment.
    let sending = RwLock::new(());
    let probes = AtomicUsize::new(0);
    let flooded = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut parked = Vec::new();
            let more = |n: &usize| *n < FLOOD.0 || probes.load(Ordering::SeqCst) < FLOOD.1;
            // A generous bound: an emulated agent serves few probes in this time.
            for n in (0..50 * FLOOD.0).take_while(more) {
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

fn a_flood_loses_no_probe_and_no_descriptor() {
    let (_slow, quick, agent) = fixture(&[]);
    let before = agent.descriptors();
    let probes = probe_during_a_flood(&agent);
    assert!(probes >= FLOOD.1, "only {probes} probes during the flood");
    assert_eq!(
        quick.requests(),
        probes,
        "each probe sent the app one request"
    );
    assert_descriptors(&agent, before);
    probe(&agent, READYZ).assert_is(200);
}

/// A head of nearly the maximum size.
fn large_head(path: &str) -> Vec<u8> {
    let cookie = "c".repeat(15 * 1024);
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n").into_bytes()
}

fn memory_never_exceeds_that_of_all_slots_busy() {
    let (slow, _quick, agent) = fixture(&[]);
    let mut held = Vec::new();
    for path in [LIVEZ, PRESTOP] {
        let before = slow.requests();
        let client = |n| send_from(other_client(n), &agent, &large_head(path));
        held.extend((0..PROBES_PER_PROBER).map(client));
        slow.wait_for_requests(before + PROBES_PER_PROBER);
        // Both slots are occupied, and a large head does not wait.
        let more = exchange(agent.addr(), &large_head(path));
        match path {
            PRESTOP => more.assert_none(),
            _ => more.assert_is(503),
        }
    }
    let whole = large_head(READYZ);
    let unfinished = |_| send(agent.addr(), &whole[..whole.len() - 4]);
    let parked: Vec<_> = (0..POOL).map(unfinished).collect();
    probe(&agent, READYZ).assert_is(200);
    let high = agent.memory("Anonymous").expect("alive");
    drop(parked);
    slow.set(ReplyMode::Status(200));
    assert_all_answered(held, 200);
    probe_during_a_flood(&agent);
    let after = agent.memory("Anonymous").expect("alive");
    // An emulator keeps its translated code in memory.
    assert!(
        after <= high || is_emulated(),
        "{after} KiB of anonymous memory, {high} KiB with every slot busy"
    );
}

fn with_few_descriptors_it_lowers_its_limits_and_warns() {
    let (slow, quick) = (
        SwitchableApp::start(ReplyMode::Hold),
        SwitchableApp::start(ReplyMode::Status(200)),
    );
    let table = Table::new()
        .http(LIVEZ, slow.port(), 60)
        .http(READYZ, quick.port(), 5);
    let agent = start(
        Setup::new().wrapped_by(&["prlimit", "--nofile=32:32"]),
        &table,
        &[],
    );
    logged(&agent, "level=warn");
    probe(&agent, READYZ).assert_is(200);
    // Probes until one is rejected. Each needs two descriptors, so these are far fewer than the slots.
    // Two probes run, and fewer than usual wait.
    let mut held = hold(&agent, &slow, LIVEZ, PROBES_PER_PROBER);
    let clients = PROBES_PER_PROBER..PROBES_PER_PROBER + WAITING_PER_PROBER;
    held.extend(clients.map(|n| send_from(other_client(n), &agent, &get(LIVEZ))));
    let line = logged(&agent, "msg=\"probe rejected, no free slot\"");
    assert!(line.contains(LIVEZ), "{line}");
    probe(&agent, READYZ).assert_is(200);
    slow.set(ReplyMode::Status(200));
    let codes: Vec<_> = held.iter_mut().map(|s| read_to_end(s).code()).collect();
    assert_eq!(codes[..PROBES_PER_PROBER], [Some(200); PROBES_PER_PROBER]);
    assert!(
        codes.iter().all(|code| matches!(code, Some(200 | 503))),
        "{codes:?}"
    );
    probe(&agent, READYZ).assert_is(200);
}

fn with_too_few_descriptors_it_reports_how_many_it_needs() {
    let setup = Setup::new().wrapped_by(&["prlimit", "--nofile=11:11"]);
    let status = reserve();
    let setup = setup.arg(format!("--status-port={}", status.port));
    let (code, log) = setup.run_to_end().expect("ends by itself");
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("descriptors") && log.contains("11"), "{log}");
    assert!(!log.contains("msg=listening"), "{log}");
}

fn limit_descriptors(pid: u32, limit: u64) {
    let limit = format!("--nofile={limit}:");
    let done = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &limit])
        .status();
    assert!(
        done.expect("util-linux is installed").success(),
        "prlimit {limit}"
    );
}

fn out_of_descriptors_it_backs_off_and_recovers() {
    let (_slow, _quick, agent) = fixture(&[]);
    let open = agent.descriptors();
    limit_descriptors(agent.pid(), next_descriptor(agent.pid()));
    // The kernel completes these connects, but the agent cannot accept any.
    let send = |n| send_from(other_client(n), &agent, &get(READYZ));
    let waiting: Vec<_> = (0..8).map(send).collect();
    logged(&agent, "accept failed");
    let before = agent.cpu().expect("alive");
    // The period of the measurement, not a wait for an event.
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
