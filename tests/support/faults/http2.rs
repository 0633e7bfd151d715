//! Faults of a GET in HTTP/2, from frames to statuses: over TLS, where ALPN selects it, and in plaintext with prior
//! knowledge.

mod breaks;
mod heads;

use super::{Catalogue, ENDLESS, Expected, FaultCase, Step, Target};
use crate::support::connection_scripted_app::{Action, ConnectionScript, send};
use crate::support::frames::{
    self, CONTINUATION, END_STREAM, HEADERS, PADDED, block, data, frame, goaway, greeting, head,
    headers, rst,
};
use std::time::Duration;

/// Adds all cases, over TLS or not.
pub fn add_to(catalogue: &mut Catalogue, is_secure: bool) {
    let mut cases = Http2Cases {
        catalogue,
        is_secure,
    };
    answers(&mut cases);
    lengths(&mut cases);
    heads::add_to(&mut cases);
    goaways(&mut cases);
    resets(&mut cases);
    breaks::add_to(&mut cases);
    redirects(&mut cases);
    no_http2(&mut cases);
}

/// Cases of a catalogue, over TLS or not.
struct Http2Cases<'a> {
    catalogue: &'a mut Catalogue,
    is_secure: bool,
}

const FINE: Expected = Expected::Status(200);
const FAILS: Expected = Expected::Status(502);
const LATE: Expected = Expected::Status(504);
const CUT: Expected = Expected::BrokenBody(200);

impl Http2Cases<'_> {
    fn add(&mut self, name: &str, expected: Expected, scripts: Vec<ConnectionScript>) {
        let alpn = self.is_secure.then_some(&["h2"][..]);
        let port = self.catalogue.scripted(alpn, scripts);
        let (prefix, target) = if self.is_secure {
            ("h2-", Target::Https(port))
        } else {
            ("h2c-", Target::Http2(port))
        };
        let case = FaultCase::new(&format!("{prefix}{name}"), target, expected);
        self.catalogue.cases.push(case);
    }

    /// The app sends SETTINGS, waits for the request, sends this, and keeps the connection open.
    fn respond(&mut self, name: &str, expected: Expected, parts: &[Vec<u8>]) {
        let hold = Action::Step(Step::Hold);
        let script = vec![
            send(greeting()),
            Action::Request,
            send(parts.concat()),
            hold,
        ];
        self.add(name, expected, vec![script]);
    }

    /// The app does the same, then closes.
    fn respond_and_close(&mut self, name: &str, expected: Expected, parts: &[Vec<u8>]) {
        let script = vec![send(greeting()), Action::Request, send(parts.concat())];
        self.add(name, expected, vec![script]);
    }

    /// The app does the same, and sends this endlessly.
    fn flood(&mut self, name: &str, expected: Expected, first: Vec<u8>, again: &[u8]) {
        let flood = Action::Step(Step::Flood(again.repeat(1 + 8192 / again.len()), ENDLESS));
        let script = vec![send(greeting()), Action::Request, send(first), flood];
        self.add(name, expected, vec![script]);
    }
}

fn ok() -> Vec<u8> {
    headers(0, &head("200", &[]))
}

fn whole() -> Vec<u8> {
    [ok(), data(END_STREAM, b"fine")].concat()
}

fn last(status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    headers(END_STREAM, &head(status, fields))
}

/// An app that returns 200.
pub fn serving() -> ConnectionScript {
    let hold = Action::Step(Step::Hold);
    vec![send(greeting()), Action::Request, send(whole()), hold]
}

fn answers(cases: &mut Http2Cases) {
    cases.respond("fine", FINE, &[whole()]);
    cases.respond_and_close("fine-then-closes", FINE, &[whole()]);
    for code in [200, 201, 204, 206, 304, 400, 404, 500, 503, 599] {
        let answer = last(&code.to_string(), &[]);
        cases.respond(&format!("status-{code}"), Expected::Status(code), &[answer]);
    }
    for status in [
        "000", "099", "600", "999", "20", "1000", "abc", "-20", "+20", "",
    ] {
        cases.respond(&format!("status-{status}"), FAILS, &[last(status, &[])]);
    }
    cases.respond("status-101", FAILS, &[last("101", &[])]);
    let interim = |status| headers(0, &head(status, &[("link", "x")]));
    for status in ["100", "102", "103", "199"] {
        let answer = [interim(status), whole()].concat();
        cases.respond(&format!("interim-{status}"), FINE, &[answer]);
    }
    cases.respond("interim-101", FINE, &[interim("101"), whole()]);
    cases.respond("interim-ends", FAILS, &[last("103", &[])]);
    cases.respond(
        "interim-30-times",
        FINE,
        &[interim("103").repeat(30), whole()],
    );
    let trailers = headers(END_STREAM, &block(&[("x", "y")]));
    let body = data(0, b"fine");
    cases.respond("trailers", FINE, &[ok(), body.clone(), trailers.clone()]);
    cases.respond("trailers-without-body", FINE, &[ok(), trailers]);
    let open = headers(0, &block(&[("x", "y")]));
    cases.respond("trailers-not-at-end", CUT, &[ok(), body.clone(), open]);
    let pseudo = headers(END_STREAM, &head("200", &[]));
    cases.respond("trailers-with-status", CUT, &[ok(), body, pseudo]);
    let padded = data(PADDED | END_STREAM, b"\x03fine\0\0\0");
    cases.respond("body-padded", FINE, &[ok(), padded]);
    cases.respond("body-empty", FINE, &[ok(), data(END_STREAM, b"")]);
    let long = data(0, &[b'x'; 16_384]).repeat(12);
    cases.respond("body-of-192-kib", FINE, &[ok(), long]);
    let drip = [ok(), data(0, b"x").repeat(40), data(END_STREAM, b"")];
    cases.respond("body-in-bytes", FINE, &drip);
}

/// `content-length` and bodies of the same or another length.
fn lengths(cases: &mut Http2Cases) {
    let with = |length: &str| headers(0, &head("200", &[("content-length", length)]));
    let ends = data(END_STREAM, b"fine");
    cases.respond("length-right", FINE, &[with("4"), ends.clone()]);
    cases.respond("length-too-much", CUT, &[with("9"), ends.clone()]);
    cases.respond("length-too-little", CUT, &[with("2"), ends.clone()]);
    cases.respond("length-of-0", CUT, &[with("0"), ends.clone()]);
    cases.respond("length-no-number", FINE, &[with("four"), ends.clone()]);
    let lengths = [("content-length", "4"), ("content-length", "4")];
    let twice = headers(0, &head("200", &lengths));
    cases.respond("length-twice", FINE, &[twice, ends]);
    let none = last("200", &[("content-length", "9")]);
    cases.respond("length-without-body", CUT, &[none]);
    let bodiless = last("304", &[("content-length", "9")]);
    // Go reports the missing body even of a 304. A 304 to kubelet cannot announce a body, so the agent returns 200
    // (Outcome::status).
    cases.respond("length-in-304", CUT, &[bodiless]);
}

fn goaways(cases: &mut Http2Cases) {
    let hold = || Action::Step(Step::Hold);
    let bye = || goaway(0, frames::NO_ERROR);
    let first = vec![send(bye()), hold()];
    cases.add("goaway-instead-of-settings", FAILS, vec![first]);
    let early = [greeting(), goaway(0, frames::ENHANCE_YOUR_CALM)].concat();
    cases.add("goaway-before-request", FAILS, vec![vec![send(early)]]);
    cases.respond_and_close("goaway-refuses", FAILS, &[bye()]);
    cases.respond("goaway-refuses-and-holds", FAILS, &[bye()]);
    cases.respond_and_close("goaway-then-closes", FAILS, &[goaway(1, 0)]);
    cases.respond("goaway-then-answer", FINE, &[goaway(1, 0), whole()]);
    let most = goaway(0x7fff_ffff, 0);
    cases.respond("goaway-warning-then-answer", FINE, &[most, whole()]);
    let body = data(END_STREAM, b"fine");
    cases.respond("goaway-in-body", FINE, &[ok(), goaway(1, 0), body]);
    let error = goaway(1, frames::INTERNAL_ERROR);
    cases.respond_and_close("goaway-error", FAILS, std::slice::from_ref(&error));
    let parts = [ok(), data(0, b"half"), error];
    cases.respond_and_close("goaway-error-in-body", CUT, &parts);
    let refused = vec![send(greeting()), Action::Request, send(bye())];
    let fine = vec![send(greeting()), Action::Request, send(whole()), hold()];
    cases.add("goaway-once", FINE, vec![refused, fine]);
}

fn resets(cases: &mut Http2Cases) {
    for (name, code) in [
        ("no-error", frames::NO_ERROR),
        ("protocol", frames::PROTOCOL_ERROR),
        ("cancel", frames::CANCEL),
        ("refused", frames::REFUSED_STREAM),
        ("http-1.1-required", frames::HTTP_1_1_REQUIRED),
    ] {
        cases.respond(&format!("rst-{name}"), FAILS, &[rst(code)]);
        let parts = [ok(), data(0, b"half"), rst(code)];
        cases.respond(&format!("rst-{name}-in-body"), CUT, &parts);
        let parts = [whole(), rst(code)];
        cases.respond(&format!("rst-{name}-after-answer"), FINE, &parts);
    }
    cases.respond("rst-after-head", CUT, &[ok(), rst(frames::CANCEL)]);
    let rst = |stream| frame(frames::RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    cases.respond("rst-of-nothing", FAILS, &[rst(0), whole()]);
    let hold = Action::Step(Step::Hold);
    let refused = frames::rst(frames::REFUSED_STREAM);
    let refused = vec![
        send(greeting()),
        Action::Request,
        send(refused),
        hold.clone(),
    ];
    let fine = vec![send(greeting()), Action::Request, send(whole()), hold];
    cases.add("rst-refused-once", FINE, vec![refused, fine]);
}

fn redirects(cases: &mut Http2Cases) {
    let hold = || Action::Step(Step::Hold);
    let to = |location: &str| {
        let answer = last("302", &[("location", location)]);
        vec![send(greeting()), Action::Request, send(answer), hold()]
    };
    let fine = || vec![send(greeting()), Action::Request, send(whole()), hold()];
    cases.add("redirect", FINE, vec![to("/fine"), fine()]);
    cases.add("redirect-loop", FAILS, vec![to("/again")]);
    let away = Expected::Status(302);
    cases.add("redirect-away", away, vec![to("https://example.invalid/")]);
    cases.add("redirect-nowhere", FAILS, vec![to("/%zz")]);
    // kubelet's transport of `protocol: HTTP2` speaks only HTTP/2.
    let expected = if cases.is_secure { FINE } else { FAILS };
    // To an app that speaks only HTTP/1.1, in plaintext and over TLS.
    for (scheme, alpn) in [("http", None), ("https", Some(&["http/1.1"][..]))] {
        let app = cases.catalogue.answering(alpn, super::answer(super::FINE));
        let location = format!("{scheme}://127.0.0.1:{app}/fine");
        let name = format!("redirect-to-{scheme}-1.1");
        cases.add(&name, expected, vec![to(&location)]);
    }
    let app = cases.catalogue.scripted(Some(&["h2"]), vec![fine()]);
    let location = format!("https://127.0.0.1:{app}/fine");
    cases.add("redirect-to-https-2", expected, vec![to(&location)]);
}

/// Bytes that are not HTTP/2.
fn no_http2(cases: &mut Http2Cases) {
    for (name, text) in [
        (
            "http-1.1-refuses",
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        ),
        ("http-1.1-answers", super::FINE),
        ("ssh", "SSH-2.0-OpenSSH_9.2\r\n"),
    ] {
        let script = vec![Action::Bytes(24), send(text)];
        cases.add(name, FAILS, vec![script]);
    }
    if !cases.is_secure {
        let not_found = super::answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        let app = cases.catalogue.answering(Some(&["h2"]), not_found);
        let case = FaultCase::new("h2c-at-tls", Target::Http2(app), FAILS);
        cases.catalogue.cases.push(case);
    }
}
