//! What the status port says to whom: routes, malformed requests, and that every answer arrives
//! whole and ends with a FIN, however the request comes in.

use std::io::Write;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::support::agent::Agent;
use crate::support::app::{App, Reply};
use crate::support::http::{Answer, End};
use crate::support::observe::{assert_descriptors, logged};
use crate::support::ports::reserve;
use crate::support::raw::{connect, exchange, get, probe, read_to_end, send, until_read};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

use probelet::limits::{PROBE_SLOTS, REQUEST_FIELDS, REQUEST_HEAD_BYTES, REQUEST_HEAD_TIME};

const LIVEZ: &str = "/app-health/web/livez";

pub fn tests() -> Vec<Trial> {
    trials!["status_port":
        routes,
        methods_other_than_get_and_head_are_refused_with_the_allowed_ones,
        head_gets_the_status_and_no_body,
        malformed_heads_get_400,
        heads_that_are_legal_but_rare_are_answered,
        a_request_with_a_body_gets_400,
        a_second_request_on_the_connection_is_not_answered_and_does_no_harm,
        as_many_fields_as_allowed_pass_and_one_more_gets_431,
        ten_thousand_fields_get_431,
        a_head_of_the_allowed_size_passes_and_one_byte_more_gets_431,
        a_large_request_is_told_431_before_it_ends,
        every_split_of_a_head_gets_the_same_answer,
        a_head_sent_byte_by_byte_gets_the_same_answer,
        a_head_that_dribbles_is_cut_off_in_a_second,
        a_silent_connection_is_cut_off_in_a_second,
        a_client_that_leaves_half_way_costs_nothing,
        https_and_grpc_probers_get_501_and_a_line_in_the_log,
        a_redirect_to_https_gets_501,
        a_tcp_prober_tells_open_from_closed,
        the_apps_body_and_fields_stay_behind,
    ]
}

fn agent_of(app: &App) -> Agent {
    agent_with(&Table::new().http(LIVEZ, app.port(), 5), &[])
}

/// Holds what one request of many is answered.
#[track_caller]
fn assert_says(agent: &Agent, request: &[u8], status: u16) {
    let answer = exchange(agent.addr(), request);
    let (asked, end) = (text(request), answer.end);
    assert_eq!(
        (&asked, answer.code(), end),
        (&asked, Some(status), End::Fin)
    );
    answer.assert_is(status);
}

fn request_line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n\r\n").into_bytes()
}

fn routes() {
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    let cases = [
        ("GET /app-health/web/livez HTTP/1.1", 200),
        ("GET /app-health/web/livez?verbose=1 HTTP/1.1", 200),
        ("GET /app-health/web/livez? HTTP/1.1", 200),
        (
            "GET http://10.1.2.3:15020/app-health/web/livez HTTP/1.1",
            200,
        ),
        ("GET http://a/app-health/web/livez?x HTTP/1.1", 200),
        ("GET /app-health/web/readyz HTTP/1.1", 404),
        ("GET /app-health/web/livez/ HTTP/1.1", 404),
        ("GET /app-health/web/LIVEZ HTTP/1.1", 404),
        ("GET //app-health/web/livez HTTP/1.1", 404),
        ("GET /app-health/web/livezz HTTP/1.1", 404),
        ("GET /app-health/web/live HTTP/1.1", 404),
        ("GET / HTTP/1.1", 404),
        ("GET /healthz/ready HTTP/1.1", 200),
        ("GET http://a/healthz/ready HTTP/1.1", 200),
        ("GET /quitquitquit HTTP/1.1", 404),
    ];
    for (line, status) in cases {
        assert_says(&agent, &request_line(line), status);
    }
    exchange(agent.addr(), &request_line("GET /metrics HTTP/1.1")).assert_ended(200);
    let old = exchange(agent.addr(), b"GET /app-health/web/livez HTTP/1.0\r\n\r\n");
    old.assert_is(200);
    assert_eq!(
        app.requests(),
        6,
        "one request at the app for each probe and none for the others"
    );
}

fn methods_other_than_get_and_head_are_refused_with_the_allowed_ones() {
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    for method in [
        "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "BREW",
    ] {
        for path in [LIVEZ, "/healthz/ready", "/metrics"] {
            let reply = exchange(
                agent.addr(),
                &request_line(&format!("{method} {path} HTTP/1.1")),
            );
            reply.assert_is(405);
            assert_eq!(
                reply.field("allow"),
                Some("GET, HEAD"),
                "RFC 9110 section 15.5.6"
            );
        }
    }
    assert_eq!(app.requests(), 0);
}

fn head_gets_the_status_and_no_body() {
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    for (path, status) in [
        (LIVEZ, 200),
        ("/healthz/ready", 200),
        ("/metrics", 200),
        ("/no", 404),
    ] {
        let reply = exchange(
            agent.addr(),
            &request_line(&format!("HEAD {path} HTTP/1.1")),
        );
        assert_eq!(
            (reply.code(), reply.end),
            (Some(status), End::Fin),
            "{path}"
        );
        assert_eq!(String::from_utf8_lossy(reply.body()), "", "{path}");
    }
    app.set(Reply::Status(418));
    assert_eq!(
        exchange(
            agent.addr(),
            &request_line(&format!("HEAD {LIVEZ} HTTP/1.1"))
        )
        .code(),
        Some(418)
    );
}

fn malformed_heads_get_400() {
    let app = App::start(Reply::Status(200));
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
        assert_says(&agent, head.as_bytes(), 400);
    }
    assert_eq!(app.requests(), 0, "nothing malformed goes on to the app");
}

fn heads_that_are_legal_but_rare_are_answered() {
    let app = App::start(Reply::Status(200));
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
        assert_says(&agent, head.as_bytes(), 200);
    }
}

fn a_request_with_a_body_gets_400() {
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    let head = |fields: &str| format!("GET {LIVEZ} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    let port = agent.addr();
    exchange(port, (head("Content-Length: 5") + "hello").as_bytes()).assert_is(400);
    exchange(
        port,
        (head("Transfer-Encoding: chunked") + "0\r\n\r\n").as_bytes(),
    )
    .assert_is(400);
    exchange(
        port,
        head("Content-Length: 5\r\nExpect: 100-continue").as_bytes(),
    )
    .assert_is(400);
    // A body that is on its way when the answer is written must not cost the client the answer.
    let body = "x".repeat(128 * 1024);
    exchange(port, (head("Content-Length: 131072") + &body).as_bytes()).assert_is(400);
    assert_eq!(app.requests(), 0);
}

fn a_second_request_on_the_connection_is_not_answered_and_does_no_harm() {
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    let twice = [get(LIVEZ), get(LIVEZ)].concat();
    exchange(agent.addr(), &twice).assert_is(200);
    let then_garbage = [get(LIVEZ), vec![0; 4096]].concat();
    exchange(agent.addr(), &then_garbage).assert_is(200);
    assert_eq!(app.requests(), 2, "one probe a connection");
}

fn with_fields(fields: usize) -> Vec<u8> {
    let more: String = (1..fields).map(|n| format!("x{n}: y\r\n")).collect();
    format!("GET {LIVEZ} HTTP/1.1\r\nHost: a\r\n{more}\r\n").into_bytes()
}

fn as_many_fields_as_allowed_pass_and_one_more_gets_431() {
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    exchange(agent.addr(), &with_fields(REQUEST_FIELDS)).assert_is(200);
    exchange(agent.addr(), &with_fields(REQUEST_FIELDS + 1)).assert_is(431);
}

fn ten_thousand_fields_get_431() {
    let app = App::start(Reply::Status(200));
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
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    for _ in 0..20 {
        exchange(agent.addr(), &of_size(REQUEST_HEAD_BYTES)).assert_is(200);
        exchange(agent.addr(), &of_size(REQUEST_HEAD_BYTES + 1)).assert_is(431);
    }
}

fn a_large_request_is_told_431_before_it_ends() {
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    // No end of the head: the answer must not wait for one.
    let head = &of_size(REQUEST_HEAD_BYTES + 64)[..REQUEST_HEAD_BYTES + 1];
    read_to_end(&mut send(agent.addr(), head)).assert_is(431);
}

fn every_split_of_a_head_gets_the_same_answer() {
    let app = App::start(Reply::Status(203));
    let agent = agent_of(&app);
    let bad = format!("GET {LIVEZ} HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n").into_bytes();
    for request in [get(LIVEZ), bad] {
        let expected = exchange(agent.addr(), &request).bytes;
        let splits: Vec<_> = (1..request.len()).collect();
        // Half as many at once as there are slots: nobody has to make room.
        for splits in splits.chunks(PROBE_SLOTS / 2) {
            let first = |at: &usize| send(agent.addr(), &request[..*at]);
            let mut streams: Vec<_> = splits.iter().map(first).collect();
            // One thread takes connections in their order: when this one is answered, the parts
            // before it have been read, and what is sent next comes apart from them.
            probe(&agent, "/healthz/ready").assert_is(200);
            for (stream, at) in streams.iter_mut().zip(splits) {
                // Told early that the head is malformed, the client may find the connection closed.
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

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn a_head_sent_byte_by_byte_gets_the_same_answer() {
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    let mut stream = connect(agent.addr());
    for byte in get(LIVEZ) {
        stream.write_all(&[byte]).expect("sent");
    }
    read_to_end(&mut stream).assert_is(200);
}

/// Within the second a head may take, and what a busy machine adds.
#[track_caller]
fn assert_cut_off_in_time(started: Instant, reply: &Answer) {
    let took = started.elapsed();
    reply.assert_none();
    assert!(
        took > REQUEST_HEAD_TIME * 9 / 10,
        "cut off after {took:?}, before its time"
    );
    assert!(took < REQUEST_HEAD_TIME * 2, "cut off after {took:?}");
}

fn a_head_that_dribbles_is_cut_off_in_a_second() {
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    let started = Instant::now();
    let mut stream = connect(agent.addr());
    let mut dribble = stream.try_clone().expect("a second descriptor");
    let dribbling = std::thread::spawn(move || {
        // A byte each 20 ms would take five seconds; a deadline each byte moves would never end it.
        for byte in get(LIVEZ).into_iter().chain(std::iter::repeat_n(b'x', 100)) {
            if dribble.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_cut_off_in_time(started, &read_to_end(&mut stream));
    dribbling.join().expect("ends once the connection is gone");
}

fn a_silent_connection_is_cut_off_in_a_second() {
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    let started = Instant::now();
    let mut stream = connect(agent.addr());
    assert_cut_off_in_time(started, &read_to_end(&mut stream));
    // Also one that sent all but the last byte.
    let started = Instant::now();
    let mut stream = send(agent.addr(), &get(LIVEZ)[..get(LIVEZ).len() - 1]);
    assert_cut_off_in_time(started, &read_to_end(&mut stream));
    assert_eq!(app.requests(), 0);
}

fn a_client_that_leaves_half_way_costs_nothing() {
    let app = App::start(Reply::Hold);
    let agent = agent_of(&app);
    let before = agent.descriptors();
    for at in [0, 1, 20, get(LIVEZ).len()] {
        let stream = send(agent.addr(), &get(LIVEZ)[..at]);
        until_read(&[stream]);
    }
    app.set(Reply::Status(200));
    probe(&agent, LIVEZ).assert_is(200);
    assert_descriptors(&agent, before);
}

fn https_and_grpc_probers_get_501_and_a_line_in_the_log() {
    let app = App::start(Reply::Status(200));
    let port = app.port();
    let https = format!(r#""httpGet":{{"port":{port},"scheme":"HTTPS"}}"#);
    let grpc = format!(r#""grpc":{{"port":{port}}}"#);
    let table = Table::new()
        .prober("/app-health/web/livez", &https)
        .prober("/app-health/web/readyz", &grpc);
    let agent = agent_with(&table, &[]);
    for path in ["/app-health/web/livez", "/app-health/web/readyz"] {
        probe(&agent, path).assert_is(501);
        let line = logged(&agent, &format!("path={path} "));
        assert!(
            line.contains("msg=failing") && line.contains("reason=not_built"),
            "{line}"
        );
        assert!(
            line.contains("status=501") && line.contains(&format!(":{port} ")),
            "{line}"
        );
    }
    assert_eq!(app.requests(), 0);
}

fn a_redirect_to_https_gets_501() {
    let app = App::start(Reply::RedirectToHttps);
    let agent = agent_of(&app);
    probe(&agent, LIVEZ).assert_is(501);
    let line = logged(&agent, "msg=failing");
    assert!(line.contains("reason=not_built"), "{line}");
}

fn a_tcp_prober_tells_open_from_closed() {
    let app = App::start(Reply::Status(200));
    let closed = reserve();
    let tcp = |port: u16| format!(r#""tcpSocket":{{"port":{port}}}"#);
    let table = Table::new()
        .prober("/app-health/web/livez", &tcp(app.port()))
        .prober("/app-health/web/readyz", &tcp(closed.port));
    let agent = agent_with(&table, &[]);
    probe(&agent, "/app-health/web/livez").assert_is(200);
    probe(&agent, "/app-health/web/readyz").assert_is(502);
    let line = logged(&agent, "path=/app-health/web/readyz");
    assert!(line.contains("reason=refused"), "{line}");
}

fn the_apps_body_and_fields_stay_behind() {
    let app = App::start(Reply::Status(200));
    let agent = agent_of(&app);
    for code in [200, 302, 404, 500, 599] {
        app.set(Reply::Status(code));
        let reply = probe(&agent, LIVEZ);
        reply.assert_is(code);
        assert_eq!(text(reply.body()), "");
        assert_eq!(reply.field("location"), None);
    }
}
