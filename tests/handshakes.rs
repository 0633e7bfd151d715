//! TLS handshakes wait for permits, and none holds anything longer than it may.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use libtest_mimic::Trial;

use crate::support::agent::Agent;
use crate::support::certs::Identity;
use crate::support::fake_app::FakeApp;
use crate::support::faults::{FINE, answer};
use crate::support::http::End;
use crate::support::line::Line;
use crate::support::observe::{assert_descriptors, logged, until};
use crate::support::raw::{get, has_bytes, probe, read_to_end, send, state};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;
use crate::support::{PATIENCE, TLS};

use probelet::limits::{HANDSHAKES, HOOK_SLOTS};

/// What one app gets of all turns while nobody else has one.
const SHARE: usize = HANDSHAKES / 2;

const LIVEZ: &str = "/app-health/web/livez";
const READYZ: &str = "/app-health/web/readyz";
const STARTUPZ: &str = "/app-health/web/startupz";
const PRESTOP: &str = "/app-lifecycle/web/prestopz";

/// The tests.
pub fn tests() -> Vec<Trial> {
    if !TLS {
        return Vec::new();
    }
    trials!["handshakes":
        one_more_than_may_waits_and_is_served,
        one_that_waits_for_its_turn_is_late_in_time,
        an_app_that_hangs_leaves_turns_to_the_next,
        one_that_does_not_end_is_given_up,
        hooks_that_hang_leave_turns_to_probes,
        a_hung_one_ends_when_its_client_leaves,
        a_hung_hook_ends_when_its_client_leaves,
    ]
}

/// An app that takes connections and says nothing, and an agent that probes it at two paths, with much
/// time and with little, and a healthy app in TLS at a third.
struct Scene {
    hung: TcpListener,
    taken: Vec<TcpStream>,
    agent: Agent,
    _fine: FakeApp,
}

impl Scene {
    fn set() -> Self {
        let hung = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        hung.set_nonblocking(true).expect("non-blocking");
        let port = hung.local_addr().expect("bound").port();
        let fine = FakeApp::secure(Identity::self_signed().security(&[], None));
        fine.otherwise(answer(FINE));
        let https = |port, seconds| {
            format!(r#""httpGet":{{"port":{port},"scheme":"HTTPS"}},"timeoutSeconds":{seconds}"#)
        };
        let table = Table::new()
            .prober(LIVEZ, &https(port, 60))
            .prober(READYZ, &https(port, 1))
            .prober(STARTUPZ, &https(fine.port(), 10))
            .prober(PRESTOP, &https(port, 1));
        let agent = agent_with(&table, &[]);
        Self {
            hung,
            taken: Vec::new(),
            agent,
            _fine: fine,
        }
    }

    fn ask(&self, path: &str, times: usize) -> Vec<TcpStream> {
        let ask = |_| send(self.agent.addr(), &get(path));
        (0..times).map(ask).collect()
    }

    /// Connections whose handshake has begun.
    fn begun(&mut self) -> usize {
        while let Ok((stream, _)) = self.hung.accept() {
            self.taken.push(stream);
        }
        self.taken.iter().filter(|s| has_bytes(s)).count()
    }

    #[track_caller]
    fn until_begun(&mut self, count: usize) {
        until(&format!("{count} handshakes"), || {
            (self.begun() >= count).then_some(())
        });
    }
}

fn one_more_than_may_waits_and_is_served() {
    let mut scene = Scene::set();
    let mut clients = scene.ask(LIVEZ, SHARE + 1);
    scene.until_begun(SHARE);
    // What the agent answers now it answers after it has looked at all that came before.
    probe(&scene.agent, "/healthz/ready").assert_is(200);
    assert_eq!(scene.begun(), SHARE);

    let hung = scene.taken.iter().position(has_bytes).expect("some begun");
    drop(scene.taken.remove(hung));
    scene.until_begun(SHARE);
    let security = Identity::self_signed().security(&[], None);
    // Also the one whose handshake has not begun, should there be one.
    let streams = std::mem::take(&mut scene.taken);
    let served = streams.len();
    for stream in streams {
        let security = security.clone();
        std::thread::spawn(move || {
            let mut line = Line::open(stream, &security).expect("a handshake");
            let _ = line.read(&mut [0; 1024]).expect("a request");
            line.write_all(FINE.as_bytes()).expect("answered");
            line.end();
            line.wait_for_close(PATIENCE);
        });
    }
    let codes: Vec<_> = clients
        .iter_mut()
        .map(|client| read_to_end(client).code())
        .collect();
    let count = |code| codes.iter().filter(|c| **c == Some(code)).count();
    assert_eq!((count(502), count(200)), (1, served), "{codes:?}");
    assert_eq!(served, SHARE);
}

fn one_that_waits_for_its_turn_is_late_in_time() {
    let mut scene = Scene::set();
    let _held = scene.ask(LIVEZ, SHARE);
    scene.until_begun(SHARE);
    probe(&scene.agent, READYZ).assert_is(504);
    logged(&scene.agent, "no permit for a TLS handshake");
}

/// However many probes of it there are.
fn an_app_that_hangs_leaves_turns_to_the_next() {
    let mut scene = Scene::set();
    let _held = scene.ask(LIVEZ, 3 * HANDSHAKES);
    scene.until_begun(SHARE);
    probe(&scene.agent, STARTUPZ).assert_is(200);
    assert_eq!(scene.begun(), SHARE);
}

/// Though it may take a minute by its own deadline; whoever asks here waits for less.
fn one_that_does_not_end_is_given_up() {
    let scene = Scene::set();
    probe(&scene.agent, LIVEZ).assert_is(504);
}

/// A hook has no deadline: those that hang must not fail the probes of a healthy app.
fn hooks_that_hang_leave_turns_to_probes() {
    let mut scene = Scene::set();
    let _held = scene.ask(PRESTOP, HOOK_SLOTS);
    scene.until_begun(HOOK_SLOTS);
    probe(&scene.agent, STARTUPZ).assert_is(200);
}

fn a_hung_one_ends_when_its_client_leaves() {
    leaves(LIVEZ);
}

fn a_hung_hook_ends_when_its_client_leaves() {
    leaves(PRESTOP);
}

#[track_caller]
fn leaves(path: &str) {
    let mut scene = Scene::set();
    let before = scene.agent.descriptors();
    let client = scene.ask(path, 1);
    scene.until_begun(1);
    drop(client);
    let mut app = scene.taken.remove(0);
    let _hello = app.read(&mut [0; 4096]).expect("a ClientHello");
    until("the app sees the end", || {
        (state(&app) != End::Open).then_some(())
    });
    assert_descriptors(&scene.agent, before);
    probe(&scene.agent, STARTUPZ).assert_is(200);
}
