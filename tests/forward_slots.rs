//! Limits of concurrent forwarded connections: they have their own slots, and release them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use libtest_mimic::Trial;

use crate::support::agent::Agent;
use crate::support::http::End;
use crate::support::observe::{assert_descriptors, until};
use crate::support::ports::reserve;
use crate::support::raw::{
    connect, connect_unless_reset, exchange, get, probe, read_to_end, reset, send, state,
};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

use crate::passthrough::{ForwardListener, LIVEZ, end_of, fixture, forward_to};
use probelet::limits::{FORWARD_CONNECTIONS, PROBE_SLOTS};

pub fn tests() -> Vec<Trial> {
    trials!["forward_slots":
        with_all_slots_occupied_a_new_connection_is_reset,
        max_forwards_lowers_concurrent_forwards,
        forwards_and_probes_have_separate_slots,
        a_flood_of_resets_leaves_no_descriptors,
        each_forward_keeps_a_reserved_slot,
    ]
}

fn with_all_slots_occupied_a_new_connection_is_reset() {
    let fixture = fixture(&[]);
    let mut pairs: Vec<_> = (0..FORWARD_CONNECTIONS).map(|_| fixture.pair()).collect();
    for _ in 0..10 {
        assert_eq!(
            end_of(&fixture.forward, b"x"),
            End::Reset,
            "no slot for the newest"
        );
    }
    for (client, app) in &mut pairs {
        client.write_all(b"still there?").expect("sent");
        app.read_exact(&mut [0; 12]).expect("passed on");
        app.write_all(b"yes").expect("sent");
        client.read_exact(&mut [0; 3]).expect("passed back");
    }
    // A connection that ends releases its slot.
    drop(pairs.pop());
    until("a slot is free again", || {
        pair_if_room(&fixture.app, &fixture.forward)
    });
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

fn max_forwards_lowers_concurrent_forwards() {
    let fixture = fixture(&["--max-forwards", "1"]);
    let (mut client, mut app) = fixture.pair();
    assert_eq!(end_of(&fixture.forward, b""), End::Reset);
    client.write_all(b"x").expect("sent");
    app.read_exact(&mut [0]).expect("passed on");
}

fn forwards_and_probes_have_separate_slots() {
    let (slow, raw) = (
        SwitchableApp::start(ReplyMode::Hold),
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"),
    );
    let table = Table::new().http(LIVEZ, slow.port(), 60);
    let (agent, forward) = forward_to(raw.local_addr().expect("bound"), &table, &[]);
    let pair = || (connect(forward.addr()), raw.accept().expect("dialled").0);
    let mut pairs: Vec<_> = (0..FORWARD_CONNECTIONS).map(|_| pair()).collect();
    // With all forward slots in use, all probe slots are available.
    let held: Vec<_> = (0..PROBE_SLOTS)
        .map(|_| send(agent.addr(), &get(LIVEZ)))
        .collect();
    slow.wait_for_requests(PROBE_SLOTS);
    // With all probe slots in use, a forward that ends releases its slot.
    pairs.clear();
    until("a forward passes while probes run", || {
        pair_if_room(&raw, &forward)
    });
    probe(&agent, LIVEZ).assert_is(503);
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

fn each_forward_keeps_a_reserved_slot() {
    let two = TwoForwards::start(&[]);
    let mut greedy: Vec<_> = (1..FORWARD_CONNECTIONS).map(|_| two.pair(0)).collect();
    assert_eq!(
        end_of(&two.listeners[0], b""),
        End::Reset,
        "the other forward's slot"
    );
    let modest = two.pair(1);
    for listener in &two.listeners {
        assert_eq!(end_of(listener, b""), End::Reset, "all are taken");
    }
    drop(modest);
    assert_eq!(
        end_of(&two.listeners[0], b""),
        End::Reset,
        "it is still reserved"
    );
    let _modest = until("its slot is free again", || two.pair_if_room(1));
    drop(greedy.pop());
    // Slots that are not reserved go to the first connection.
    until("another slot", || two.pair_if_room(1));
}

/// Two forwards, each to a listener of the test.
struct TwoForwards {
    _agent: Agent,
    listeners: [ForwardListener; 2],
    apps: [TcpListener; 2],
}

impl TwoForwards {
    fn start(args: &[&str]) -> TwoForwards {
        let app = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let (apps, listeners) = (
            [app(), app()],
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

    fn pair_if_room(&self, n: usize) -> Option<(TcpStream, TcpStream)> {
        pair_if_room(&self.apps[n], &self.listeners[n])
    }
}
