//! Limits of concurrent forwarded connections: each forward has its own slots, and a full one evicts a connection for a
//! new one. Nobody can block a forward for the probes through it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::support::agent::Agent;
use crate::support::http::End;
use crate::support::observe::{Socket, assert_descriptors, logged, sockets, until};
use crate::support::ports::reserve;
use crate::support::raw::{
    connect, connect_from, connect_unless_reset, exchange, get, read_to_end, reset, send, state,
    until_read,
};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

use crate::passthrough::{ForwardListener, LIVEZ, end_of, fixture, forward_to, listen, until_free};
use crate::slots::hold;
use probelet::limits::{FORWARD_CONNECTIONS, PROBES_PER_PROBER};

pub fn tests() -> Vec<Trial> {
    trials!["forward_slots":
        idle_connections_of_one_address_do_not_block_a_forward,
        idle_connections_of_eight_addresses_do_not_block_a_forward,
        connections_that_sent_one_byte_do_not_block_a_forward,
        a_probe_that_waits_for_the_app_is_not_evicted,
        an_evicted_connection_is_reset_on_both_sides_and_reported,
        with_all_slots_waiting_for_the_app_a_new_connection_of_the_address_is_reset,
        a_client_that_has_reset_makes_room_at_once,
        max_forwards_lowers_concurrent_connections_of_each_forward,
        a_full_forward_does_not_disturb_another,
        forwards_and_probes_have_separate_slots,
        a_flood_of_resets_leaves_no_descriptors,
    ]
}

/// The addresses of eight clients other than 127.0.0.1, from which the tests probe.
fn other_addresses() -> impl Iterator<Item = Ipv4Addr> + Clone {
    (2..10).map(|n| Ipv4Addr::new(127, 0, 0, n))
}

/// Opens as many connections as a forward may have, from these addresses in turn, and sends `bytes` on each. Waits
/// until the agent has read the bytes.
fn occupy(
    forward: &ForwardListener,
    addresses: impl Iterator<Item = Ipv4Addr> + Clone,
    bytes: &[u8],
) -> Vec<TcpStream> {
    let connections = addresses.cycle().take(FORWARD_CONNECTIONS).map(|address| {
        let mut stream = connect_from(address, forward.addr()).expect("accepts");
        // The agent may have evicted it already: the connections of the round before can still hold slots.
        let _ = stream.write_all(bytes);
        stream
    });
    let connections: Vec<_> = connections.collect();
    until_read(&connections);
    connections
}

/// Probes through a forward whose slots these addresses occupy, several times as often as a forward has slots.
fn assert_probes_pass(addresses: impl Iterator<Item = Ipv4Addr> + Clone, bytes: &[u8]) {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let (_agent, forward) = forward_to(app.addr(), &Table::new(), &[]);
    for _ in 0..4 {
        let _occupying = occupy(&forward, addresses.clone(), bytes);
        for _ in 0..FORWARD_CONNECTIONS {
            exchange(forward.addr(), &get("/")).assert_is(200);
        }
    }
}

fn idle_connections_of_one_address_do_not_block_a_forward() {
    assert_probes_pass(other_addresses().take(1), b"");
}

fn idle_connections_of_eight_addresses_do_not_block_a_forward() {
    assert_probes_pass(other_addresses(), b"");
}

fn connections_that_sent_one_byte_do_not_block_a_forward() {
    assert_probes_pass(other_addresses().take(1), b"G");
    assert_probes_pass(other_addresses(), b"G");
}

/// It is the only connection of its address, so others are evicted or rejected.
fn a_probe_that_waits_for_the_app_is_not_evicted() {
    for bytes in [b"".as_slice(), b"G"] {
        for addresses in [1, 8] {
            let app = SwitchableApp::start(ReplyMode::Hold);
            let (_agent, forward) = forward_to(app.addr(), &Table::new(), &[]);
            let mut waiting = send(forward.addr(), &get("/"));
            app.wait_for_requests(1);
            let attackers = other_addresses().take(addresses).cycle();
            let attacks = attackers.take(4 * FORWARD_CONNECTIONS).map(|address| {
                let mut stream = connect_from(address, forward.addr()).ok()?;
                // The agent may have reset it already.
                let _ = stream.write_all(bytes);
                Some(stream)
            });
            let _attacks: Vec<_> = attacks.collect();
            app.set(ReplyMode::Status(200));
            read_to_end(&mut waiting).assert_is(200);
        }
    }
}

fn an_evicted_connection_is_reset_on_both_sides_and_reported() {
    let fixture = fixture(&["--max-forwards", "1"]);
    let evicted = "probelet_forward_connections_rejected_total{reason=\"evicted\"}";
    assert_eq!(fixture.agent.metric(evicted), Some(0.0));
    let before = fixture.agent.descriptors();
    let other = Ipv4Addr::new(127, 0, 0, 2);
    let mut client = connect_from(other, fixture.forward.addr()).expect("accepts");
    let (mut app, _) = fixture.app.accept().expect("the target is dialled");
    let (new_client, new_app) = fixture.pair();
    assert_eq!(read_to_end(&mut client).end, End::Reset);
    assert_eq!(read_to_end(&mut app).end, End::Reset);
    let line = logged(&fixture.agent, "msg=\"forward connection evicted\"");
    let expected = format!("port={} client=127.0.0.2", fixture.forward.0.port);
    assert!(line.contains(&expected), "{line}");
    assert_eq!(fixture.agent.metric(evicted), Some(1.0));
    drop((new_client, new_app));
    assert_descriptors(&fixture.agent, before);
}

/// The app holds the probes of one kubelet. None of them is evicted for the next.
fn with_all_slots_waiting_for_the_app_a_new_connection_of_the_address_is_reset() {
    let fixture = fixture(&[]);
    let mut pairs: Vec<_> = (0..FORWARD_CONNECTIONS).map(|_| fixture.pair()).collect();
    for (client, app) in &mut pairs {
        client.write_all(b"still there?").expect("sent");
        app.read_exact(&mut [0; 12]).expect("passed on");
    }
    for _ in 0..10 {
        assert_eq!(
            end_of(&fixture.forward, b"x"),
            End::Reset,
            "no slot for the newest"
        );
    }
    let rejected = "probelet_forward_connections_rejected_total{reason=\"limit_reached\"}";
    assert_eq!(fixture.agent.metric(rejected), Some(10.0));
    for (client, app) in &mut pairs {
        app.write_all(b"yes").expect("sent");
        client.read_exact(&mut [0; 3]).expect("passed back");
    }
}

/// The agent learns of the reset and of the next connection at the same time.
fn a_client_that_has_reset_makes_room_at_once() {
    let fixture = fixture(&["--max-forwards", "1"]);
    for _ in 0..20 {
        let (mut client, mut app) = fixture.pair();
        client.write_all(b"x").expect("sent");
        app.read_exact(&mut [0]).expect("passed on");
        let (addr, port) = (
            client.local_addr().expect("connected"),
            fixture.forward.0.port,
        );
        fixture.agent.signal(Signal::STOP);
        reset(client);
        until("the reset arrives", || {
            let is_ours = |s: &Socket| s.remote == addr && s.local.port() == port;
            (!sockets().iter().any(is_ours)).then_some(())
        });
        let next = connect(fixture.forward.addr());
        fixture.agent.signal(Signal::CONT);
        let (next_app, _) = fixture.app.accept().expect("the next connection passes");
        drop((next, next_app));
        until_free(&fixture.agent);
    }
}

fn max_forwards_lowers_concurrent_connections_of_each_forward() {
    let two = TwoForwards::start(&["--max-forwards", "1"]);
    let mut pairs = [two.pair(0), two.pair(1)];
    for (client, app) in &mut pairs {
        client.write_all(b"x").expect("sent");
        app.read_exact(&mut [0]).expect("passed on");
    }
    for listener in &two.listeners {
        assert_eq!(end_of(listener, b""), End::Reset);
    }
    for (client, app) in &mut pairs {
        app.write_all(b"x").expect("sent");
        client.read_exact(&mut [0]).expect("passed back");
    }
}

fn a_full_forward_does_not_disturb_another() {
    let two = TwoForwards::start(&[]);
    let mut quiet: Vec<_> = (0..FORWARD_CONNECTIONS).map(|_| two.pair(1)).collect();
    let _busy: Vec<_> = (0..4 * FORWARD_CONNECTIONS).map(|_| two.pair(0)).collect();
    for (client, app) in &mut quiet {
        client.write_all(b"x").expect("sent");
        app.read_exact(&mut [0]).expect("passed on");
    }
}

/// Both ends of a new connection, or None if all slots are in use.
fn pair_if_room(app: &TcpListener, forward: &ForwardListener) -> Option<(TcpStream, TcpStream)> {
    let client = connect_unless_reset(forward.addr())?;
    app.set_nonblocking(true).expect("O_NONBLOCK");
    let accepted = until("reset or passed on", || {
        match (app.accept(), state(&client)) {
            (Ok((app, _)), _) => Some(Some(app)),
            (Err(_), End::Open) => None,
            (Err(_), _) => Some(None),
        }
    });
    app.set_nonblocking(false).expect("O_NONBLOCK");
    accepted.map(|app| (client, app))
}

fn forwards_and_probes_have_separate_slots() {
    let (slow, raw) = (SwitchableApp::start(ReplyMode::Hold), listen());
    let table = Table::new().http(LIVEZ, slow.port(), 60);
    let (agent, forward) = forward_to(raw.local_addr().expect("bound"), &table, &[]);
    let pair = || (connect(forward.addr()), raw.accept().expect("dialled").0);
    let mut pairs: Vec<_> = (0..FORWARD_CONNECTIONS).map(|_| pair()).collect();
    // With all forward slots in use, all probe slots are available.
    let held = hold(&agent, &slow, LIVEZ, PROBES_PER_PROBER);
    // With all probe slots in use, a forward that ends releases its slot.
    pairs.clear();
    until("a forward passes while probes run", || {
        pair_if_room(&raw, &forward)
    });
    slow.set(ReplyMode::Status(200));
    for mut stream in held {
        read_to_end(&mut stream).assert_is(200);
    }
}

fn a_flood_of_resets_leaves_no_descriptors() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let (agent, forward) = forward_to(app.addr(), &Table::new(), &[]);
    let before = agent.descriptors();
    for n in 0..500 {
        let Some(mut stream) = connect_unless_reset(forward.addr()) else {
            continue;
        };
        if n % 2 == 0 {
            let _ = stream.write_all(b"GET / HT");
        }
        if n % 3 == 0 {
            drop(stream)
        } else {
            reset(stream)
        }
    }
    assert_descriptors(&agent, before);
    exchange(forward.addr(), &get("/")).assert_is(200);
}

/// Two forwards, each to a listener of the test.
struct TwoForwards {
    _agent: Agent,
    listeners: [ForwardListener; 2],
    apps: [TcpListener; 2],
}

impl TwoForwards {
    fn start(args: &[&str]) -> TwoForwards {
        let (apps, listeners) = (
            [listen(), listen()],
            [ForwardListener(reserve()), ForwardListener(reserve())],
        );
        let forward = |n: usize| {
            let target = apps[n].local_addr().expect("bound");
            format!("--forward={}={target}", listeners[n].0.port)
        };
        let forwards = [forward(0), forward(1)];
        let args = [&[forwards[0].as_str(), &forwards[1]], args].concat();
        TwoForwards {
            _agent: agent_with(&Table::new(), &args),
            listeners,
            apps,
        }
    }

    fn pair(&self, n: usize) -> (TcpStream, TcpStream) {
        let client = connect(self.listeners[n].addr());
        (client, self.apps[n].accept().expect("dialled").0)
    }
}
