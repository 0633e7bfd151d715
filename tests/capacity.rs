//! A healthy app is never reported down because of others: other apps that hang, and other clients that send more than
//! kubelet. Probes of kubelet come from 127.0.0.1 here, those of other clients from 127.0.0.2 to 127.0.0.9.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::slots::{assert_all_answered, hold, other_client, send_from};
use crate::support::agent::Agent;
use crate::support::faults::{FINE, answer};
use crate::support::http::End;
use crate::support::observe::{assert_descriptors, logged, until};
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use crate::support::raw::{connect_from, get, has_bytes, probe, read_to_end, reset, send, state};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

use probelet::limits::{PROBERS, PROBES_PER_PROBER, WAITING_HEAD_BYTES, WAITING_PER_PROBER};

const HEALTHY: &str = "/app-health/web/readyz";
const PRESTOP: &str = "/app-lifecycle/web/prestopz";
const OTHER_PRESTOP: &str = "/app-lifecycle/other/prestopz";

/// Addresses of clients that are not kubelet.
const OTHER_CLIENTS: usize = 8;

/// Connections of clients that loop: more than the pool has room for.
const LOOPING_CONNECTIONS: usize = 40;

/// Pause of a client that loops after a refusal, so that the test itself does not use up the processor.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(20);

pub fn tests() -> Vec<Trial> {
    trials!["capacity":
        probers_that_hang_do_not_fail_another_one,
        every_place_and_queue_occupied_does_not_fail_another_prober,
        all_probers_are_probed_at_once_from_one_address,
        a_client_that_floods_a_hung_prober_does_not_fail_another_one,
        clients_that_loop_on_a_prober_do_not_fail_another_one,
        clients_that_loop_on_a_prober_do_not_fail_that_prober,
        attacks_of_every_kind_at_once_do_not_fail_another_prober,
        clients_that_reset_do_not_fail_another_prober,
        clients_that_reset_do_not_fail_that_prober,
        a_request_takes_the_place_of_a_client_that_is_gone,
        a_large_request_takes_the_place_of_a_client_that_is_gone,
        a_second_request_of_a_client_waits_and_a_third_gets_503,
        a_request_that_waits_is_not_evicted_with_the_connection_before_it,
        a_request_that_waits_gets_503_by_its_deadline,
        a_request_that_waits_is_probed_with_its_own_headers,
        requests_that_cannot_wait_get_503,
        a_client_that_leaves_the_queue_is_not_probed_for,
        slow_hooks_of_others_do_not_fail_a_hook,
        a_hook_that_waits_runs_after_those_of_others,
        a_hook_beyond_the_queue_is_closed_without_a_response,
    ]
}

/// The path of the prober with this number of an app that hangs.
fn hung(number: usize) -> String {
    format!("/app-health/hung{number}/livez")
}

/// An agent with probers of an app that holds every request, hooks of it, and a prober of an app that responds at once.
struct Fixture {
    agent: Agent,
    slow: SwitchableApp,
    _healthy: SwitchableApp,
}

impl Fixture {
    fn start(hung_probers: usize, seconds: u32) -> Fixture {
        let slow = SwitchableApp::start(ReplyMode::Hold);
        let healthy = SwitchableApp::start(ReplyMode::Status(200));
        let mut table = Table::new()
            .http(HEALTHY, healthy.port(), 5)
            .http(PRESTOP, slow.port(), 1)
            .http(OTHER_PRESTOP, slow.port(), 1);
        for number in 0..hung_probers {
            table = table.http(&hung(number), slow.port(), seconds);
        }
        Fixture {
            agent: agent_with(&table, &[]),
            slow,
            _healthy: healthy,
        }
    }

    #[track_caller]
    fn assert_healthy(&self, probes: usize) {
        for _ in 0..probes {
            probe(&self.agent, HEALTHY).assert_is(200);
        }
    }

    /// The app responds, also to the requests that it holds.
    fn release(&self) {
        self.slow.set(ReplyMode::Status(200));
    }
}

fn probers_that_hang_do_not_fail_another_one() {
    let fixture = Fixture::start(40, 10);
    let send = |number| send(fixture.agent.addr(), &get(&hung(number)));
    let held: Vec<_> = (0..40).map(send).collect();
    fixture.slow.wait_for_requests(40);
    fixture.assert_healthy(10);
    fixture.release();
    assert_all_answered(held, 200);
}

fn every_place_and_queue_occupied_does_not_fail_another_prober() {
    let probers = PROBERS - 3;
    let fixture = Fixture::start(probers, 60);
    let before = fixture.agent.descriptors();
    let mut held = Vec::new();
    for client in 0..PROBES_PER_PROBER + 2 {
        let send = |number| send_from(other_client(client), &fixture.agent, &get(&hung(number)));
        held.extend((0..probers).map(send));
    }
    fixture.slow.wait_for_requests(probers * PROBES_PER_PROBER);
    fixture.assert_healthy(20);
    fixture.release();
    assert_all_answered(held, 200);
    assert_descriptors(&fixture.agent, before);
}

fn all_probers_are_probed_at_once_from_one_address() {
    const AT_ONCE: usize = 60;
    let fixture = Fixture::start(AT_ONCE, 10);
    for round in 1..=3 {
        fixture.slow.set(ReplyMode::Hold);
        // All connections are open before the first request is sent.
        let mut all: Vec<_> = (0..AT_ONCE)
            .map(|_| send(fixture.agent.addr(), b""))
            .collect();
        for (number, stream) in all.iter_mut().enumerate() {
            stream.write_all(&get(&hung(number))).expect("sent");
        }
        fixture.slow.wait_for_requests(round * AT_ONCE);
        fixture.release();
        assert_all_answered(all, 200);
    }
    for _ in 0..3 {
        let send = |number| send(fixture.agent.addr(), &get(&hung(number)));
        assert_all_answered((0..36).map(send).collect(), 200);
    }
}

fn a_client_that_floods_a_hung_prober_does_not_fail_another_one() {
    let fixture = Fixture::start(1, 60);
    let mut flood = Vec::new();
    for _ in 0..50 {
        flood.extend((0..4).map(|_| send_from(other_client(0), &fixture.agent, &get(&hung(0)))));
        fixture.assert_healthy(1);
    }
    until("all but two have a response", || {
        let open = flood
            .iter()
            .filter(|s| !has_bytes(s) && state(s) == End::Open);
        (open.count() == 2).then_some(())
    });
    // The same from many addresses: two probes run, and some requests wait.
    flood.extend((0..60).map(|n| send_from(other_client(n), &fixture.agent, &get(&hung(0)))));
    fixture.assert_healthy(20);
    until("all but those that run and wait have a response", || {
        let open = flood
            .iter()
            .filter(|s| !has_bytes(s) && state(s) == End::Open);
        (open.count() == PROBES_PER_PROBER + WAITING_PER_PROBER).then_some(())
    });
    assert!(fixture.slow.requests() <= PROBES_PER_PROBER);
}

/// An app that takes this long for its response.
fn app_with_delay(delay: Duration) -> PathScriptedApp {
    let app = PathScriptedApp::start();
    let mut script = vec![Step::Pause(delay)];
    script.extend(answer(FINE));
    app.on("/", script);
    app
}

/// Stops the clients of a test at the end of their scope, also if the test fails: otherwise the scope would wait for them.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `probes` while clients on all other addresses loop on a path of the agent.
fn while_clients_loop(agent: &Agent, path: &str, probes: impl FnOnce()) {
    let stopped = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let request = get(path);
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stopped);
        for number in 0..LOOPING_CONNECTIONS {
            let (stopped, answered, request) = (&stopped, &answered, &request);
            let client = other_client(number % OTHER_CLIENTS);
            scope.spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    // The agent may reset the connection before the request is sent.
                    let answer = connect_from(client, agent.addr()).and_then(|mut stream| {
                        stream.write_all(request)?;
                        Ok(read_to_end(&mut stream).code())
                    });
                    match answer {
                        Ok(Some(200)) => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => thread::sleep(PAUSE_AFTER_REFUSAL),
                    }
                }
            });
        }
        until("the clients are served", || {
            (answered.load(Ordering::Relaxed) >= OTHER_CLIENTS).then_some(())
        });
        probes();
    });
}

fn clients_that_loop_on_a_prober_do_not_fail_another_one() {
    for delay in [20, 200].map(Duration::from_millis) {
        let slow = app_with_delay(delay);
        let healthy = SwitchableApp::start(ReplyMode::Status(200));
        let table = Table::new()
            .http(HEALTHY, healthy.port(), 5)
            .http(&hung(0), slow.port(), 5);
        let agent = agent_with(&table, &[]);
        while_clients_loop(&agent, &hung(0), || {
            for _ in 0..30 {
                probe(&agent, HEALTHY).assert_is(200);
            }
        });
    }
}

/// The app needs less than a third of the timeout, and two of its responses fit in it.
fn clients_that_loop_on_a_prober_do_not_fail_that_prober() {
    let app = app_with_delay(Duration::from_millis(600));
    let agent = agent_with(&Table::new().http(HEALTHY, app.port(), 2), &[]);
    while_clients_loop(&agent, HEALTHY, || {
        for _ in 0..4 {
            probe(&agent, HEALTHY).assert_is(200);
            // The period of kubelet's probes is at least a second.
            thread::sleep(Duration::from_millis(500));
        }
    });
}

/// Loops, floods, resets, idle connections, incomplete and large requests, unknown paths and hooks, from eight addresses.
fn attacks_of_every_kind_at_once_do_not_fail_another_prober() {
    let fixture = Fixture::start(20, 60);
    let before = fixture.agent.descriptors();
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stopped);
        for number in 0..OTHER_CLIENTS {
            let (fixture, stopped) = (&fixture, &stopped);
            scope.spawn(move || {
                let mut held = Vec::new();
                for round in 0.. {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    let path = hung((number + round) % 20);
                    let request = match (number + round) % 7 {
                        0 => get(&path),
                        1 => large(&path),
                        2 => get(&path)[..20].to_vec(),
                        3 => get("/metrics"),
                        4 => get("/unknown"),
                        5 => get(PRESTOP),
                        _ => Vec::new(),
                    };
                    // The agent may reset the connection before the request is sent.
                    let Ok(mut stream) = connect_from(other_client(number), fixture.agent.addr())
                    else {
                        continue;
                    };
                    let _ = stream.write_all(&request);
                    match round % 3 {
                        0 => reset(stream),
                        _ => held.push(stream),
                    }
                    if held.len() == 20 {
                        held.clear();
                    }
                }
            });
        }
        for _ in 0..100 {
            probe(&fixture.agent, HEALTHY).assert_is(200);
        }
    });
    fixture.release();
    assert_descriptors(&fixture.agent, before);
}

fn clients_that_reset_do_not_fail_another_prober() {
    let fixture = Fixture::start(1, 60);
    let before = fixture.agent.descriptors();
    for round in 0..300 {
        reset(send_from(
            other_client(round % 3),
            &fixture.agent,
            &get(&hung(0)),
        ));
        if round % 10 == 0 {
            fixture.assert_healthy(1);
        }
    }
    assert_descriptors(&fixture.agent, before);
}

fn clients_that_reset_do_not_fail_that_prober() {
    let fixture = Fixture::start(1, 60);
    for round in 0..100 {
        let requests = fixture.slow.requests();
        for client in 0..PROBES_PER_PROBER {
            reset(send_from(
                other_client(client),
                &fixture.agent,
                &get(&hung(0)),
            ));
        }
        if round % 10 == 0 {
            // kubelet's request reaches the app, although the others occupied both places.
            let before = fixture.slow.requests().max(requests);
            let kubelet = send(fixture.agent.addr(), &get(&hung(0)));
            fixture.slow.wait_for_requests(before + 1);
            assert_eq!(state(&kubelet), End::Open);
        }
    }
}

/// Occupies all places of the prober, and closes the connections without a wait for the agent.
fn occupy_and_leave(fixture: &Fixture, path: &str) {
    leave(hold(&fixture.agent, &fixture.slow, path, PROBES_PER_PROBER));
}

/// Closes connections at once: a process that another trial forks at this moment has copies of them until its exec.
fn leave(streams: Vec<TcpStream>) {
    for stream in streams {
        stream.shutdown(Shutdown::Both).expect("an open connection");
    }
}

fn a_request_takes_the_place_of_a_client_that_is_gone() {
    let fixture = Fixture::start(1, 60);
    for round in 0..20 {
        occupy_and_leave(&fixture, &hung(0));
        let _kubelet = send(fixture.agent.addr(), &get(&hung(0)));
        fixture
            .slow
            .wait_for_requests((round + 1) * (PROBES_PER_PROBER + 1));
    }
}

fn a_large_request_takes_the_place_of_a_client_that_is_gone() {
    let fixture = Fixture::start(1, 60);
    for round in 0..20 {
        occupy_and_leave(&fixture, &hung(0));
        let _kubelet = send(fixture.agent.addr(), &large(&hung(0)));
        fixture
            .slow
            .wait_for_requests((round + 1) * (PROBES_PER_PROBER + 1));
    }
}

/// A request that is too large to wait.
fn large(path: &str) -> Vec<u8> {
    let mut request = get(path);
    request.truncate(request.len() - 2);
    let value = "v".repeat(WAITING_HEAD_BYTES);
    request.extend_from_slice(format!("X-Large: {value}\r\n\r\n").as_bytes());
    request
}

fn a_second_request_of_a_client_waits_and_a_third_gets_503() {
    let fixture = Fixture::start(1, 60);
    let mut first = send(fixture.agent.addr(), &get(&hung(0)));
    fixture.slow.wait_for_requests(1);
    let mut second = send(fixture.agent.addr(), &get(&hung(0)));
    probe(&fixture.agent, &hung(0)).assert_is(503);
    logged(&fixture.agent, "msg=\"probe rejected, no free slot\"");
    assert_eq!(fixture.slow.requests(), 1);
    fixture.release();
    read_to_end(&mut first).assert_is(200);
    read_to_end(&mut second).assert_is(200);
    assert_eq!(fixture.slow.requests(), 2);
}

/// The client before it sends more than a request, so the agent still discards its bytes when the next one starts.
fn a_request_that_waits_is_not_evicted_with_the_connection_before_it() {
    let fixture = Fixture::start(1, 60);
    for _ in 0..10 {
        fixture.slow.set(ReplyMode::Hold);
        let before = fixture.slow.requests();
        let surplus = [get(&hung(0)), b"more".to_vec()].concat();
        let send_surplus = |n| send_from(other_client(n), &fixture.agent, &surplus);
        let first: Vec<_> = (0..PROBES_PER_PROBER).map(send_surplus).collect();
        fixture.slow.wait_for_requests(before + PROBES_PER_PROBER);
        let waiting = (2..6).map(|n| send_from(other_client(n), &fixture.agent, &get(&hung(0))));
        let waiting: Vec<_> = waiting.collect();
        fixture.assert_healthy(1);
        fixture.release();
        // More than the pool has room for.
        let idle = (0..100).map(|n| send_from(other_client(n % 8), &fixture.agent, b"GET "));
        let idle: Vec<_> = idle.collect();
        assert_all_answered(waiting, 200);
        drop((first, idle));
    }
}

fn a_request_that_waits_gets_503_by_its_deadline() {
    let fixture = Fixture::start(1, 1);
    let mut held = hold(&fixture.agent, &fixture.slow, &hung(0), PROBES_PER_PROBER);
    let mut waiting = send(fixture.agent.addr(), &get(&hung(0)));
    for stream in &mut held {
        read_to_end(stream).assert_is(504);
    }
    // It was accepted last, so it runs for the rest of its time, or is refused.
    let code = read_to_end(&mut waiting).code();
    assert!(matches!(code, Some(503 | 504)), "{code:?}");
}

fn a_request_that_waits_is_probed_with_its_own_headers() {
    let app = PathScriptedApp::start();
    app.on("/", vec![Step::Hold]);
    let agent = agent_with(&Table::new().http(HEALTHY, app.port(), 60), &[]);
    let with_name = |name: &str| {
        let mut request = get(HEALTHY);
        request.truncate(request.len() - 2);
        request.extend_from_slice(format!("X-Client: {name}\r\n\r\n").as_bytes());
        request
    };
    let first = send(agent.addr(), &with_name("first"));
    until("the first request", || {
        (app.requests().len() == 1).then_some(())
    });
    let mut second = send(agent.addr(), &with_name("second"));
    probe(&agent, HEALTHY).assert_is(503);
    app.on("/", answer(FINE));
    drop(first);
    read_to_end(&mut second).assert_is(200);
    let requests = app.requests();
    let heads: Vec<_> = requests
        .iter()
        .map(|r| String::from_utf8_lossy(&r.head))
        .collect();
    assert!(heads[0].contains("X-Client: first\r\n"), "{heads:?}");
    assert!(heads[1].contains("X-Client: second\r\n"), "{heads:?}");
}

fn requests_that_cannot_wait_get_503() {
    let fixture = Fixture::start(1, 60);
    let held = hold(&fixture.agent, &fixture.slow, &hung(0), PROBES_PER_PROBER);
    read_to_end(&mut send(fixture.agent.addr(), &large(&hung(0)))).assert_is(503);
    // A second request on the connection is not answered, and would be lost.
    let pipelined = get(&hung(0)).repeat(2);
    read_to_end(&mut send(fixture.agent.addr(), &pipelined)).assert_is(503);
    fixture.release();
    assert_all_answered(held, 200);
}

fn a_client_that_leaves_the_queue_is_not_probed_for() {
    let fixture = Fixture::start(1, 60);
    let held = hold(&fixture.agent, &fixture.slow, &hung(0), PROBES_PER_PROBER);
    let clients = PROBES_PER_PROBER..PROBES_PER_PROBER + WAITING_PER_PROBER;
    let waiting: Vec<_> = clients
        .map(|n| send_from(other_client(n), &fixture.agent, &get(&hung(0))))
        .collect();
    fixture.assert_healthy(1);
    leave(waiting);
    let mut kubelet = send(fixture.agent.addr(), &get(&hung(0)));
    fixture.assert_healthy(1);
    assert_eq!(
        state(&kubelet),
        End::Open,
        "a client that is gone has no place in the queue"
    );
    fixture.release();
    read_to_end(&mut kubelet).assert_is(200);
    assert_all_answered(held, 200);
    assert_eq!(fixture.slow.requests(), PROBES_PER_PROBER + 1);
}

fn slow_hooks_of_others_do_not_fail_a_hook() {
    let fixture = Fixture::start(0, 1);
    // Four requests of one client for each hook: one runs, one waits, and two are refused.
    let others: Vec<_> = [PRESTOP, OTHER_PRESTOP]
        .into_iter()
        .flat_map(|path| (0..4).map(move |_| path))
        .map(|path| send_from(other_client(0), &fixture.agent, &get(path)))
        .collect();
    fixture.slow.wait_for_requests(2);
    let kubelet = [PRESTOP, OTHER_PRESTOP].map(|path| send(fixture.agent.addr(), &get(path)));
    fixture.slow.wait_for_requests(4);
    fixture.assert_healthy(5);
    fixture.release();
    assert_all_answered(kubelet.into(), 200);
    drop(others);
}

fn a_hook_that_waits_runs_after_those_of_others() {
    let fixture = Fixture::start(0, 1);
    let others = hold(&fixture.agent, &fixture.slow, PRESTOP, PROBES_PER_PROBER);
    let mut kubelet = send(fixture.agent.addr(), &get(PRESTOP));
    fixture.assert_healthy(5);
    assert_eq!(fixture.slow.requests(), PROBES_PER_PROBER);
    fixture.release();
    read_to_end(&mut kubelet).assert_is(200);
    assert_eq!(
        fixture.slow.requests(),
        PROBES_PER_PROBER + 1,
        "it is not shared"
    );
    assert_all_answered(others, 200);
}

fn a_hook_beyond_the_queue_is_closed_without_a_response() {
    let fixture = Fixture::start(0, 1);
    let held = hold(&fixture.agent, &fixture.slow, PRESTOP, 1);
    let _waiting = send_from(other_client(0), &fixture.agent, &get(PRESTOP));
    let mut third = send_from(other_client(0), &fixture.agent, &get(PRESTOP));
    read_to_end(&mut third).assert_none();
    let line = logged(&fixture.agent, "reason=hook_slots_full");
    assert!(line.contains(PRESTOP), "{line}");
    fixture.release();
    assert_all_answered(held, 200);
}
