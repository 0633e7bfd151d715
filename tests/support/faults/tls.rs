//! Faults of TLS: no handshake, a broken one, and one with garbage after it. Every app is probed over HTTPS.

use super::{Catalogue, ENDLESS, Expected, FINE, FaultCase, Step, Target};
use crate::support::connection_scripted_app::{Action, ConnectionScript, send};
use crate::support::frames;
use std::time::Duration;

/// An unencrypted TLS record.
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
    [&[kind, 3, 3][..], &length, payload].concat()
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const FATAL: u8 = 2;

/// Adds all cases.
pub fn add_to(catalogue: &mut Catalogue) {
    no_handshake(catalogue);
    alerts(catalogue);
    broken_handshakes(catalogue);
    floods(catalogue);
    hang_ups(catalogue);
    after_the_handshake(catalogue);
    other_protocols(catalogue);
}

impl Catalogue {
    /// The app reads the header of a record, then runs this.
    fn raw(&mut self, name: &str, code: u16, script: ConnectionScript) {
        let script = [vec![Action::Bytes(5)], script].concat();
        self.tls(name, None, Expected::Status(code), script);
    }

    /// The app completes the handshake, reads part of the request, then runs this.
    fn secure(&mut self, name: &str, alpn: &[&str], expected: Expected, script: ConnectionScript) {
        let script = [vec![Action::Bytes(16)], script].concat();
        self.tls(name, Some(alpn), expected, script);
    }

    fn tls(
        &mut self,
        name: &str,
        alpn: Option<&[&str]>,
        expected: Expected,
        script: ConnectionScript,
    ) {
        let target = Target::Https(self.scripted(alpn, vec![script]));
        self.cases
            .push(FaultCase::new(&format!("tls-{name}"), target, expected));
    }
}

fn no_handshake(catalogue: &mut Catalogue) {
    let bad = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    catalogue.raw("http-answers", 502, vec![send(bad)]);
    let moved = "HTTP/1.1 301 Go\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n";
    catalogue.raw("http-redirects", 502, vec![send(moved)]);
    catalogue.raw(
        "http-answers-slowly",
        504,
        vec![Action::Step(Step::Drip(
            bad.into(),
            Duration::from_millis(500),
        ))],
    );
    catalogue.raw("h2c-answers", 502, vec![send(frames::greeting())]);
    catalogue.raw("ssh-answers", 502, vec![send("SSH-2.0-OpenSSH_9.2\r\n")]);
    catalogue.raw("bytes-answer", 502, vec![send([0; 64])]);
    catalogue.raw("closes", 502, vec![]);
    catalogue.raw("resets", 502, vec![Action::Step(Step::Reset)]);
    catalogue.raw("never", 504, vec![Action::Step(Step::Hold)]);
    let some = send([HANDSHAKE, 3]);
    catalogue.raw(
        "never-after-two-bytes",
        504,
        vec![some, Action::Step(Step::Hold)],
    );
}

fn alerts(catalogue: &mut Catalogue) {
    for (name, description) in [
        ("handshake-failure", 40),
        ("protocol-version", 70),
        ("internal-error", 80),
        ("unrecognized-name", 112),
        ("unheard-of", 199),
    ] {
        let alert = record(ALERT, &[FATAL, description]);
        catalogue.raw(&format!("alert-{name}"), 502, vec![send(alert)]);
    }
    catalogue.raw(
        "alert-close-notify",
        502,
        vec![send(record(ALERT, &[1, 0]))],
    );
    catalogue.raw(
        "alert-of-one-byte",
        502,
        vec![send(record(ALERT, &[FATAL]))],
    );
    let alert = record(ALERT, &[1, 112]);
    catalogue.raw("alert-warning-then-close", 502, vec![send(alert)]);
}

/// A ServerHello without extensions.
fn server_hello(version: u8, suite: u16) -> Vec<u8> {
    let mut hello = vec![2, 0, 0, 38, 3, version];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend(suite.to_be_bytes());
    hello.push(0);
    hello
}

fn broken_handshakes(catalogue: &mut Catalogue) {
    let hello = |version, suite| record(HANDSHAKE, &server_hello(version, suite));
    let whole = hello(3, 0xc02b);
    for (name, bytes) in [
        ("hello-of-tls-1.0", hello(1, 0xc013)),
        ("hello-of-tls-1.1", hello(2, 0xc013)),
        ("hello-of-no-suite-of-ours", hello(3, 0x1399)),
        ("hello-empty", record(HANDSHAKE, &[2, 0, 0, 0])),
        ("hello-cut", whole[..30].to_vec()),
        ("hello-then-close", whole.clone()),
        ("hello-twice", [whole.clone(), whole.clone()].concat()),
        (
            "certificate-first",
            record(HANDSHAKE, &[11, 0, 0, 3, 0, 0, 0]),
        ),
        ("finished-first", record(HANDSHAKE, &[20, 0, 0, 1, 0])),
        ("data-first", record(23, b"HTTP/1.1 200 OK\r\n\r\n")),
        ("record-too-long", [HANDSHAKE, 3, 3, 0xff, 0xff].to_vec()),
        ("record-of-no-type", record(99, &[0; 8])),
        ("record-of-ssl-2", b"\x80\x2e\x04\0\x01\0\x02\0".to_vec()),
    ] {
        catalogue.raw(name, 502, vec![send(bytes)]);
    }
    let hold = Action::Step(Step::Hold);
    catalogue.raw("hello-then-hold", 504, vec![send(whole.clone()), hold]);
    let drip = Step::Drip(whole, Duration::from_millis(100));
    catalogue.raw("hello-drips", 504, vec![Action::Step(drip)]);
}

/// Endless records without progress.
fn floods(catalogue: &mut Catalogue) {
    let huge = [&[2, 0xff, 0xff, 0xff][..], &[0; 4096]].concat();
    for (name, bytes) in [
        ("flood-of-one-message", record(HANDSHAKE, &huge)),
        ("flood-of-empty-records", record(HANDSHAKE, &[]).repeat(500)),
        ("flood-of-warnings", record(ALERT, &[1, 112]).repeat(500)),
        ("flood-of-cipher-changes", record(20, &[1]).repeat(500)),
        (
            "flood-of-hello-requests",
            record(HANDSHAKE, &[0; 4]).repeat(500),
        ),
        ("flood-of-data", record(23, &[0; 4096])),
    ] {
        let flood = Action::Step(Step::Flood(bytes, ENDLESS));
        catalogue.raw(name, 502, vec![flood]);
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const CUT: Expected = Expected::BrokenBody(200);
const FAILS: Expected = Expected::Status(502);
const HEALTHY: Expected = Expected::Status(200);

/// Sends bytes outside TLS.
fn send_outside_tls(bytes: Vec<u8>) -> Action {
    Action::Step(Step::SendOutsideTls(bytes))
}

/// A record that cannot be decrypted.
fn garbage() -> Vec<u8> {
    record(23, &[0; 40])
}

/// Ends without `close_notify`.
fn hang_ups(catalogue: &mut Catalogue) {
    let hang_up = || Action::Step(Step::HangUp);
    for (name, code, script) in [
        ("hangs-up", FAILS, vec![hang_up()]),
        (
            "hangs-up-in-head",
            FAILS,
            vec![send(&OK.as_bytes()[..9]), hang_up()],
        ),
        (
            "hangs-up-after-answer",
            HEALTHY,
            vec![send(FINE), hang_up()],
        ),
        (
            "hangs-up-to-end-body",
            HEALTHY,
            vec![send(format!("{OK}\r\nall there is")), hang_up()],
        ),
        (
            "hangs-up-in-body",
            CUT,
            vec![
                send(format!("{OK}Content-Length: 9\r\n\r\nhalf")),
                hang_up(),
            ],
        ),
        (
            "hangs-up-in-record",
            CUT,
            vec![
                send(format!("{OK}\r\nhalf")),
                send_outside_tls(garbage()[..20].to_vec()),
                hang_up(),
            ],
        ),
    ] {
        catalogue.secure(name, &[], code, script);
    }
}

fn after_the_handshake(catalogue: &mut Catalogue) {
    for (name, code, script) in [
        ("garbage-for-head", FAILS, vec![send_outside_tls(garbage())]),
        (
            "garbage-in-body",
            CUT,
            vec![
                send(format!("{OK}Content-Length: 9\r\n\r\nhalf")),
                send_outside_tls(garbage()),
            ],
        ),
        (
            "garbage-after-answer",
            HEALTHY,
            vec![send(FINE), send_outside_tls(garbage())],
        ),
        (
            "plain-http-for-head",
            FAILS,
            vec![send_outside_tls(FINE.as_bytes().to_vec())],
        ),
        (
            "plain-alert-for-head",
            FAILS,
            vec![send_outside_tls(record(ALERT, &[FATAL, 80]))],
        ),
        ("empty-answer", FAILS, vec![]),
        (
            "never-answers",
            Expected::Status(504),
            vec![Action::Step(Step::Hold)],
        ),
    ] {
        catalogue.secure(name, &[], code, script);
    }
}

/// The app does not speak the protocol that ALPN selected.
fn other_protocols(catalogue: &mut Catalogue) {
    let fails = Expected::Status(502);
    let fine = Expected::Status(200);
    let alpn_1 = ["http/1.1"];
    catalogue.secure("alpn-http-1.1", &alpn_1, fine, vec![send(FINE)]);
    catalogue.secure("alpn-h2-speaks-http-1.1", &["h2"], fails, vec![send(FINE)]);
    let greeting = vec![send(frames::greeting())];
    catalogue.secure("alpn-http-1.1-speaks-h2", &alpn_1, fails, greeting.clone());
    catalogue.secure("alpn-none-speaks-h2", &[], fails, greeting);
    catalogue.secure("alpn-nothing-in-common", &["spdy/3"], fails, vec![]);
}
