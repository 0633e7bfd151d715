//! The flags of `probelet check`: each changes the request, the connection or the verdict as its help says.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::Duration;

use libtest_mimic::Trial;
use rustix::io::Errno;

use crate::check::{healthy_app, url};
use crate::support::TLS;
use crate::support::certs::Authority;
use crate::support::command::{check, check_json, probelet, wait_with_output};
use crate::support::connection_scripted_app::{Action, ConnectionScriptedApp, send};
use crate::support::faults::grpc::failing;
use crate::support::faults::{FINE, answer, redirect};
use crate::support::folder::Folder;
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use crate::support::ports::full_backlog;
use crate::support::trials::trials;

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["check_flags":
        a_unix_socket_is_probed,
        a_unix_socket_that_does_not_exist_is_reported,
        the_method_is_sent,
        a_response_to_head_has_no_body,
        redirects_of_post_are_not_followed,
        the_user_agent_is_sent,
        expected_status_codes_are_a_success,
        an_expected_text_is_required,
        the_source_address_is_used,
        the_connect_timeout_ends_before_the_timeout,
        the_connect_timeout_does_not_limit_the_response,
        quiet_prints_no_result,
        variables_set_flags,
        a_full_stdout_does_not_hold_the_check,
        a_full_stderr_does_not_hold_the_check,
        the_status_of_a_call_is_in_the_advice,
    ];
    if TLS {
        tests.extend(trials!["check_flags":
            a_ca_verifies_chain_and_name,
            an_id_is_expected_in_place_of_the_name,
            an_alert_is_reported_in_words,
        ]);
    }
    tests
}

/// Serves one connection of a UNIX socket. Returns the request.
fn serve_once(listener: UnixListener) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = Vec::new();
        let mut buf = [0; 1024];
        while !head.ends_with(b"\r\n\r\n") {
            let len = stream.read(&mut buf).expect("a request");
            head.extend_from_slice(&buf[..len]);
        }
        stream.write_all(FINE.as_bytes()).expect("it reads");
        String::from_utf8(head).expect("UTF-8")
    })
}

fn a_unix_socket_is_probed() {
    // Short enough for `sun_path` wherever the checkout is.
    let path = std::env::temp_dir().join(format!("probelet-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    for url in [
        format!("http+unix:{}:/healthz?a=b", path.display()),
        format!(
            "http+unix://{}/healthz?a=b",
            path.display().to_string().replace('/', "%2F")
        ),
    ] {
        let served = serve_once(UnixListener::bind(&path).expect("a socket"));
        let ended = check(&["--verbose", &url]);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(
            ended
                .stdout
                .starts_with(&format!("healthy 200 {url} connect ")),
            "{ended:?}"
        );
        assert!(
            ended.stderr.contains(&format!("* connecting to {url}\n")),
            "{ended:?}"
        );
        let head = served.join().expect("served");
        assert!(
            head.starts_with("GET /healthz?a=b HTTP/1.1\r\nHost: localhost\r\n"),
            "{head}"
        );
        std::fs::remove_file(&path).expect("our socket");
    }
}

fn a_unix_socket_that_does_not_exist_is_reported() {
    let result = check_json(&["http+unix:/nowhere/app.sock:/"]);
    assert_eq!(result.text("reason"), Some("connection_refused"));
    assert_eq!(result.text("address"), None);
    let advice = result.text("advice").expect("advice");
    assert!(
        advice.starts_with("nothing listens on the socket; "),
        "{advice}"
    );
}

#[track_caller]
fn only_head(app: &PathScriptedApp) -> String {
    let requests = app.take_requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    String::from_utf8_lossy(&requests[0].head).into_owned()
}

fn the_method_is_sent() {
    let app = healthy_app();
    for method in ["GET", "HEAD", "OPTIONS", "POST"] {
        assert!(check_json(&["--method", method, &url(&app, "/")]).is_healthy());
        let head = only_head(&app);
        assert!(
            head.starts_with(&format!("{method} / HTTP/1.1\r\n")),
            "{head}"
        );
        let has_length = head.contains("Content-Length: 0\r\n");
        assert_eq!(has_length, method == "POST", "{head}");
    }
}

fn a_response_to_head_has_no_body() {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let app = ConnectionScriptedApp::start(None, vec![vec![Action::Bytes(10), send(response)]]);
    let url = format!("http://127.0.0.1:{}/", app.port());
    assert!(check_json(&["--method=HEAD", &url]).is_healthy());
    assert_eq!(check_json(&[&url]).text("reason"), Some("body_broken"));
}

fn redirects_of_post_are_not_followed() {
    let app = healthy_app();
    app.on("/moved", redirect(302, "/fine"));
    for (method, redirects) in [("POST", 0.0), ("OPTIONS", 0.0), ("HEAD", 1.0)] {
        let result = check_json(&["--method", method, &url(&app, "/moved")]);
        assert!(result.is_healthy(), "{result:?}");
        assert_eq!(result.number("redirects"), Some(redirects), "{method}");
    }
}

fn the_user_agent_is_sent() {
    let app = healthy_app();
    assert!(check_json(&["--user-agent=me/1", &url(&app, "/")]).is_healthy());
    assert!(only_head(&app).contains("\r\nUser-Agent: me/1\r\n"));
}

fn expected_status_codes_are_a_success() {
    let app = healthy_app();
    app.on(
        "/no",
        answer("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"),
    );
    for (path, codes, status, is_healthy) in [
        ("/no", "200-299,401", 401.0, true),
        ("/no", "200-400", 401.0, false),
        ("/", "401", 200.0, false),
        ("/", "200", 200.0, true),
    ] {
        let result = check_json(&["--expect-status", codes, &url(&app, path)]);
        assert_eq!(result.number("status"), Some(status), "{result:?}");
        assert_eq!(
            result.is_healthy(),
            is_healthy,
            "{path} {codes}: {result:?}"
        );
        let reason = (!is_healthy).then_some("unexpected_status");
        assert_eq!(result.text("reason"), reason);
    }
}

fn an_expected_text_is_required() {
    let app = healthy_app();
    for (text, reason) in [
        ("fine", None),
        ("in", None),
        ("broken", Some("body_mismatch")),
    ] {
        let result = check_json(&["--expect-body", text, &url(&app, "/")]);
        assert_eq!(result.text("reason"), reason, "{text}");
        assert_eq!(result.is_healthy(), reason.is_none(), "{result:?}");
    }
}

fn the_source_address_is_used() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("tcp://{}", listener.local_addr().expect("bound"));
    for args in [
        &["--source-ip=127.0.0.6", &*url][..],
        &["--source-ip", "127.0.0.9", &url],
    ] {
        assert!(check_json(args).is_healthy());
        let (_, peer) = listener.accept().expect("a connection");
        let source = args[..args.len() - 1].join("=");
        assert!(
            source.ends_with(&format!("={}", peer.ip())),
            "{source}: {peer}"
        );
    }
}

fn the_connect_timeout_ends_before_the_timeout() {
    let hung = full_backlog();
    for scheme in ["http", "tcp", "grpc"] {
        let url = format!("{scheme}://127.0.0.1:{}", hung.port);
        let result = check_json(&["--timeout=60s", "--connect-timeout=250ms", &url]);
        assert_eq!(result.text("reason"), Some("deadline_exceeded"));
        let took = result.number("done_ms").expect("it ended");
        assert!((250.0..20_000.0).contains(&took), "{result:?}");
    }
}

fn the_connect_timeout_does_not_limit_the_response() {
    let app = ConnectionScriptedApp::start(
        None,
        vec![vec![
            Action::Bytes(10),
            Action::Step(Step::Pause(Duration::from_millis(2500))),
            send(FINE),
        ]],
    );
    let url = format!("http://127.0.0.1:{}/", app.port());
    assert!(check_json(&["--timeout=60", "--connect-timeout=2s", &url]).is_healthy());
}

fn quiet_prints_no_result() {
    let app = healthy_app();
    app.on(
        "/no",
        answer("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
    );
    for (path, code) in [("/", 0), ("/no", 1)] {
        let ended = check(&["--quiet", &url(&app, path)]);
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
    }
}

fn variables_set_flags() {
    let app = healthy_app();
    let mut command = probelet(&["check"]);
    command.env("PROBELET_CHECK_URL", url(&app, "/healthz"));
    command.env("PROBELET_CHECK_HEADER", "X-A: 1\nX-B: 2");
    let ended = crate::support::command::run_to_end(command);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let head = only_head(&app);
    assert!(
        head.starts_with("GET /healthz ") && head.contains("X-A: 1\r\nX-B: 2\r\n"),
        "{head}"
    );
}

/// A pipe without room: both ends, the one for writing blocking.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&writer, true).expect("a pipe");
    while rustix::io::write(&writer, &[0; 4096]) != Err(Errno::AGAIN) {}
    rustix::io::ioctl_fionbio(&writer, false).expect("a pipe");
    (reader, writer)
}

fn a_full_stdout_does_not_hold_the_check() {
    let app = healthy_app();
    let (_reader, writer) = full_pipe();
    let mut command = probelet(&["check", "--timeout=2s", &url(&app, "/")]);
    command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped());
    let ended = wait_with_output(command.spawn().expect("it starts"));
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
}

fn a_full_stderr_does_not_hold_the_check() {
    let app = healthy_app();
    let (_reader, writer) = full_pipe();
    let mut command = probelet(&["check", "--verbose", "--timeout=2s", &url(&app, "/")]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(writer);
    let ended = wait_with_output(command.spawn().expect("it starts"));
    assert!(ended.status.code().is_some(), "{ended:?}");
    let (_reader, writer) = full_pipe();
    let mut command = probelet(&["grpc-health-probe", "-addr=127.0.0.1:1", "-v"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(writer);
    let ended = wait_with_output(command.spawn().expect("it starts"));
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}

fn the_status_of_a_call_is_in_the_advice() {
    for (status, words) in [
        (
            "5",
            "the call failed with NOT_FOUND; is the service registered",
        ),
        (
            "16",
            "the call failed with UNAUTHENTICATED; does the app require metadata",
        ),
        ("99", "the call failed with 99; "),
    ] {
        let app = ConnectionScriptedApp::start(None, vec![failing(status)]);
        let text = check(&[&format!("grpc://127.0.0.1:{}", app.port())]).stdout;
        assert!(text.contains(words), "{text}");
    }
}

/// An app over TLS with a certificate for this name, and the file of its CA.
fn tls_app(folder: &Folder, name: &str) -> (ConnectionScriptedApp, String) {
    let authority = Authority::new(name);
    let ca = folder.file("ca.pem", &authority.pem());
    let tls = authority.sign(name).server_tls(&["http/1.1"], None);
    let app = ConnectionScriptedApp::start(tls, vec![vec![Action::Bytes(10), send(FINE)]]);
    (app, format!("--ca={}", ca.display()))
}

fn a_ca_verifies_chain_and_name() {
    let (folder, other) = (Folder::new(), Folder::new());
    let (app, ca) = tls_app(&folder, "app.example");
    let url = format!("https://127.0.0.1:{}/", app.port());
    let named = "--server-name=app.example";
    assert!(check_json(&[&url]).is_healthy());
    assert!(check_json(&[&ca, named, &url]).is_healthy());
    for args in [&[&*ca][..], &[&ca, "--server-name=other.example"]] {
        let result = check_json(&[args, &[&url]].concat());
        assert_eq!(result.text("reason"), Some("wrong_identity"), "{args:?}");
        let advice = result.text("advice").expect("advice");
        assert!(advice.contains("(--server-name)"), "{advice}");
    }
    let (by_address, ca_by_address) = tls_app(&other, "127.0.0.1");
    let url_by_address = format!("https://127.0.0.1:{}/", by_address.port());
    assert!(check_json(&[&ca_by_address, &url_by_address]).is_healthy());
    let result = check_json(&[&ca_by_address, named, &url]);
    assert_eq!(result.text("reason"), Some("unknown_issuer"));
}

fn an_id_is_expected_in_place_of_the_name() {
    let folder = Folder::new();
    let (app, ca) = tls_app(&folder, "spiffe://example.org/web");
    let url = format!("https://localhost:{}/", app.port());
    let id = "--expect-id=spiffe://example.org/web";
    assert!(check_json(&[&ca, id, &url]).is_healthy());
    let result = check_json(&[&ca, "--expect-id=spiffe://example.org/db", &url]);
    assert_eq!(result.text("reason"), Some("wrong_identity"));
    assert_eq!(
        check_json(&[&ca, &url]).text("reason"),
        Some("wrong_identity")
    );
}

fn an_alert_is_reported_in_words() {
    for (alert, name) in [
        (112, "unrecognized_name"),
        (80, "internal_error"),
        (255, "255"),
    ] {
        let script = vec![Action::Bytes(5), send([21, 3, 3, 0, 2, 2, alert])];
        let app = ConnectionScriptedApp::start(None, vec![script]);
        let url = format!("https://127.0.0.1:{}/", app.port());
        let result = check_json(&[&url]);
        assert_eq!(result.text("reason"), Some("tls_alert"));
        assert_eq!(result.text("tls_alert"), Some(name));
        let text = check(&[&url]).stdout;
        assert!(text.contains(&format!("; its alert is {name}")), "{text}");
    }
    let refusing = healthy_app();
    let url = url(&refusing, "/").replacen("http", "https", 1);
    assert_eq!(check_json(&[&url]).text("tls_alert"), None);
}
