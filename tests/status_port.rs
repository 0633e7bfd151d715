//! Responses of the status port: routes, methods, kinds of probers. Of the app's response they have only the status code.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use libtest_mimic::Trial;

use crate::support::TLS;
use crate::support::agent::Agent;
use crate::support::http::End;
use crate::support::observe::{assert_descriptors, logged};
use crate::support::ports::reserve;
use crate::support::raw::{exchange, get, probe, send, until_read};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

pub(crate) const LIVEZ: &str = "/app-health/web/livez";

pub fn tests() -> Vec<Trial> {
    trials!["status_port":
        routes,
        methods_other_than_get_and_head_are_refused_with_the_allowed_ones,
        head_gets_the_status_and_no_body,
        a_request_with_a_body_gets_400,
        a_second_request_on_the_connection_is_not_answered,
        a_client_that_closes_halfway_leaves_no_descriptors,
        probers_that_need_tls_get_501_where_there_is_none,
        a_redirect_to_https_gets_501_where_there_is_no_tls,
        a_tcp_prober_distinguishes_open_from_refused,
        the_apps_body_and_fields_are_not_passed_on,
        the_app_can_listen_on_the_local_port_of_a_probe,
    ]
}

pub(crate) fn agent_of(app: &SwitchableApp) -> Agent {
    agent_with(&Table::new().http(LIVEZ, app.port(), 5), &[])
}

/// Asserts the status, the end and the length of the response to this request.
#[track_caller]
pub(crate) fn assert_response(agent: &Agent, request: &[u8], status: u16) {
    let answer = exchange(agent.addr(), request);
    let (request_text, end) = (text(request), answer.end);
    assert_eq!(
        (&request_text, answer.code(), end),
        (&request_text, Some(status), End::Fin)
    );
    answer.assert_is(status);
}

fn request_line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n\r\n").into_bytes()
}

fn routes() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
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
        assert_response(&agent, &request_line(line), status);
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
    let app = SwitchableApp::start(ReplyMode::Status(200));
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
    let app = SwitchableApp::start(ReplyMode::Status(200));
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
    app.set(ReplyMode::Status(418));
    assert_eq!(
        exchange(
            agent.addr(),
            &request_line(&format!("HEAD {LIVEZ} HTTP/1.1"))
        )
        .code(),
        Some(418)
    );
}

fn a_request_with_a_body_gets_400() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
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
    // The client must receive the response even if its body is still in flight.
    let body = "x".repeat(128 * 1024);
    exchange(port, (head("Content-Length: 131072") + &body).as_bytes()).assert_is(400);
    assert_eq!(app.requests(), 0);
}

fn a_second_request_on_the_connection_is_not_answered() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_of(&app);
    let twice = [get(LIVEZ), get(LIVEZ)].concat();
    exchange(agent.addr(), &twice).assert_is(200);
    let then_garbage = [get(LIVEZ), vec![0; 4096]].concat();
    exchange(agent.addr(), &then_garbage).assert_is(200);
    assert_eq!(app.requests(), 2, "one probe a connection");
}

pub(crate) fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn a_client_that_closes_halfway_leaves_no_descriptors() {
    let app = SwitchableApp::start(ReplyMode::Hold);
    let agent = agent_of(&app);
    let before = agent.descriptors();
    for at in [0, 1, 20, get(LIVEZ).len()] {
        let stream = send(agent.addr(), &get(LIVEZ)[..at]);
        until_read(&[stream]);
    }
    app.set(ReplyMode::Status(200));
    probe(&agent, LIVEZ).assert_is(200);
    assert_descriptors(&agent, before);
}

/// The port is closed, which only a build with TLS notices.
fn probers_that_need_tls_get_501_where_there_is_none() {
    let closed = reserve();
    let port = closed.port;
    let https = format!(r#""httpGet":{{"port":{port},"scheme":"HTTPS"}}"#);
    let grpc = format!(r#""grpc":{{"port":{port},"mode":"TLS"}}"#);
    let table = Table::new()
        .prober("/app-health/web/livez", &https)
        .prober("/app-health/web/readyz", &grpc);
    let agent = agent_with(&table, &[]);
    for path in ["livez", "readyz"].map(|name| format!("/app-health/web/{name}")) {
        probe(&agent, &path).assert_is(if TLS { 502 } else { 501 });
        let line = logged(&agent, &format!("path={path} "));
        assert!(line.contains("msg=\"prober failing\""), "{line}");
        assert_eq!(line.contains("reason=tls_not_built"), !TLS, "{line}");
        assert!(line.contains(&format!(":{port} ")), "{line}");
    }
}

fn a_redirect_to_https_gets_501_where_there_is_no_tls() {
    let app = SwitchableApp::start(ReplyMode::RedirectToHttps);
    let agent = agent_of(&app);
    probe(&agent, LIVEZ).assert_is(if TLS { 502 } else { 501 });
    let line = logged(&agent, "msg=\"prober failing\"");
    assert_eq!(line.contains("reason=tls_not_built"), !TLS, "{line}");
}

fn a_tcp_prober_distinguishes_open_from_refused() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let closed = reserve();
    let tcp = |port: u16| format!(r#""tcpSocket":{{"port":{port}}}"#);
    let table = Table::new()
        .prober("/app-health/web/livez", &tcp(app.port()))
        .prober("/app-health/web/readyz", &tcp(closed.port));
    let agent = agent_with(&table, &[]);
    probe(&agent, "/app-health/web/livez").assert_is(200);
    probe(&agent, "/app-health/web/readyz").assert_is(502);
    let line = logged(&agent, "path=/app-health/web/readyz");
    assert!(line.contains("reason=connection_refused"), "{line}");
}

fn the_apps_body_and_fields_are_not_passed_on() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_of(&app);
    for code in [200, 302, 404, 500, 599] {
        app.set(ReplyMode::Status(code));
        let reply = probe(&agent, LIVEZ);
        reply.assert_is(code);
        assert_eq!(text(reply.body()), "");
        assert_eq!(reply.field("location"), None);
    }
}

/// A restarted app that listens on a port of the range of local ports, such as 50000.
fn the_app_can_listen_on_the_local_port_of_a_probe() {
    let app = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = app.local_addr().expect("bound").port();
    // A source address of its own: other tests have no connections from it.
    let agent = agent_with(
        &Table::new().http(LIVEZ, port, 5),
        &["--source-ip", "127.0.0.9"],
    );
    thread::scope(|scope| {
        let answer = scope.spawn(|| probe(&agent, LIVEZ));
        let (mut stream, peer) = app.accept().expect("probed");
        assert_ne!(stream.read(&mut [0; 4096]).expect("a request"), 0);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .expect("sent");
        answer.join().expect("an answer").assert_is(200);
        let rest = stream.read(&mut [0; 1]).expect("the agent closes first");
        assert_eq!(rest, 0);
        // The agent's end is in FIN_WAIT2, then in TIME_WAIT. `bind` sets SO_REUSEADDR, as most servers do.
        TcpListener::bind(peer).expect("the app can listen");
        drop(stream);
        TcpListener::bind(peer).expect("the app can listen");
    });
}
