//! TLS handshakes that hang: they must not delay those of other apps, and must end in time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use libtest_mimic::Trial;

use crate::support::agent::Agent;
use crate::support::certs::Identity;
use crate::support::connection_scripted_app::{Action, ConnectionScriptedApp, send as send_bytes};
use crate::support::connections::Connections;
use crate::support::faults::{FINE, answer};
use crate::support::http::End;
use crate::support::observe::{assert_descriptors, logged, until};
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use crate::support::raw::{get, has_bytes, probe, read_to_end, send, state};
use crate::support::stream::{ServerStream, ServerTls};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;
use crate::support::{TLS, WAIT_LIMIT};

use crate::slots::{other_client, send_from};
use probelet::limits::{
    HANDSHAKE_BYTES_WITHOUT_PERMIT, LONG_HANDSHAKE_BYTES, LONG_HANDSHAKES, PROBERS,
    PROBES_PER_PROBER,
};

/// Probers of apps that hang, each with a port of its own, besides one of a healthy app.
const HUNG_APPS: usize = PROBERS - 1;

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
        silent_apps_do_not_delay_another_handshake,
        apps_that_stop_after_one_byte_do_not_delay_another_handshake,
        apps_that_stop_within_a_long_message_do_not_delay_another_handshake,
        a_long_handshake_that_hangs_starts_over_when_another_one_waits,
        a_long_handshake_that_gets_no_permit_ends_at_its_deadline,
        probes_of_one_silent_app_do_not_delay_another_handshake,
        a_handshake_that_does_not_end_gets_504,
        hooks_that_hang_do_not_delay_another_handshake,
        a_hung_handshake_ends_when_its_client_closes,
        a_hung_handshake_of_a_hook_ends_when_its_client_closes,
    ]
}

fn https(port: u16, seconds: u32) -> String {
    format!(r#""httpGet":{{"port":{port},"scheme":"HTTPS"}},"timeoutSeconds":{seconds}"#)
}

/// A certificate with a chain of at most this many bytes.
fn server_tls(chain_bytes: usize) -> ServerTls {
    let identity = Identity::self_signed();
    let base64 = identity.chain.lines().filter(|line| !line.starts_with('-'));
    let certificate_bytes = base64.map(str::len).sum::<usize>() * 3 / 4;
    let copies = chain_bytes / certificate_bytes;
    let chain = identity.chain.repeat(copies.max(1));
    Identity { chain, ..identity }.server_tls(&[], None)
}

fn short_chain() -> ServerTls {
    server_tls(0)
}

/// A chain that needs a permit.
fn long_chain() -> ServerTls {
    server_tls(2 * HANDSHAKE_BYTES_WITHOUT_PERMIT)
}

/// The first bytes of a handshake message of 60,000 bytes: more than a handshake receives without a permit.
fn start_of_long_message() -> Vec<u8> {
    let record = 16 << 10;
    let mut bytes = vec![22, 3, 3, 0x40, 0];
    bytes.extend([2, 0, 0xea, 0x60]);
    bytes.resize(5 + record, 0);
    assert!(bytes.len() > HANDSHAKE_BYTES_WITHOUT_PERMIT);
    bytes
}

fn healthy_app(server_tls: ServerTls) -> PathScriptedApp {
    let app = PathScriptedApp::start_tls(server_tls);
    app.set_default(answer(FINE));
    app
}

/// An app whose handshakes stop after these bytes.
fn stopping_app(bytes: &[u8]) -> ConnectionScriptedApp {
    let script = vec![
        Action::Bytes(1),
        send_bytes(bytes),
        Action::Step(Step::Hold),
    ];
    ConnectionScriptedApp::start(None, vec![script])
}

fn silent_apps_do_not_delay_another_handshake() {
    assert_not_delayed_by(b"", short_chain());
}

fn apps_that_stop_after_one_byte_do_not_delay_another_handshake() {
    assert_not_delayed_by(b"\x16", short_chain());
}

/// Nor one whose chain is long as well.
fn apps_that_stop_within_a_long_message_do_not_delay_another_handshake() {
    assert_not_delayed_by(&start_of_long_message(), short_chain());
    assert_not_delayed_by(&start_of_long_message(), long_chain());
}

/// Probes a healthy app many times while handshakes with other apps hang after `bytes`.
#[track_caller]
fn assert_not_delayed_by(bytes: &[u8], healthy: ServerTls) {
    let apps: Vec<_> = (0..HUNG_APPS).map(|_| stopping_app(bytes)).collect();
    let fine = healthy_app(healthy);
    let path = |index| format!("/app-health/hung{index}/livez");
    let mut table = Table::new().prober(LIVEZ, &https(fine.port(), 30));
    for (index, app) in apps.iter().enumerate() {
        table = table.prober(&path(index), &https(app.port(), 30));
    }
    let agent = agent_with(&table, &[]);
    let held = (0..HUNG_APPS).map(|index| send(agent.addr(), &get(&path(index))));
    let held: Vec<_> = held.collect();
    until("all handshakes", || {
        apps.iter().all(|app| app.accepted() > 0).then_some(())
    });
    for _ in 0..20 {
        probe(&agent, LIVEZ).assert_is(200);
    }
    drop(held);
}

/// Both are served: the first one on a new connection.
fn a_long_handshake_that_hangs_starts_over_when_another_one_waits() {
    let tls = long_chain();
    let serve = move |number, mut stream: TcpStream| match number {
        0 => {
            let _hello = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&start_of_long_message());
            // To its end, by a FIN or a reset.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        _ => {
            let mut line = ServerStream::open(stream, &tls).expect("a handshake");
            let _ = line.read(&mut [0; 1024]).expect("a request");
            line.write_all(FINE.as_bytes()).expect("answered");
            line.end();
            line.wait_for_close(WAIT_LIMIT);
        }
    };
    let app = Connections::start((Ipv4Addr::LOCALHOST, 0).into(), serve);
    let table = Table::new().prober(LIVEZ, &https(app.addr().port(), 60));
    let agent = agent_with(&table, &[]);
    let mut first = send(agent.addr(), &get(LIVEZ));
    until("the first handshake", || (app.accepted() > 0).then_some(()));
    let mut second = send_from(other_client(0), &agent, &get(LIVEZ));
    read_to_end(&mut second).assert_is(200);
    read_to_end(&mut first).assert_is(200);
    assert_eq!(app.accepted(), 3);
}

/// A chain is stored until its probe ends, and others that hang then have the permits.
fn a_long_handshake_that_gets_no_permit_ends_at_its_deadline() {
    let app = PathScriptedApp::start_tls(server_tls(LONG_HANDSHAKE_BYTES * 15 / 16));
    app.set_default(vec![Step::Hold]);
    let mut table = Table::new().prober(READYZ, &https(app.port(), 1));
    for number in 0..LONG_HANDSHAKES {
        table = table.prober(&same_app(number), &https(app.port(), 60));
    }
    let agent = agent_with(&table, &[]);
    let held = (0..LONG_HANDSHAKES).map(|number| send(agent.addr(), &get(&same_app(number))));
    let held: Vec<_> = held.collect();
    until("all requests", || {
        (app.requests().len() == LONG_HANDSHAKES).then_some(())
    });
    probe(&agent, READYZ).assert_is(504);
    assert_eq!(app.requests().len(), LONG_HANDSHAKES);
    logged(
        &agent,
        "probes ended while waiting for other TLS handshakes",
    );
    drop(held);
}

/// An app that accepts connections and sends nothing, and an agent that probes it, and a healthy TLS app by another path.
struct Fixture {
    hung: TcpListener,
    taken: Vec<TcpStream>,
    agent: Agent,
    _fine: PathScriptedApp,
}

/// The path of another prober of the same app.
fn same_app(number: usize) -> String {
    format!("/app-health/same{number}/livez")
}

impl Fixture {
    fn start() -> Self {
        let hung = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        hung.set_nonblocking(true).expect("non-blocking");
        let port = hung.local_addr().expect("bound").port();
        let fine = healthy_app(short_chain());
        let mut table = Table::new()
            .prober(LIVEZ, &https(port, 60))
            .prober(STARTUPZ, &https(fine.port(), 10))
            .prober(PRESTOP, &https(port, 1));
        for number in 0..2 * LONG_HANDSHAKES {
            table = table.prober(&same_app(number), &https(port, 60));
        }
        let agent = agent_with(&table, &[]);
        Self {
            hung,
            taken: Vec::new(),
            agent,
            _fine: fine,
        }
    }

    /// Sends the request of each of several clients.
    fn send(&self, path: &str, clients: usize) -> Vec<TcpStream> {
        let request = |number| send_from(other_client(number), &self.agent, &get(path));
        (0..clients).map(request).collect()
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

/// With more probes than there are permits.
fn probes_of_one_silent_app_do_not_delay_another_handshake() {
    let mut fixture = Fixture::start();
    let request = |number| send(fixture.agent.addr(), &get(&same_app(number)));
    let _held: Vec<_> = (0..2 * LONG_HANDSHAKES).map(request).collect();
    fixture.until_begun(2 * LONG_HANDSHAKES);
    probe(&fixture.agent, STARTUPZ).assert_is(200);
}

/// Also if `timeoutSeconds` is a minute.
fn a_handshake_that_does_not_end_gets_504() {
    let fixture = Fixture::start();
    probe(&fixture.agent, LIVEZ).assert_is(504);
}

/// A hook has no deadline: those that hang must not fail the probes of a healthy app.
fn hooks_that_hang_do_not_delay_another_handshake() {
    let mut fixture = Fixture::start();
    let _held = fixture.send(PRESTOP, PROBES_PER_PROBER);
    fixture.until_begun(PROBES_PER_PROBER);
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
