//! Members of the probers' table that Istio's does not have: the expected response, redirects, and several handlers.

use std::net::Ipv6Addr;

use libtest_mimic::Trial;

use crate::support::Need;
use crate::support::agent::{Agent, Setup};
use crate::support::connection_scripted_app::{Action, ConnectionScriptedApp, send};
use crate::support::frames::{END_STREAM, data, greeting, head, headers};
use crate::support::http::{End, Response};
use crate::support::observe::{log_lines, logged};
use crate::support::path_scripted_app::{PathScriptedApp, Script, Step};
use crate::support::ports::reserve;
use crate::support::raw::probe;
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

const LIVEZ: &str = "/app-health/web/livez";

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["expectations" needs &[Need::Ipv6];
        localhost_is_tried_in_both_families,
    ];
    tests.extend(trials!["expectations":
        an_expected_status_is_healthy_and_another_one_is_not,
        without_status_codes_those_of_kubelet_are_expected,
        an_expected_text_is_found_in_any_framing,
        a_text_beyond_what_kubelet_reads_is_not_found,
        an_expected_text_is_found_over_http2,
        a_broken_body_fails_with_502,
        a_redirect_that_is_not_followed_is_the_response,
        a_response_after_a_redirect_is_compared,
        each_of_several_handlers_has_to_succeed,
        several_handlers_of_all_kinds_run_one_after_another,
        several_handlers_have_one_deadline,
        the_own_status_port_is_refused_as_localhost,
        a_failure_of_another_handler_is_logged,
    ]);
    tests
}

fn app(script: &[(&str, Script)]) -> PathScriptedApp {
    let app = PathScriptedApp::start();
    for (path, script) in script {
        app.on(path, script.clone());
    }
    app
}

fn response(status: u16, body: &str) -> Script {
    let length = body.len();
    let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
    vec![Step::Send(text.into_bytes())]
}

fn get(app: &PathScriptedApp, path: &str) -> String {
    format!(r#""httpGet":{{"path":"{path}","port":{}}}"#, app.port())
}

fn agent(members: &str) -> Agent {
    let members = format!(r#"{members},"timeoutSeconds":10"#);
    agent_with(&Table::new().prober(LIVEZ, &members), &[])
}

/// The response to a probe of this path with this expectation.
fn expecting(app: &PathScriptedApp, path: &str, expect: &str) -> (Agent, Response) {
    let agent = agent(&format!(r#"{},"expect":{expect}"#, get(app, path)));
    let response = probe(&agent, LIVEZ);
    (agent, response)
}

#[track_caller]
fn assert_fails(answer: &(Agent, Response), reason: &str, app_status: Option<u16>) {
    let (agent, response) = answer;
    response.assert_is(502);
    let line = logged(agent, "msg=\"prober failing\"");
    assert!(line.contains(&format!(" reason={reason} ")), "{line}");
    let field = app_status.map(|status| format!(" app_status={status} status=502 "));
    let field = field.unwrap_or_else(|| " status=502 ".into());
    assert!(line.contains(&field), "{line}");
    assert_eq!(line.contains("app_status="), app_status.is_some(), "{line}");
    let metric = format!("probelet_probe_failures_total{{reason=\"{reason}\"}}");
    assert_eq!(agent.metric(&metric), Some(1.0), "{reason}");
}

fn an_expected_status_is_healthy_and_another_one_is_not() {
    const EXPECT: &str = r#"{"status":"200-299,401"}"#;
    let codes = [200, 204, 302, 401, 403, 503];
    let paths = codes.map(|code| (format!("/{code}"), response(code, "")));
    let app = app(&paths
        .each_ref()
        .map(|(path, script)| (&**path, script.clone())));
    for code in [200, 204, 401] {
        let (agent, response) = expecting(&app, &format!("/{code}"), EXPECT);
        response.assert_is(200);
        logged(&agent, "msg=\"prober healthy\"");
    }
    for code in [302, 403, 503] {
        let answer = expecting(&app, &format!("/{code}"), EXPECT);
        assert_fails(&answer, "unexpected_status", Some(code));
    }
}

fn without_status_codes_those_of_kubelet_are_expected() {
    let app = app(&[("/200", response(200, "up")), ("/500", response(500, "up"))]);
    const EXPECT: &str = r#"{"body":"up"}"#;
    expecting(&app, "/200", EXPECT).1.assert_is(200);
    let answer = expecting(&app, "/500", EXPECT);
    assert_fails(&answer, "unexpected_status", Some(500));
}

fn an_expected_text_is_found_in_any_framing() {
    let head = |fields: &str| Step::Send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into());
    let split = |parts: &[&str]| -> Vec<Step> {
        let pause = Step::Pause(std::time::Duration::from_millis(20));
        let parts = parts.iter();
        let sends = parts.map(|part| Step::Send(part.as_bytes().into()));
        sends.flat_map(|send| [pause.clone(), send]).collect()
    };
    let script = |fields: &str, parts: &[&str]| [vec![head(fields)], split(parts)].concat();
    let app = app(&[
        (
            "/length",
            script("Content-Length: 9\r\n", &["dat", "abase: ok"]),
        ),
        ("/close", script("", &["all is: o", "k"])),
        (
            "/chunks",
            script(
                "Transfer-Encoding: chunked\r\n",
                &[
                    "4\r\n--:_\r\n3;x=: ok\r\na: \r",
                    "\n1\r\no\r\n",
                    "1\r\nk\r\n0\r\n\r\n",
                ],
            ),
        ),
        (
            "/extension",
            script(
                "Transfer-Encoding: chunked\r\n",
                &["3;x=: ok\r\nabc\r\n0\r\n\r\n"],
            ),
        ),
        (
            "/trailer",
            script("Transfer-Encoding: chunked\r\n", &["0\r\na: ok\r\n\r\n"]),
        ),
        ("/head", script("X: ok\r\nContent-Length: 0\r\n", &[])),
    ]);
    for (path, expect) in [
        ("/length", r#"{"body":"base"}"#),
        ("/close", r#"{"body":": ok"}"#),
        ("/chunks", r#"{"body":": ok"}"#),
    ] {
        expecting(&app, path, expect).1.assert_is(200);
    }
    for path in ["/extension", "/trailer", "/head"] {
        let answer = expecting(&app, path, r#"{"body":": ok"}"#);
        assert_fails(&answer, "body_mismatch", None);
    }
}

fn a_text_beyond_what_kubelet_reads_is_not_found() {
    let body = |before: usize| format!("{}ok{}", "x".repeat(before), "y".repeat(20_000));
    let app = app(&[
        ("/within", response(200, &body(10 * 1024 - 2))),
        ("/beyond", response(200, &body(10 * 1024 - 1))),
    ]);
    const EXPECT: &str = r#"{"body":"ok"}"#;
    expecting(&app, "/within", EXPECT).1.assert_is(200);
    assert_fails(&expecting(&app, "/beyond", EXPECT), "body_mismatch", None);
}

fn an_expected_text_is_found_over_http2() {
    let parts = [
        headers(0, &head("401", &[])),
        data(0, b"all is o"),
        data(END_STREAM, b"k"),
    ];
    let script = vec![
        send(greeting()),
        Action::Request,
        send(parts.concat()),
        Action::Step(Step::Hold),
    ];
    for (text, status) in [("is ok", 200), ("is not ok", 502)] {
        let app = ConnectionScriptedApp::start(None, vec![script.clone()]);
        let port = app.port();
        let agent = agent(&format!(
            r#""httpGet":{{"port":{port},"protocol":"HTTP2"}},"expect":{{"status":"401","body":"{text}"}}"#
        ));
        probe(&agent, LIVEZ).assert_is(status);
    }
}

fn a_broken_body_fails_with_502() {
    let text = b"HTTP/1.1 401 X\r\nContent-Length: 9\r\n\r\nok".to_vec();
    let app = app(&[("/", vec![Step::Send(text)])]);
    let (agent, response) = expecting(&app, "/", r#"{"status":"401","body":"ok"}"#);
    assert_eq!(response.code(), Some(502));
    assert!(
        !response.is_whole() || response.end != End::Fin,
        "{response:?}"
    );
    logged(&agent, "reason=body_broken ");
}

fn redirect(to: &str) -> Script {
    let text = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    vec![Step::Send(text.into_bytes())]
}

fn a_redirect_that_is_not_followed_is_the_response() {
    let app = app(&[("/", redirect("/next")), ("/next", response(500, ""))]);
    for (more, status) in [
        ("", 302),
        (r#","expect":{"status":"302"}"#, 200),
        (r#","expect":{"status":"200"}"#, 502),
    ] {
        let agent = agent(&format!(r#"{},"redirects":"none"{more}"#, get(&app, "/")));
        probe(&agent, LIVEZ).assert_is(status);
    }
    assert_eq!(app.requests_for("/next").len(), 0);
}

fn a_response_after_a_redirect_is_compared() {
    let app = app(&[("/", redirect("/next")), ("/next", response(401, "ok"))]);
    let expect = r#"{"status":"401","body":"ok"}"#;
    expecting(&app, "/", expect).1.assert_is(200);
    let answer = expecting(&app, "/", r#"{"status":"302"}"#);
    assert_fails(&answer, "unexpected_status", Some(401));
}

fn each_of_several_handlers_has_to_succeed() {
    let app = app(&[
        ("/ok", response(204, "")),
        ("/moved", response(304, "")),
        ("/401", response(401, "")),
        ("/500", response(500, "")),
        ("/never", response(200, "")),
    ]);
    let closed = reserve();
    let handler = |path: &str| format!("{{{}}}", get(&app, path));
    let expecting = format!(r#"{{{},"expect":{{"status":"401"}}}}"#, get(&app, "/401"));
    let tcp = format!(r#"{{"tcpSocket":{{"port":{}}}}}"#, closed.port);
    for (handlers, status, log) in [
        (
            vec![handler("/ok"), expecting.clone()],
            200,
            "prober healthy",
        ),
        // The last one's code.
        (vec![expecting, handler("/ok")], 204, "prober healthy"),
        (vec![handler("/500"), handler("/never")], 500, "handler=0 "),
        (
            vec![handler("/ok"), handler("/500"), handler("/never")],
            500,
            "handler=1 ",
        ),
        (
            vec![handler("/ok"), handler("/moved"), tcp],
            502,
            "handler=2 ",
        ),
    ] {
        let agent = agent(&format!(r#""all":[{}]"#, handlers.join(",")));
        probe(&agent, LIVEZ).assert_is(status);
        let line = logged(&agent, log);
        assert_eq!(
            line.contains("handler="),
            log.contains("handler="),
            "{line}"
        );
        if status == 502 {
            let target = format!(
                "target=127.0.0.1:{} reason=connection_refused ",
                closed.port
            );
            assert!(line.contains(&target), "{line}");
        }
    }
    assert_eq!(app.requests_for("/never").len(), 0);
}

fn several_handlers_of_all_kinds_run_one_after_another() {
    let grpc = crate::support::faults::grpc::serving();
    let grpc = ConnectionScriptedApp::start(None, vec![grpc]);
    let http2 = ConnectionScriptedApp::start(None, vec![crate::support::faults::http2::serving()]);
    let app = app(&[("/", redirect("/next")), ("/next", response(200, "ok"))]);
    let agent = agent(&format!(
        r#""all":[{{{}}},{{"grpc":{{"port":{}}}}},{{"tcpSocket":{{"port":{}}}}},{{"httpGet":{{"port":{},"protocol":"HTTP2"}}}},{{{},"expect":{{"body":"ok"}}}}]"#,
        get(&app, "/"),
        grpc.port(),
        app.port(),
        http2.port(),
        get(&app, "/next"),
    ));
    for _ in 0..3 {
        probe(&agent, LIVEZ).assert_is(200);
    }
    assert_eq!(app.requests_for("/next").len(), 6);
}

fn the_own_status_port_is_refused_as_localhost() {
    let status = reserve();
    let port = status.port;
    let members = format!(r#""tcpSocket":{{"port":{port}}},"target":"localhost""#);
    let setup = Setup::new().probers(&Table::new().prober(LIVEZ, &members).json());
    let setup = setup.arg("--status-port").arg(port.to_string());
    let (code, error) = setup.run_to_end().expect("it exits");
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("probelet itself"), "{error}");
}

fn localhost_is_tried_in_both_families() {
    // No other test may listen on the same port of 127.0.0.1.
    let of_ip6 = reserve();
    let ip6 = PathScriptedApp::start_on((Ipv6Addr::LOCALHOST, of_ip6.port).into());
    let ip4 = app(&[("/a", response(200, ""))]);
    ip6.on("/a", response(200, ""));
    for (app, target, status) in [
        (&ip4, "localhost", 200),
        (&ip6, "localhost", 200),
        (&ip4, "loopback", 200),
        (&ip6, "loopback", 502),
    ] {
        let port = app.addr().port();
        let target = format!(r#""target":"{target}""#);
        let http = format!(r#""httpGet":{{"path":"/a","port":{port}}},{target}"#);
        probe(&agent(&http), LIVEZ).assert_is(status);
        let tcp = format!(r#""tcpSocket":{{"port":{port}}},{target}"#);
        probe(&agent(&tcp), LIVEZ).assert_is(status);
    }
    let closed = reserve();
    let port = closed.port;
    let none = agent(&format!(
        r#""tcpSocket":{{"port":{port}}},"target":"localhost""#
    ));
    probe(&none, LIVEZ).assert_is(502);
    logged(&none, " reason=connection_refused ");
}

fn several_handlers_have_one_deadline() {
    let app = app(&[("/ok", response(200, "")), ("/hangs", vec![Step::Hold])]);
    let members = format!(
        r#""all":[{{{}}},{{{}}}],"timeoutSeconds":3"#,
        get(&app, "/ok"),
        get(&app, "/hangs")
    );
    let agent = agent_with(&Table::new().prober(LIVEZ, &members), &[]);
    probe(&agent, LIVEZ).assert_is(504);
    let line = logged(&agent, "msg=\"prober failing\"");
    assert!(line.contains(" handler=1 "), "{line}");
    assert!(line.contains(" reason=deadline_exceeded "), "{line}");
}

fn a_failure_of_another_handler_is_logged() {
    let app = app(&[("/one", response(500, "")), ("/other", response(500, ""))]);
    let agent = agent(&format!(
        r#""all":[{{{}}},{{{}}}]"#,
        get(&app, "/one"),
        get(&app, "/other")
    ));
    for _ in 0..2 {
        probe(&agent, LIVEZ).assert_is(500);
    }
    app.on("/one", response(200, ""));
    probe(&agent, LIVEZ).assert_is(500);
    logged(&agent, "handler=1 ");
    assert_eq!(log_lines(&agent, "prober failing").len(), 2);
}
