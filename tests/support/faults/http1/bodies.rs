//! Bodies: complete, stalled, truncated, with invalid chunks, endless; below and above the 10 KiB at which kubelet stops
//! reading.

use super::{ENDLESS, Expected, FINE, HttpCases, Step, send};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\n";

pub(super) fn add_to(cases: &mut HttpCases) {
    whole(cases);
    held(cases);
    broken(cases);
    long(cases);
    endless(cases);
    chunked(cases);
    chunked_and_held(cases);
    chunked_and_long(cases);
}

fn whole(cases: &mut HttpCases) {
    cases.respond("fine", FINE, 200);
    cases.respond("body-until-close", &format!("{OK}\r\nall there is"), 200);
    cases.respond("body-until-close-empty", &format!("{OK}\r\n"), 200);
    let gzip = "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone";
    cases.respond("body-gzip", &format!("{OK}{gzip}"), 200);
    cases.respond("body-and-more", &format!("{FINE}{FINE}"), 200);
    cases.respond("http-1.0", "HTTP/1.0 200 OK\r\n\r\nold", 200);
    cases.respond(
        "http-1.0-length",
        "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold",
        200,
    );
    // HTTP/1.0 has no chunks: the body is everything until the close.
    let chunked = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz";
    cases.respond("http-1.0-chunked", chunked, 200);
}

/// Servers that ignore `Connection: close` and keep the connection open.
fn held(cases: &mut HttpCases) {
    let alive = "Connection: keep-alive\r\nContent-Length: 4\r\n\r\nfine";
    let whole = Expected::Status(200);
    cases.respond_and_hold("keep-alive", &format!("{OK}{alive}"), whole);
    cases.respond_and_hold(
        "keep-alive-1.0",
        &format!("HTTP/1.0 200 OK\r\n{alive}"),
        whole,
    );
    cases.respond_and_hold(
        "keep-alive-empty",
        &format!("{OK}Content-Length: 0\r\n\r\n"),
        whole,
    );
    cases.respond_and_hold(
        "keep-alive-500",
        &format!("HTTP/1.1 500 No\r\n{alive}"),
        Expected::Status(500),
    );
}

fn broken(cases: &mut HttpCases) {
    let half = "Content-Length: 9\r\n\r\nhalf";
    let nothing = "Content-Length: 9\r\n\r\n";
    for (name, code, line) in [
        ("", 200, "HTTP/1.1 200 OK"),
        ("-1.0", 200, "HTTP/1.0 200 OK"),
        ("-300", 300, "HTTP/1.1 300 Many"),
        ("-404", 404, "HTTP/1.1 404 No"),
    ] {
        let text = format!("{line}\r\n{half}");
        cases.respond_broken(&format!("body-cut{name}"), &text, code);
        cases.respond_and_hold(
            &format!("body-stalls{name}"),
            &text,
            Expected::BrokenBody(code),
        );
    }
    cases.respond_broken("body-cut-at-0", &format!("{OK}{nothing}"), 200);
    cases.respond_and_hold(
        "body-stalls-at-0",
        &format!("{OK}{nothing}"),
        Expected::BrokenBody(200),
    );
    cases.respond_and_hold(
        "body-until-close-held",
        &format!("{OK}\r\nmore"),
        Expected::BrokenBody(200),
    );
    for (name, text) in [
        ("", format!("{OK}{half}")),
        ("-until-close", format!("{OK}\r\nhalf")),
    ] {
        let script = vec![
            send(&text),
            Step::Pause(Duration::from_millis(100)),
            Step::Reset,
        ];
        cases.add(
            &format!("body-reset{name}"),
            script,
            Expected::BrokenBody(200),
        );
    }
}

/// kubelet succeeds after 10,240 bytes and ignores the rest.
fn long(cases: &mut HttpCases) {
    for sent in [10_239, 10_240, 10_241, 20_000] {
        let code = if sent < 10_240 {
            Expected::BrokenBody(200)
        } else {
            Expected::Status(200)
        };
        let body = "x".repeat(sent);
        let text = format!("{OK}Content-Length: 50000\r\n\r\n{body}");
        cases.add(&format!("body-cut-at-{sent}"), vec![send(&text)], code);
        cases.respond_and_hold(&format!("body-stalls-at-{sent}"), &text, code);
        let text = format!("{OK}\r\n{body}");
        cases.respond_and_hold(&format!("body-until-close-held-at-{sent}"), &text, code);
    }
    let exactly = format!("{OK}Content-Length: 10240\r\n\r\n{}", "x".repeat(10_240));
    cases.respond("body-of-10240", &exactly, 200);
}

fn endless(cases: &mut HttpCases) {
    let block = || vec![b'x'; 64 * 1024];
    let length = send(&format!("{OK}Content-Length: 1073741824\r\n\r\n"));
    cases.add(
        "body-of-1-GiB",
        vec![length, Step::Flood(block(), 1 << 30)],
        Expected::Status(200),
    );
    let until_close = send(&format!("{OK}\r\n"));
    cases.add(
        "body-endless",
        vec![until_close, Step::Flood(block(), ENDLESS)],
        Expected::Status(200),
    );
    let chunked = send(&format!("{OK}Transfer-Encoding: chunked\r\n\r\n"));
    let chunks = b"4\r\nmore\r\n".repeat(1000);
    let script = vec![chunked, Step::Flood(chunks, ENDLESS)];
    cases.add("body-endless-chunks", script, Expected::Status(200));
}

/// Chunked bodies that kubelet reads to the end.
const GOOD_CHUNKS: &[(&str, &str)] = &[
    ("fine", "4\r\nfine\r\n0\r\n\r\n"),
    ("empty", "0\r\n\r\n"),
    ("two", "4\r\nfine\r\n3\r\nall\r\n0\r\n\r\n"),
    (
        "trailers",
        "4\r\nfine\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
    ),
    ("extensions", "4;a=b;c=\"d\"\r\nfine\r\n0;last\r\n\r\n"),
    ("upper-hex", "A\r\n0123456789\r\n0\r\n\r\n"),
    ("leading-zeros", "0004\r\nfine\r\n000\r\n\r\n"),
    ("space-after-size", "4 \r\nfine\r\n0\r\n\r\n"),
];

/// Chunked bodies on which kubelet reports an error.
const BAD_CHUNKS: &[(&str, &str)] = &[
    ("nothing", ""),
    ("no-size", "\r\nfine\r\n0\r\n\r\n"),
    ("bad-size", "zz\r\nfine\r\n0\r\n\r\n"),
    ("signed-size", "+4\r\nfine\r\n0\r\n\r\n"),
    ("huge-size", "fffffffffffffffff\r\nfine\r\n0\r\n\r\n"),
    ("space-before-size", " 4\r\nfine\r\n0\r\n\r\n"),
    ("bare-lf", "4\nfine\n0\n\n"),
    ("bare-lf-after-size", "4\nfine\r\n0\r\n\r\n"),
    ("data-too-long", "4\r\nfineandmore\r\n0\r\n\r\n"),
    ("bad-trailer", "4\r\nfine\r\n0\r\nno colon\r\n\r\n"),
    ("cut-in-size", "4"),
    ("cut-in-data", "4\r\nfi"),
    ("cut-before-last", "4\r\nfine\r\n"),
    ("cut-in-last", "4\r\nfine\r\n0\r\n"),
    ("cut-in-trailer", "4\r\nfine\r\n0\r\nX-Sum: 1\r\n"),
];

fn chunked(cases: &mut HttpCases) {
    let head = format!("{OK}Transfer-Encoding: chunked\r\n\r\n");
    for (name, body) in GOOD_CHUNKS {
        cases.respond(&format!("chunked-{name}"), &format!("{head}{body}"), 200);
    }
    for (name, body) in BAD_CHUNKS {
        cases.respond_broken(&format!("chunked-{name}"), &format!("{head}{body}"), 200);
    }
    let fine = "4\r\nfine\r\n0\r\n\r\n";
    let odd = format!("{OK}Transfer-Encoding: CHUNKED\r\n\r\n{fine}");
    cases.respond("chunked-odd-case", &odd, 200);
    let both = format!("{OK}Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n{fine}");
    cases.respond("chunked-and-length", &both, 200);
}

fn chunked_and_held(cases: &mut HttpCases) {
    let head = format!("{OK}Transfer-Encoding: chunked\r\n\r\n");
    for (name, body, code) in [
        (
            "chunked-held",
            "4\r\nfine\r\n0\r\n\r\n",
            Expected::Status(200),
        ),
        (
            "chunked-stalls-in-data",
            "4\r\nfi",
            Expected::BrokenBody(200),
        ),
        (
            "chunked-stalls-before-last",
            "4\r\nfine\r\n",
            Expected::BrokenBody(200),
        ),
        (
            "chunked-stalls-in-last",
            "4\r\nfine\r\n0\r\n",
            Expected::BrokenBody(200),
        ),
    ] {
        cases.respond_and_hold(name, &format!("{head}{body}"), code);
    }
}

fn chunked_and_long(cases: &mut HttpCases) {
    for size in [10_239, 10_240, 10_241] {
        let body = "x".repeat(size);
        let chunk = format!("{OK}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n");
        let code = if size < 10_240 {
            Expected::BrokenBody(200)
        } else {
            Expected::Status(200)
        };
        cases.respond_and_hold(&format!("chunked-stalls-at-{size}"), &chunk, code);
        // Go reads ahead a chunk size that has arrived, so the rest is sent later.
        let later = Step::Pause(Duration::from_millis(100));
        let script = vec![send(&chunk), later, send("zz\r\n")];
        cases.add(&format!("chunked-bad-at-{size}"), script, code);
    }
}
