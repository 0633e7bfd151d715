//! Faults of a call of `grpc.health.v1.Health/Check`, from frames to statuses.

use super::{Catalogue, Expected, FaultCase, GrpcMode, Step, Target};
use crate::support::TLS;
use crate::support::connection_scripted_app::{Action, ConnectionScript, send};
use crate::support::frames::{self, END_STREAM, data, frame, goaway, greeting, head, headers, rst};

/// Adds all cases of this build.
pub fn add_to(catalogue: &mut Catalogue) {
    answers(catalogue);
    without_grpc(catalogue);
    messages(catalogue);
    breaks(catalogue);
    windows(catalogue);
    no_http2(catalogue);
}

impl Catalogue {
    fn grpc(&mut self, name: &str, code: u16, scripts: Vec<ConnectionScript>) {
        self.call(name, code, None, GrpcMode::Plaintext, scripts);
    }

    fn call(
        &mut self,
        name: &str,
        code: u16,
        alpn: Option<&[&str]>,
        mode: GrpcMode,
        scripts: Vec<ConnectionScript>,
    ) {
        let target = Target::Grpc(self.scripted(alpn, scripts), Some(""), mode);
        let case = FaultCase::new(&format!("grpc-{name}"), target, Expected::Status(code));
        self.cases.push(case);
    }
}

/// A gRPC response head that does not end the stream.
fn ok() -> Vec<u8> {
    headers(0, &head("200", &[("content-type", "application/grpc")]))
}

/// A message with this state.
fn message(status: u8) -> Vec<u8> {
    data(0, &[0, 0, 0, 0, 2, 8, status])
}

/// Trailers with this status.
fn trailers(status: &str) -> Vec<u8> {
    headers(END_STREAM, &frames::block(&[("grpc-status", status)]))
}

/// A response of trailers only, with this status.
fn trailers_only(status: &str) -> Vec<u8> {
    let fields = [
        ("content-type", "application/grpc"),
        ("grpc-status", status),
    ];
    headers(END_STREAM, &head("200", &fields))
}

/// Sends SETTINGS, waits for the call, responds, and keeps the connection open, like a gRPC server.
fn answer(parts: &[Vec<u8>]) -> ConnectionScript {
    let hold = Action::Step(Step::Hold);
    vec![
        send(greeting()),
        Action::Request,
        send(parts.concat()),
        hold,
    ]
}

/// An app whose calls fail with this status.
pub fn failing(status: &str) -> ConnectionScript {
    answer(&[trailers_only(status)])
}

/// An app whose status is SERVING.
pub fn serving() -> ConnectionScript {
    answer(&[ok(), message(1), trailers("0")])
}

fn answers(catalogue: &mut Catalogue) {
    let state = |state| answer(&[ok(), message(state), trailers("0")]);
    for (name, code, number) in [
        ("serving", 200, 1),
        ("unknown", 503, 0),
        ("not-serving", 503, 2),
        ("service-unknown", 503, 3),
        ("state-99", 503, 99),
    ] {
        catalogue.grpc(name, code, vec![state(number)]);
    }
    for (status, code) in [
        ("1", 502),
        ("2", 502),
        ("3", 502),
        ("5", 502),
        ("8", 502),
        ("12", 501),
        ("13", 502),
        ("14", 502),
        ("16", 502),
        ("17", 502),
        ("x", 502),
        ("", 502),
    ] {
        let only = answer(&[trailers_only(status)]);
        catalogue.grpc(&format!("trailers-only-{status}"), code, vec![only]);
        let late = answer(&[ok(), message(1), trailers(status)]);
        catalogue.grpc(&format!("serving-but-{status}"), code, vec![late]);
    }
    // The deadline may pass at the server before it does at the client.
    let deadline = answer(&[trailers_only("4")]);
    catalogue.grpc("trailers-only-4", 504, vec![deadline]);
    catalogue.grpc("trailers-only-0", 502, vec![answer(&[trailers_only("0")])]);
}

/// HTTP/2 responses that are not gRPC.
fn without_grpc(catalogue: &mut Catalogue) {
    for (status, code) in [
        ("200", 502),
        ("302", 502),
        ("400", 502),
        ("401", 502),
        ("403", 502),
        ("404", 501),
        ("429", 502),
        ("500", 502),
        ("503", 502),
        ("504", 502),
    ] {
        let page = headers(0, &head(status, &[("content-type", "text/html")]));
        let answer = answer(&[page, data(END_STREAM, b"<html>")]);
        catalogue.grpc(&format!("html-{status}"), code, vec![answer]);
    }
    let bare = headers(END_STREAM, &head("404", &[]));
    catalogue.grpc("bare-404", 501, vec![answer(&[bare])]);
    for (name, kind, code) in [
        ("type-missing", "", 502),
        ("type-proto", "application/grpc+proto", 200),
        ("type-parameter", "application/grpc;charset=utf-8", 200),
        ("type-upper-case", "Application/GRPC", 502),
        ("type-web", "application/grpc-web", 502),
        ("type-json", "application/json", 502),
    ] {
        let fields: &[_] = if kind.is_empty() {
            &[]
        } else {
            &[("content-type", kind)]
        };
        let first = headers(0, &head("200", fields));
        let answer = answer(&[first, message(1), trailers("0")]);
        catalogue.grpc(name, code, vec![answer]);
    }
    let fields = [("content-type", "application/grpc")];
    let odd = headers(0, &head("503", &fields));
    let answer = answer(&[odd, message(1), trailers("0")]);
    catalogue.grpc("grpc-in-503", 200, vec![answer]);
}

/// Contents of a single DATA frame.
const REPLIES: &[(&str, u16, &[u8])] = &[
    ("message-empty", 503, &[0; 5]),
    ("message-compressed", 502, &[1, 0, 0, 0, 2, 8, 1]),
    ("message-of-flag-2", 502, &[2, 0, 0, 0, 2, 8, 1]),
    ("message-cut", 502, &[0, 0, 0, 0, 2, 8]),
    ("prefix-cut", 502, &[0, 0, 0]),
    ("message-too-long", 502, &[0, 255, 255, 255, 255, 8, 1]),
    ("message-no-protobuf", 502, &[0, 0, 0, 0, 2, 255, 255]),
    ("status-as-text", 503, &[0, 0, 0, 0, 3, 10, 1, 49]),
    ("status-twice", 200, &[0, 0, 0, 0, 4, 8, 2, 8, 1]),
    ("status-in-many-bytes", 200, &[0, 0, 0, 0, 3, 8, 129, 0]),
    (
        "field-unknown-first",
        200,
        &[0, 0, 0, 0, 6, 0x7a, 2, 8, 2, 8, 1],
    ),
];

fn messages(catalogue: &mut Catalogue) {
    let end = || trailers("0");
    let reply = |bytes: &[u8]| data(0, bytes);
    let long = [&[0, 0, 0, 8, 0][..], &[0x7a, 0xfd, 0x0f], &[0; 2045]].concat();
    for &(name, code, bytes) in REPLIES {
        let parts = [ok(), reply(bytes), end()];
        catalogue.grpc(name, code, vec![answer(&parts)]);
    }
    for (name, code, parts) in [
        ("no-message", 502, vec![]),
        ("two-messages", 502, vec![message(1), message(1)]),
        ("field-unknown-of-2-kib", 503, vec![reply(&long)]),
        (
            "message-in-pieces",
            200,
            [0, 0, 0, 0, 2, 8, 1].map(|byte| reply(&[byte])).to_vec(),
        ),
        (
            "message-among-empty-data",
            200,
            vec![reply(&[]), message(1), reply(&[])],
        ),
        (
            "message-padded",
            200,
            vec![data(frames::PADDED, &[3, 0, 0, 0, 0, 2, 8, 1, 0, 0, 0])],
        ),
    ] {
        let parts = [vec![ok()], parts, vec![end()]].concat();
        catalogue.grpc(name, code, vec![answer(&parts)]);
    }
    let none = headers(END_STREAM, &frames::block(&[("x", "y")]));
    let missing = answer(&[ok(), message(1), none]);
    catalogue.grpc("status-missing", 502, vec![missing]);
    let ends = answer(&[ok(), data(END_STREAM, &[0, 0, 0, 0, 2, 8, 1])]);
    catalogue.grpc("trailers-missing", 502, vec![ends]);
}

fn breaks(catalogue: &mut Catalogue) {
    let whole = || [ok(), message(1), trailers("0")].concat();
    let hold = || Action::Step(Step::Hold);
    let say = |bytes: Vec<u8>| vec![send(greeting()), Action::Request, send(bytes), hold()];
    let close = |bytes: Vec<u8>| vec![send(greeting()), Action::Request, send(bytes)];
    for (name, code, script) in [
        ("never", 504, say(vec![])),
        ("head-then-hold", 504, say(ok())),
        ("message-then-hold", 504, say([ok(), message(1)].concat())),
        ("closes", 502, close(vec![])),
        ("closes-after-head", 502, close(ok())),
        (
            "closes-after-message",
            502,
            close([ok(), message(1)].concat()),
        ),
        ("closes-after-answer", 200, close(whole())),
        ("rst-cancel", 502, say(rst(frames::CANCEL))),
        ("rst-internal", 502, say(rst(frames::INTERNAL_ERROR))),
        ("rst-refused", 502, say(rst(frames::REFUSED_STREAM))),
        (
            "rst-after-message",
            502,
            say([ok(), message(1), rst(frames::CANCEL)].concat()),
        ),
        (
            "rst-after-answer",
            200,
            say([whole(), rst(frames::NO_ERROR)].concat()),
        ),
        (
            "goaway-then-answer",
            200,
            say([goaway(1, 0), whole()].concat()),
        ),
        ("goaway-then-close", 502, close(goaway(1, 0))),
        (
            "goaway-calm",
            502,
            close(goaway(0, frames::ENHANCE_YOUR_CALM)),
        ),
        (
            "frame-unknown",
            200,
            say([frame(0xbe, 0xff, 0, &[1; 9]), whole()].concat()),
        ),
        (
            "push-promise",
            200,
            say([frame(5, 4, 1, &[0, 0, 0, 2, 0x82]), whole()].concat()),
        ),
    ] {
        catalogue.grpc(name, code, vec![script]);
    }
    before_the_call(catalogue);
    second_calls(catalogue);
}

/// grpc-go ignores a response to a call that it has not begun. Whether it has begun depends on timing.
fn before_the_call(catalogue: &mut Catalogue) {
    let whole = [greeting(), ok(), message(1), trailers("0")].concat();
    let script = vec![send(whole), Action::Step(Step::Hold)];
    catalogue.grpc("answer-before-call", 502, vec![script]);
    catalogue.last().is_compared = false;
}

/// A call that the server has not begun is sent again once.
fn second_calls(catalogue: &mut Catalogue) {
    let close = |bytes: Vec<u8>| vec![send(greeting()), Action::Request, send(bytes)];
    let whole = [ok(), message(1), trailers("0")].concat();
    let fine = || [close(whole.clone()), vec![Action::Step(Step::Hold)]].concat();
    let refused = close(rst(frames::REFUSED_STREAM));
    catalogue.grpc("refused-once", 200, vec![refused, fine()]);
    // grpc-go retries at once. Whether on the closing connection or on another depends on timing.
    catalogue.last().is_compared = false;
    let refused = close(goaway(0, 0));
    catalogue.grpc("goaway-once", 200, vec![refused, fine()]);
}

fn windows(catalogue: &mut Catalogue) {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    let ack = || frame(frames::SETTINGS, frames::ACK, 0, &[]);
    let with = |pairs: &[(u16, u32)]| send([frames::settings(pairs), ack()].concat());
    let whole = || send([ok(), message(1), trailers("0")].concat());
    let (hold, head) = (
        || Action::Step(Step::Hold),
        Action::Frame(frames::HEADERS, 0),
    );
    let closed = || with(&[(INITIAL_WINDOW_SIZE, 0)]);
    let opened = send(frames::window(1, 100));
    let script = vec![
        closed(),
        head.clone(),
        opened,
        Action::Request,
        whole(),
        hold(),
    ];
    catalogue.grpc("window-opens-late", 200, vec![script]);
    let by_one = send(frames::window(1, 1).repeat(5));
    let script = vec![
        closed(),
        head.clone(),
        by_one,
        Action::Request,
        whole(),
        hold(),
    ];
    catalogue.grpc("window-opens-by-bytes", 200, vec![script]);
    let by_settings = with(&[(INITIAL_WINDOW_SIZE, 50)]);
    let script = vec![
        closed(),
        head,
        by_settings,
        Action::Request,
        whole(),
        hold(),
    ];
    catalogue.grpc("window-opens-by-settings", 200, vec![script]);
    let script = vec![closed(), Action::Request, whole(), hold()];
    catalogue.grpc("window-never-opens", 504, vec![script]);
    let script = vec![
        with(&[(MAX_CONCURRENT_STREAMS, 0)]),
        Action::Request,
        whole(),
        hold(),
    ];
    catalogue.grpc("no-streams-allowed", 504, vec![script]);
}

fn no_http2(catalogue: &mut Catalogue) {
    let bad = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let hold = || Action::Step(Step::Hold);
    catalogue.grpc(
        "http-1.1-answers",
        502,
        vec![vec![Action::Bytes(24), send(bad)]],
    );
    catalogue.grpc("closes-at-once", 502, vec![vec![]]);
    catalogue.grpc("never-greets", 504, vec![vec![hold()]]);
    for (name, code, alpn, mode) in [
        ("tls-serving", 200, Some(&["h2"][..]), GrpcMode::Tls),
        // grpc-go requires ALPN since 1.67.
        ("tls-without-alpn", 502, Some(&[]), GrpcMode::Tls),
        ("tls-of-http-1.1", 502, Some(&["http/1.1"]), GrpcMode::Tls),
        ("plain-at-tls", 502, Some(&["h2"]), GrpcMode::Plaintext),
        ("tls-at-plain", 502, None, GrpcMode::Tls),
    ] {
        if TLS || mode == GrpcMode::Plaintext {
            catalogue.call(name, code, alpn, mode, vec![serving()]);
        }
    }
}
