//! More connections than the status port's pool has: which are evicted, and what each client gets.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Instant;

use libtest_mimic::Trial;

use crate::support::WAIT_LIMIT;
use crate::support::agent::Agent;
use crate::support::http::End;
use crate::support::observe::{assert_descriptors, logged, sockets_of, until, until_within};
use crate::support::raw::{connect, connect_from, get, probe, read_to_end, send, state};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

use probelet::limits::{
    POOL_CONNECTIONS, PROBES_PER_PROBER, RECEIVE_BUFFER_BYTES, REQUEST_HEAD_TIMEOUT,
    RESPONSE_WRITE_TIMEOUT,
};

/// Connections of the pool of [`fixture`]'s agent, which has three probers.
pub(crate) const POOL: usize = POOL_CONNECTIONS + 3;

pub(crate) const LIVEZ: &str = "/app-health/web/livez";
pub(crate) const READYZ: &str = "/app-health/web/readyz";
pub(crate) const PRESTOP: &str = "/app-lifecycle/web/prestopz";

pub fn tests() -> Vec<Trial> {
    trials!["slots":
        the_oldest_idle_connections_are_evicted_first,
        the_oldest_half_sent_heads_are_evicted_first,
        unknown_paths_and_metrics_release_their_slots,
        a_hook_ends_when_kubelet_closes,
        abandoned_probes_release_their_slots,
        idle_connections_of_other_clients_do_not_evict_a_slow_head,
        idle_connections_do_not_delay_a_probe_while_others_run,
        a_client_that_never_reads_is_disconnected,
        a_client_that_sends_without_end_is_disconnected,
        few_bytes_are_received_before_they_are_read,
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

/// The address of a client that is not kubelet, from 127.0.0.2 on.
pub(crate) fn other_client(number: usize) -> Ipv4Addr {
    let last = u8::try_from(number + 2).expect("an address of 127.0.0.0/24");
    Ipv4Addr::new(127, 0, 0, last)
}

/// Sends a request from another client's address.
pub(crate) fn send_from(client: Ipv4Addr, agent: &Agent, bytes: &[u8]) -> TcpStream {
    let mut stream = connect_from(client, agent.addr()).expect("the port accepts");
    stream.write_all(bytes).expect("sent");
    stream
}

/// Sends a request from each of several clients, and waits until the app holds all of them.
pub(crate) fn hold(
    agent: &Agent,
    app: &SwitchableApp,
    path: &str,
    clients: usize,
) -> Vec<TcpStream> {
    let before = app.requests();
    let send = |n| send_from(other_client(n), agent, &get(path));
    let held = (0..clients).map(send).collect();
    app.wait_for_requests(before + clients);
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
    let parked: Vec<_> = (0..2 * POOL).map(|_| send(agent.addr(), part)).collect();
    let started = Instant::now();
    probe(&agent, READYZ).assert_is(200);
    assert!(
        started.elapsed() < REQUEST_HEAD_TIMEOUT,
        "waited for parked heads to time out"
    );
    let states: Vec<_> = parked.iter().map(state).collect();
    let gone = states.iter().take_while(|s| **s == End::Reset).count();
    assert!(
        gone >= POOL,
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

fn unknown_paths_and_metrics_release_their_slots() {
    let (_slow, quick, agent) = fixture(&[]);
    for _ in 0..4 * POOL {
        probe(&agent, "/no").assert_is(404);
        probe(&agent, "/healthz/ready").assert_is(200);
        probe(&agent, READYZ).assert_is(200);
    }
    assert_eq!(quick.requests(), 4 * POOL);
}

fn a_hook_ends_when_kubelet_closes() {
    let (slow, _quick, agent) = fixture(&[]);
    let before = agent.descriptors();
    let held = hold(&agent, &slow, PRESTOP, PROBES_PER_PROBER);
    drop(held);
    logged(&agent, "msg=\"probe canceled\"");
    // The app still holds its connections, so the slots are released because the clients close.
    until("the hooks are given up", || {
        (agent.descriptors() == before).then_some(())
    });
    let held = hold(&agent, &slow, PRESTOP, PROBES_PER_PROBER);
    slow.set(ReplyMode::Status(200));
    assert_all_answered(held, 200);
}

/// The prober's timeout is a minute, so the slots are released because the clients close.
fn abandoned_probes_release_their_slots() {
    let (slow, _quick, agent) = fixture(&[]);
    let before = agent.descriptors();
    drop(hold(&agent, &slow, LIVEZ, PROBES_PER_PROBER));
    until("the probes are given up", || {
        (agent.descriptors() == before).then_some(())
    });
    logged(&agent, "msg=\"probe canceled\"");
    probe(&agent, READYZ).assert_is(200);
}

fn idle_connections_of_other_clients_do_not_evict_a_slow_head() {
    let (_slow, _quick, agent) = fixture(&[]);
    let request = get(READYZ);
    let mut slow_head = send(agent.addr(), &request[..10]);
    // From one address, then from eight: each of these has more connections than the client with the slow head.
    let mut parked: Vec<_> = (0..2 * POOL)
        .map(|_| send_from(other_client(0), &agent, b""))
        .collect();
    parked.extend((0..4 * POOL).map(|n| send_from(other_client(n % 8), &agent, b"GET ")));
    assert_eq!(state(&slow_head), End::Open);
    slow_head.write_all(&request[10..]).expect("sent");
    read_to_end(&mut slow_head).assert_is(200);
}

fn idle_connections_do_not_delay_a_probe_while_others_run() {
    let (slow, _quick, agent) = fixture(&[]);
    let held = hold(&agent, &slow, LIVEZ, PROBES_PER_PROBER);
    let hooks = hold(&agent, &slow, PRESTOP, PROBES_PER_PROBER);
    let parked: Vec<_> = (0..4 * POOL)
        .map(|n| {
            send_from(
                other_client(n % 8),
                &agent,
                b"GET /app-health/web/readyz HTTP/1.1\r\n",
            )
        })
        .collect();
    let started = Instant::now();
    probe(&agent, READYZ).assert_is(200);
    assert!(
        started.elapsed() < REQUEST_HEAD_TIMEOUT,
        "waited for parked heads to time out"
    );
    let all = held.iter().chain(&hooks);
    assert!(
        all.into_iter().all(|s| state(s) == End::Open),
        "no running probe is evicted"
    );
    drop(parked);
    slow.set(ReplyMode::Status(200));
    assert_all_answered(held, 200);
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

/// The memory of the agent's container includes what it has not read.
fn few_bytes_are_received_before_they_are_read() {
    let (slow, _quick, agent) = fixture(&[]);
    let mut stream = send(agent.addr(), &get(LIVEZ));
    slow.wait_for_requests(1);
    stream.set_nonblocking(true).expect("O_NONBLOCK");
    while stream.write(&[b'x'; 4096]).is_ok() {}
    let client = stream.local_addr().expect("connected");
    let unread = sockets_of(agent.pid())
        .into_iter()
        .find(|socket| socket.remote == client)
        .expect("the connection is open")
        .rx_queue;
    // The kernel doubles the size of a buffer.
    let most = 2 * RECEIVE_BUFFER_BYTES as u32;
    assert!((1..=most).contains(&unread), "{unread} bytes, not {most}");
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
