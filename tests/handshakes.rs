//! Permits for TLS handshakes: their number for one app, and their release in time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use libtest_mimic::Trial;

use crate::support::agent::Agent;
use crate::support::certs::Identity;
use crate::support::faults::{FINE, answer};
use crate::support::http::End;
use crate::support::observe::{assert_descriptors, logged, until};
use crate::support::path_scripted_app::PathScriptedApp;
use crate::support::raw::{get, has_bytes, probe, read_to_end, send, state};
use crate::support::stream::ServerStream;
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;
use crate::support::{TLS, WAIT_LIMIT};

use probelet::limits::{HANDSHAKES, HOOK_SLOTS};

/// Permits that one app gets while no other app has one.
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
        an_additional_handshake_waits_for_a_permit_and_is_served,
        a_probe_without_a_permit_gets_504_by_its_deadline,
        an_app_that_hangs_leaves_permits_to_other_apps,
        a_handshake_that_does_not_end_gets_504,
        hooks_that_hang_leave_permits_to_probes,
        a_hung_handshake_ends_when_its_client_closes,
        a_hung_handshake_of_a_hook_ends_when_its_client_closes,
    ]
}

/// An app that accepts connections and sends nothing, and an agent that probes it by two paths, with a long and a short
/// timeout, and a healthy TLS app by a third.
struct Fixture {
    hung: TcpListener,
    taken: Vec<TcpStream>,
    agent: Agent,
    _fine: PathScriptedApp,
}

impl Fixture {
    fn start() -> Self {
        let hung = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        hung.set_nonblocking(true).expect("non-blocking");
        let port = hung.local_addr().expect("bound").port();
        let fine = PathScriptedApp::start_tls(Identity::self_signed().server_tls(&[], None));
        fine.set_default(answer(FINE));
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

    fn send(&self, path: &str, times: usize) -> Vec<TcpStream> {
        let request = |_| send(self.agent.addr(), &get(path));
        (0..times).map(request).collect()
    }

    /// Number of connections whose handshake has begun.
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

fn an_additional_handshake_waits_for_a_permit_and_is_served() {
    let mut fixture = Fixture::start();
    let mut clients = fixture.send(LIVEZ, SHARE + 1);
    fixture.until_begun(SHARE);
    // The agent responds to this request after it has processed all earlier events.
    probe(&fixture.agent, "/healthz/ready").assert_is(200);
    assert_eq!(fixture.begun(), SHARE);

    let hung = fixture
        .taken
        .iter()
        .position(has_bytes)
        .expect("some begun");
    drop(fixture.taken.remove(hung));
    fixture.until_begun(SHARE);
    let server_tls = Identity::self_signed().server_tls(&[], None);
    // Also one whose handshake has not begun.
    let streams = std::mem::take(&mut fixture.taken);
    let served = streams.len();
    for stream in streams {
        let server_tls = server_tls.clone();
        std::thread::spawn(move || {
            let mut line = ServerStream::open(stream, &server_tls).expect("a handshake");
            let _ = line.read(&mut [0; 1024]).expect("a request");
            line.write_all(FINE.as_bytes()).expect("answered");
            line.end();
            line.wait_for_close(WAIT_LIMIT);
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

fn a_probe_without_a_permit_gets_504_by_its_deadline() {
    let mut fixture = Fixture::start();
    let _held = fixture.send(LIVEZ, SHARE);
    fixture.until_begun(SHARE);
    probe(&fixture.agent, READYZ).assert_is(504);
    logged(
        &fixture.agent,
        "probes ended while waiting for other TLS handshakes",
    );
}

/// With any number of probes of the app.
fn an_app_that_hangs_leaves_permits_to_other_apps() {
    let mut fixture = Fixture::start();
    let _held = fixture.send(LIVEZ, 3 * HANDSHAKES);
    fixture.until_begun(SHARE);
    probe(&fixture.agent, STARTUPZ).assert_is(200);
    assert_eq!(fixture.begun(), SHARE);
}

/// Also if `timeoutSeconds` is a minute.
fn a_handshake_that_does_not_end_gets_504() {
    let fixture = Fixture::start();
    probe(&fixture.agent, LIVEZ).assert_is(504);
}

/// A hook has no deadline: those that hang must not fail the probes of a healthy app.
fn hooks_that_hang_leave_permits_to_probes() {
    let mut fixture = Fixture::start();
    let _held = fixture.send(PRESTOP, HOOK_SLOTS);
    fixture.until_begun(HOOK_SLOTS);
    probe(&fixture.agent, STARTUPZ).assert_is(200);
}

fn a_hung_handshake_ends_when_its_client_closes() {
    assert_ends_when_client_closes(LIVEZ);
}

fn a_hung_handshake_of_a_hook_ends_when_its_client_closes() {
    assert_ends_when_client_closes(PRESTOP);
}

#[track_caller]
fn assert_ends_when_client_closes(path: &str) {
    let mut fixture = Fixture::start();
    let before = fixture.agent.descriptors();
    let client = fixture.send(path, 1);
    fixture.until_begun(1);
    drop(client);
    let mut app = fixture.taken.remove(0);
    let _hello = app.read(&mut [0; 4096]).expect("a ClientHello");
    until("the app sees the end", || {
        (state(&app) != End::Open).then_some(())
    });
    assert_descriptors(&fixture.agent, before);
    probe(&fixture.agent, STARTUPZ).assert_is(200);
}
