//! Response heads: invalid ones that kubelet accepts, ones that it rejects, truncated heads, interim responses, and endless
//! heads.

use super::{ENDLESS, Expected, FINE, HttpCases, Step, send};
use std::time::Duration;

/// The rest of a healthy response after its status line.
const REST: &str = "\r\nContent-Length: 4\r\n\r\nfine";

pub(super) fn add_to(cases: &mut HttpCases) {
    for (name, line) in GOOD_LINES {
        cases.respond(&format!("sloppy-{name}"), &format!("{line}{REST}"), 200);
    }
    for (name, fields) in GOOD_FIELDS {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nfine");
        cases.respond(&format!("sloppy-{name}"), &text, 200);
    }
    cases.respond(
        "sloppy-bare-lf",
        "HTTP/1.1 200 OK\nContent-Length: 4\n\nfine",
        200,
    );
    cases.respond(
        "sloppy-mixed",
        "HTTP/1.1 200 OK\r\nX: 1\nContent-Length: 4\n\r\nfine",
        200,
    );
    for (name, line) in BAD_LINES {
        cases.respond(&format!("refused-{name}"), &format!("{line}{REST}"), 502);
    }
    for (name, fields) in BAD_FIELDS {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nfine");
        cases.respond(&format!("refused-{name}"), &text, 502);
    }
    cases.respond("refused-http-0.9-bare", "fine", 502);
    early_ends(cases);
    interim(cases);
    long(cases);
    endless(cases);
}

/// Status lines that RFC 9112 does not allow but kubelet accepts.
const GOOD_LINES: &[(&str, &str)] = &[
    ("no-reason", "HTTP/1.1 200"),
    ("no-reason-but-space", "HTTP/1.1 200 "),
    ("two-spaces", "HTTP/1.1  200 OK"),
    ("reason-of-bytes", "HTTP/1.1 200 \u{e9}\t\u{7f}"),
    ("version-0.9", "HTTP/0.9 200 OK"),
    ("version-2.0", "HTTP/2.0 200 OK"),
    ("version-9.9", "HTTP/9.9 200 OK"),
];

/// Field lines that RFC 9112 does not allow but kubelet accepts.
const GOOD_FIELDS: &[(&str, &str)] = &[
    (
        "obs-fold",
        "X-Long: one\r\n two\r\n\tthree\r\nContent-Length: 4",
    ),
    ("obs-fold-length", "Content-Length:\r\n 4"),
    ("space-before-colon", "X-Odd : 1\r\nContent-Length: 4"),
    ("blank-in-name", "X Odd: 1\r\nContent-Length: 4"),
    (
        "two-equal-lengths",
        "Content-Length: 4\r\nContent-Length: 4",
    ),
    ("odd-case-length", "cOnTeNt-LeNgTh:4"),
    ("length-with-blanks", "Content-Length: \t 4 \t"),
    ("empty-value", "X-Empty:\r\nContent-Length: 4"),
    ("value-of-bytes", "X-Name: \u{e9}\r\nContent-Length: 4"),
    ("name-of-marks", "!#$%&'*+-.^_`|~: 1\r\nContent-Length: 4"),
];

/// Status lines that kubelet rejects.
const BAD_LINES: &[(&str, &str)] = &[
    ("garbage", "\u{1}\u{2}\u{3}garbage"),
    ("tls-alert", "\u{15}\u{3}\u{1}\0\u{2}\u{2}F"),
    ("ssh", "SSH-2.0-OpenSSH_9.2"),
    ("http-0.9", "<html>fine</html>"),
    ("empty-line-first", "\r\nHTTP/1.1 200 OK"),
    ("space-first", " HTTP/1.1 200 OK"),
    ("no-status", "HTTP/1.1"),
    ("lower-case-version", "http/1.1 200 OK"),
    ("version-1", "HTTP/1 200 OK"),
    ("version-1.10", "HTTP/1.10 200 OK"),
    ("version-x.y", "HTTP/x.y 200 OK"),
    ("tab-for-space", "HTTP/1.1\t200 OK"),
];

/// Field lines that kubelet rejects.
const BAD_FIELDS: &[(&str, &str)] = &[
    ("fold-first", " X: 1\r\nContent-Length: 4"),
    ("no-colon", "X\r\nContent-Length: 4"),
    ("no-name", ": 1\r\nContent-Length: 4"),
    ("bytes-in-name", "X\u{e9}: 1\r\nContent-Length: 4"),
    ("nul-in-value", "X: \0\r\nContent-Length: 4"),
    ("two-lengths", "Content-Length: 4\r\nContent-Length: 5"),
    ("length-plus", "Content-Length: +4"),
    ("length-minus", "Content-Length: -4"),
    ("length-hex", "Content-Length: 0x4"),
    ("length-list", "Content-Length: 4, 4"),
    ("length-empty", "Content-Length:"),
    ("length-huge", "Content-Length: 99999999999999999999"),
    ("coding-gzip", "Transfer-Encoding: gzip"),
    ("coding-gzip-chunked", "Transfer-Encoding: gzip, chunked"),
    ("coding-identity", "Transfer-Encoding: identity"),
    (
        "coding-twice",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ),
    ("coding-empty", "Transfer-Encoding:"),
];

fn early_ends(cases: &mut HttpCases) {
    let head = &FINE[..FINE.len() - "fine".len()];
    for sent in 0..head.len() {
        cases.respond(&format!("closed-at-{sent:02}"), &head[..sent], 502);
    }
    for sent in [0, 1, 12, 17, 30] {
        let pause = Step::Pause(Duration::from_millis(50));
        let script = vec![send(&head[..sent]), pause, Step::Reset];
        cases.add(
            &format!("reset-at-{sent:02}"),
            script,
            Expected::Status(502),
        );
    }
}

fn interim(cases: &mut HttpCases) {
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    cases.respond("interim-100", &format!("{go_on}{FINE}"), 200);
    cases.respond("interim-103", &format!("{hints}{FINE}"), 200);
    cases.respond(
        "interim-199",
        &format!("HTTP/1.1 199 Odd\r\n\r\n{FINE}"),
        200,
    );
    cases.respond(
        "interim-20-times",
        &format!("{}{FINE}", [go_on, hints].concat().repeat(10)),
        200,
    );
    let length = "HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\n";
    cases.respond("interim-with-length", &format!("{length}{FINE}"), 200);
    cases.respond("interim-only", go_on, 502);
    let script = vec![Step::Flood(go_on.repeat(1000).into(), ENDLESS)];
    cases.add("interim-endless", script, Expected::Status(502));
    cases.allow_longer();
}

fn field(bytes: usize) -> String {
    format!("X-Policy: {}\r\n", "p".repeat(bytes))
}

fn long(cases: &mut HttpCases) {
    for (name, fields) in [
        ("4-KiB", field(88).repeat(40)),
        ("300-KiB", field(88).repeat(3000)),
        ("one-300-KiB-field", field(300 * 1024)),
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\nfine");
        cases.respond(&format!("head-of-{name}"), &text, 200);
    }
}

fn endless(cases: &mut HttpCases) {
    let block = || vec![b'x'; 64 * 1024];
    for (name, start, rest) in [
        (
            "fields",
            "HTTP/1.1 200 OK\r\n",
            field(88).repeat(500).into_bytes(),
        ),
        ("field", "HTTP/1.1 200 OK\r\nX: ", block()),
        ("name", "HTTP/1.1 200 OK\r\nX", block()),
        ("reason", "HTTP/1.1 200 ", block()),
        ("line", "", block()),
    ] {
        let script = vec![send(start), Step::Flood(rest, ENDLESS)];
        cases.add(
            &format!("head-endless-{name}"),
            script,
            Expected::Status(502),
        );
        cases.allow_longer();
    }
}
