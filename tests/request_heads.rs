//! Request heads that are malformed, too large, in many pieces, or too slow. Each gets its status, and the client receives
//! the response.

use std::io::Write;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::support::http::{End, Response};
use crate::support::raw::{connect, exchange, get, probe, read_to_end, send};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::trials::trials;

use crate::status_port::{LIVEZ, agent_of, assert_response, text};
use probelet::limits::{
    POOL_CONNECTIONS, REQUEST_FIELDS, REQUEST_HEAD_BYTES, REQUEST_HEAD_TIMEOUT,
};

pub fn tests() -> Vec<Trial> {
    trials!["request_heads":
        malformed_heads_get_400,
        heads_that_are_legal_but_rare_are_answered,
        as_many_fields_as_allowed_pass_and_one_more_gets_431,
        ten_thousand_fields_get_431,
        a_head_of_the_allowed_size_passes_and_one_byte_more_gets_431,
        a_large_request_gets_431_before_it_ends,
        every_split_of_a_head_gets_the_same_answer,
        a_head_sent_byte_by_byte_gets_the_same_answer,
        a_slow_head_is_closed_after_a_second,
        a_silent_connection_is_closed_after_a_second,
    ]
}

fn malformed_heads_get_400() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_of(&app);
    let line = format!("GET {LIVEZ} HTTP/1.1\r\n");
    let cases: &[&str] = &[
        &format!("GET {LIVEZ} HTTP/1.1\nHost: a\n\n"),
        &format!("{line}Host: a\n\r\n"),
        &format!("{line}Host : a\r\n\r\n"),
        &format!("{line}Host: a\r\nX: 1\r\n 2\r\n\r\n"),
        &format!("{line}\r\n"),
        &format!("{line}Host: a\r\nHost: a\r\n\r\n"),
        &format!("{line}Host: a\r\nno colon\r\n\r\n"),
        &format!("{line}Host: a\r\n: no name\r\n\r\n"),
        &format!("{line}Host: a\r\nX: \0\r\n\r\n"),
        &format!("{line}Host: a\r\nX: a\rb\r\n\r\n"),
        &format!("{line}Host: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
        &format!("{line}Host: a\r\nContent-Length: -1\r\n\r\n"),
        &format!("\r\n\r\n{line}Host: a\r\n\r\n"),
        &format!("GET  {LIVEZ} HTTP/1.1\r\nHost: a\r\n\r\n"),
        &format!("GET {LIVEZ}\r\nHost: a\r\n\r\n"),
        &format!("GET {LIVEZ} http/1.1\r\nHost: a\r\n\r\n"),
        &format!("GET {LIVEZ} HTTP/1.1 \r\nHost: a\r\n\r\n"),
        &format!("GET {LIVEZ} x HTTP/1.1\r\nHost: a\r\n\r\n"),
        &format!(" GET {LIVEZ} HTTP/1.1\r\nHost: a\r\n\r\n"),
        "GET app-health/web/livez HTTP/1.1\r\nHost: a\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
    ];
    for head in cases {
        assert_response(&agent, head.as_bytes(), 400);
    }
    assert_eq!(app.requests(), 0, "nothing malformed reaches the app");
}

fn heads_that_are_legal_but_rare_are_answered() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_of(&app);
    let line = format!("GET {LIVEZ} HTTP/1.1\r\n");
    let cases = [
        format!("\r\n{line}Host: a\r\n\r\n"),
        format!("{line}Host:\r\n\r\n"),
        format!("{line}hOST:a\r\n\r\n"),
        format!("{line}Host: a\r\nContent-Length: 0\r\n\r\n"),
        format!("{line}Host: a\r\nX-Empty:\r\nX-Tabs:\t a\t\r\n\r\n"),
        format!("GET {LIVEZ} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        format!("{line}Host: a\r\nConnection: keep-alive\r\n\r\n"),
        format!("{line}Host: [fd00::1]:15020\r\n\r\n"),
    ];
    for head in cases {
        assert_response(&agent, head.as_bytes(), 200);
    }
}

fn with_fields(fields: usize) -> Vec<u8> {
    let more: String = (1..fields).map(|n| format!("x{n}: y\r\n")).collect();
    format!("GET {LIVEZ} HTTP/1.1\r\nHost: a\r\n{more}\r\n").into_bytes()
}

fn as_many_fields_as_allowed_pass_and_one_more_gets_431() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_of(&app);
    exchange(agent.addr(), &with_fields(REQUEST_FIELDS)).assert_is(200);
    exchange(agent.addr(), &with_fields(REQUEST_FIELDS + 1)).assert_is(431);
}

fn ten_thousand_fields_get_431() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_of(&app);
    for _ in 0..20 {
        exchange(agent.addr(), &with_fields(10_000)).assert_is(431);
    }
    probe(&agent, LIVEZ).assert_is(200);
    assert_eq!(app.requests(), 1);
}

fn of_size(bytes: usize) -> Vec<u8> {
    let head = format!("GET {LIVEZ} HTTP/1.1\r\nHost: a\r\nCookie: ");
    let cookie = "c".repeat(bytes - head.len() - "\r\n\r\n".len());
    format!("{head}{cookie}\r\n\r\n").into_bytes()
}

fn a_head_of_the_allowed_size_passes_and_one_byte_more_gets_431() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_of(&app);
    for _ in 0..20 {
        exchange(agent.addr(), &of_size(REQUEST_HEAD_BYTES)).assert_is(200);
        exchange(agent.addr(), &of_size(REQUEST_HEAD_BYTES + 1)).assert_is(431);
    }
}

fn a_large_request_gets_431_before_it_ends() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_of(&app);
    // The head does not end: the response must not wait for its end.
    let head = &of_size(REQUEST_HEAD_BYTES + 64)[..REQUEST_HEAD_BYTES + 1];
    read_to_end(&mut send(agent.addr(), head)).assert_is(431);
}

fn every_split_of_a_head_gets_the_same_answer() {
    let app = SwitchableApp::start(ReplyMode::Status(203));
    let agent = agent_of(&app);
    let bad = format!("GET {LIVEZ} HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n").into_bytes();
    for request in [get(LIVEZ), bad] {
        let expected = exchange(agent.addr(), &request).bytes;
        let splits: Vec<_> = (1..request.len()).collect();
        // As many connections as the pool may have of one client, so that none is evicted.
        for splits in splits.chunks(POOL_CONNECTIONS) {
            let first = |at: &usize| send(agent.addr(), &request[..*at]);
            let mut streams: Vec<_> = splits.iter().map(first).collect();
            // One thread serves the connections in order: after this response it has read all earlier parts, and the
            // next bytes arrive separately.
            probe(&agent, "/healthz/ready").assert_is(200);
            for (stream, at) in streams.iter_mut().zip(splits) {
                // The head is rejected early, so the client may find the connection closed.
                let _ = stream.write_all(&request[*at..]);
                let answer = read_to_end(stream);
                assert_eq!(
                    text(&answer.bytes),
                    text(&expected),
                    "split before byte {at}"
                );
                assert_eq!(answer.end, End::Fin, "split before byte {at}");
            }
        }
    }
}

fn a_head_sent_byte_by_byte_gets_the_same_answer() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_of(&app);
    let mut stream = connect(agent.addr());
    for byte in get(LIVEZ) {
        stream.write_all(&[byte]).expect("sent");
    }
    read_to_end(&mut stream).assert_is(200);
}

/// Asserts that the connection ended without a response, and not before the timeout of a head.
#[track_caller]
fn assert_closed_after_the_timeout(started: Instant, reply: &Response) {
    let took = started.elapsed();
    reply.assert_none();
    assert!(
        took > REQUEST_HEAD_TIMEOUT * 9 / 10,
        "cut off after {took:?}, before its time"
    );
}

fn a_slow_head_is_closed_after_a_second() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_of(&app);
    let started = Instant::now();
    let mut stream = connect(agent.addr());
    let mut dribble = stream.try_clone().expect("a second descriptor");
    let dribbling = std::thread::spawn(move || {
        // A byte every 20 ms takes five seconds. If each byte extended the deadline, the head would be answered.
        for byte in get(LIVEZ).into_iter().chain(std::iter::repeat_n(b'x', 100)) {
            if dribble.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_closed_after_the_timeout(started, &read_to_end(&mut stream));
    dribbling.join().expect("ends once the connection is gone");
}

fn a_silent_connection_is_closed_after_a_second() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_of(&app);
    let started = Instant::now();
    let mut stream = connect(agent.addr());
    assert_closed_after_the_timeout(started, &read_to_end(&mut stream));
    // Also a connection that sent all but the last byte.
    let started = Instant::now();
    let mut stream = send(agent.addr(), &get(LIVEZ)[..get(LIVEZ).len() - 1]);
    assert_closed_after_the_timeout(started, &read_to_end(&mut stream));
    assert_eq!(app.requests(), 0);
}
