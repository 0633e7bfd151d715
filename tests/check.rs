//! `probelet check` as a process: its output, its exit code, and its use of the timeout.

mod verbose;

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::TLS;
use crate::support::certs::Identity;
use crate::support::command::{check, check_json, probelet};
use crate::support::connection_scripted_app::{
    Action, ConnectionScript, ConnectionScriptedApp, send,
};
use crate::support::faults::grpc::failing;
use crate::support::faults::{
    self, Catalogue, Expected, FINE, FaultCase, GrpcMode, Target, answer, redirect,
};
use crate::support::frames;
use crate::support::observe::until;
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use crate::support::permit::{TrialLoad, TrialPermit};
use crate::support::ports::{Reserved, reserve};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::trials::{trial, trials};

pub fn tests() -> Vec<Trial> {
    trials!["check":
        a_healthy_app_is_reported_with_times,
        a_failing_app_is_reported_with_advice,
        advice_on_grpc_uses_grpc_terms,
        the_agents_status_is_not_reported_as_the_apps,
        the_status_of_a_failed_grpc_call_is_reported,
        text_that_a_terminal_obeys_is_escaped,
        the_timeout_covers_the_whole_check,
        json_always_has_all_members,
        usage_errors_exit_2_and_send_nothing,
        sigterm_ends_the_check,
        a_closed_stdout_is_not_an_error,
    ]
    .into_iter()
    .chain(fault_trials())
    .chain(tls_trials())
    .chain(verbose::tests())
    .collect()
}

fn tls_trials() -> Vec<Trial> {
    match TLS {
        true => trials!["check":
            advice_after_a_handshake_does_not_suggest_tls,
            http2_settings_are_not_the_first_byte_of_a_response,
        ],
        false => Vec::new(),
    }
}

/// An app that returns 200 for every path.
pub(crate) fn healthy_app() -> PathScriptedApp {
    let app = PathScriptedApp::start();
    app.set_default(answer(FINE));
    app
}

pub(crate) fn url(app: &PathScriptedApp, path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", app.port())
}

/// `check` and the agent share the probe code, so their status codes agree in each fault case.
fn fault_trials() -> Vec<Trial> {
    let mut list = Catalogue::listing();
    list.add_http1(None, 0);
    let shared = Arc::new(OnceLock::new());
    let trial = |case: FaultCase| {
        let catalogue: Arc<OnceLock<(Reserved, Catalogue)>> = Arc::clone(&shared);
        trial(
            format!("check::reports_the_agents_code::{}", case.name),
            move || {
                let (_status_port, catalogue) = catalogue.get_or_init(|| {
                    let (status_port, mut catalogue) = (reserve(), Catalogue::serving());
                    catalogue.add_http1(None, status_port.port);
                    (status_port, catalogue)
                });
                let _permit = TrialPermit::acquire(TrialLoad::of_case(case.is_heavy));
                let served = catalogue
                    .cases
                    .iter()
                    .find(|served| served.name == case.name);
                assert_reports(served.expect("it is in the catalogue"));
                Ok(())
            },
        )
    };
    list.cases.into_iter().map(trial).collect()
}

#[track_caller]
fn assert_reports(case: &FaultCase) {
    let url = match case.target {
        Target::Http(port) => format!("http://127.0.0.1:{port}{}", case.app_path()),
        Target::Https(port) => format!("https://127.0.0.1:{port}{}", case.app_path()),
        Target::Tcp(port) => format!("tcp://127.0.0.1:{port}"),
        Target::Grpc(port, service, mode) => {
            let scheme = match mode {
                GrpcMode::Plaintext => "grpc",
                GrpcMode::Tls => "grpcs",
            };
            format!(
                "{scheme}://127.0.0.1:{port}/{}",
                service.unwrap_or_default()
            )
        }
        // No URL scheme selects HTTP/2.
        Target::Http2(_) => return,
    };
    let seconds = case.seconds.to_string();
    let result = check_json(&["--timeout", &seconds, &url]);
    let (code, is_cut) = match case.expected {
        // `check` has no kubelet timeout to stay within, so it subtracts no margin.
        Expected::Status(_) if case.name == "slow-inside-margin" => (200, false),
        Expected::Status(code) => (code, false),
        Expected::BrokenBody(code) => (code, true),
    };
    let agent_status = result.number("agent_status");
    assert_eq!(agent_status, Some(code.into()), "{}: {result:?}", case.name);
    let is_broken = result.text("reason") == Some("body_broken");
    assert_eq!(is_broken, is_cut, "{}: {result:?}", case.name);
    let is_healthy = (200..400).contains(&code) && !is_cut;
    assert_eq!(result.is_healthy(), is_healthy, "{}: {result:?}", case.name);
    assert_eq!(result.text("advice").is_none(), is_healthy, "{result:?}");
}

/// The line with each time replaced by `N`.
fn without_times(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for index in 1..words.len() {
        if words[index].trim_end_matches([',', ':', '\n']) == "ms" {
            let time: f64 = words[index - 1].parse().expect("a number before ms");
            assert!(time < 60_000.0, "{line}");
            words[index - 1] = "N";
        }
    }
    words.join(" ")
}

fn a_healthy_app_is_reported_with_times() {
    let app = healthy_app();
    app.on("/moved", redirect(302, "/fine"));
    let http = url(&app, "/healthz");
    let moved = url(&app, "/moved");
    let tcp = format!("tcp://{}", app.addr());
    let head = "connect N ms, first byte N ms, done N ms";
    for (url, expected) in [
        (&http, format!("healthy 200 {http} {head}\n")),
        (&moved, format!("healthy 200 {moved} {head}, 1 redirect\n")),
        (
            &tcp,
            format!("healthy connected {tcp} connect N ms, done N ms\n"),
        ),
    ] {
        let ended = check(&[url]);
        assert_eq!(without_times(&ended.stdout), expected);
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
    }
}

fn a_failing_app_is_reported_with_advice() {
    let (app, refusing) = (PathScriptedApp::start(), reserve());
    app.on(
        "/broken",
        answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
    );
    app.on("/garbage", answer("SSH-2.0-x\r\n"));
    app.on("/closed", vec![]);
    app.on("/hung", vec![Step::Hold]);
    let refused = format!("http://127.0.0.1:{}/", refusing.port);
    for (url, start, words) in [
        (
            refused,
            "failing connection_refused ",
            &["nothing listens on port", "of 127.0.0.1; ", " 502)"][..],
        ),
        (url(&app, "/no"), "failing 404 ", &["the app's own code"]),
        (url(&app, "/broken"), "failing 200 body_broken ", &["body"]),
        (
            url(&app, "/garbage"),
            "failing malformed_response ",
            &["the response is not HTTP", " 502)"],
        ),
        (
            url(&app, "/closed"),
            "failing closed_early ",
            &["without an answer", " 502)"],
        ),
        (
            url(&app, "/hung"),
            "failing deadline_exceeded ",
            &["accepted the connection", " 504)"],
        ),
    ] {
        let ended = check(&[&url, "--timeout=2"]);
        let line = ended.stdout;
        assert!(line.starts_with(&format!("{start}{url} ")), "{line}");
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(1), ""));
    }
}

/// The output of `check` for an app that runs this script on each connection.
fn output_for(scheme: &str, script: ConnectionScript) -> String {
    let app = ConnectionScriptedApp::start(None, vec![script.clone(), script]);
    check(&[&format!("{scheme}://127.0.0.1:{}", app.port())]).stdout
}

fn advice_on_grpc_uses_grpc_terms() {
    let alert = || vec![send([21, 3, 3, 0, 2, 2, 40])];
    let text = output_for("grpc", alert());
    let words = "use grpcs://, and `mode: TLS` in the prober";
    assert!(
        text.starts_with("failing tls_required grpc:") && text.contains(words),
        "{text}"
    );
    let text = output_for("grpc", vec![]);
    let words = "does port N require TLS (grpcs://)";
    assert!(text.starts_with("failing closed_early grpc:"), "{text}");
    let port = text
        .split(' ')
        .nth(2)
        .and_then(|url| url.rsplit(':').next());
    assert!(
        text.contains(&words.replace('N', port.expect("a URL"))),
        "{text}"
    );
    let text = output_for("http", alert());
    let words = "use https://, and `scheme: HTTPS` in the prober";
    assert!(
        text.starts_with("failing tls_required http:") && text.contains(words),
        "{text}"
    );
}

fn advice_after_a_handshake_does_not_suggest_tls() {
    for scheme in ["https", "grpcs"] {
        let text = output_for(scheme, vec![Action::Bytes(5)]);
        assert!(text.contains("closed in the TLS handshake; "), "{text}");
        // No common cipher, also after the retry with P-521: two established connections.
        let text = output_for(
            scheme,
            vec![Action::Bytes(5), send([21, 3, 3, 0, 2, 2, 40])],
        );
        assert!(text.starts_with("failing no_common_cipher "), "{text}");
        assert!(text.contains(" connect "), "{text}");
    }
    let plain = output_for("grpcs", vec![send(frames::greeting())]);
    let words = "use grpc://, and no `mode: TLS` in the prober";
    assert!(
        plain.starts_with("failing not_tls ") && plain.contains(words),
        "{plain}"
    );
    let plain = output_for(
        "grpcs",
        vec![Action::Bytes(5), send("HTTP/1.1 400 Bad Request\r\n\r\n")],
    );
    let words = "use grpc://, and no `mode: TLS` in the prober";
    assert!(
        plain.starts_with("failing plain_http ") && plain.contains(words),
        "{plain}"
    );
}

fn the_agents_status_is_not_reported_as_the_apps() {
    let app = SwitchableApp::start(ReplyMode::Status(502));
    let url = format!("http://{}/", app.addr());
    let result = check_json(&[&url]);
    assert_eq!(result.number("status"), Some(502.0));
    assert_eq!(result.text("reason"), Some("unhealthy_status"));
    assert!(!check(&[&url]).stdout.contains("agent"));
    app.set(ReplyMode::Close);
    let result = check_json(&[&url]);
    assert_eq!(result.number("status"), None);
    assert_eq!(result.number("agent_status"), Some(502.0));
    assert_eq!(result.text("reason"), Some("closed_early"));
    assert!(
        check(&[&url])
            .stdout
            .contains("the agent would answer kubelet with 502")
    );
}

fn the_status_of_a_failed_grpc_call_is_reported() {
    for (status, code) in [("14", "UNAVAILABLE"), ("5", "NOT_FOUND"), ("99", "99")] {
        let app = ConnectionScriptedApp::start(None, vec![failing(status); 2]);
        let url = format!("grpc://127.0.0.1:{}", app.port());
        let result = check_json(&[&url]);
        assert_eq!(result.text("reason"), Some("grpc_error"));
        assert_eq!(result.text("grpc_code"), Some(code));
        let verbose = check(&["--verbose", &url]).stderr;
        let line = format!("* gRPC status {code}\n");
        assert!(verbose.contains(&line), "{verbose}");
    }
}

fn text_that_a_terminal_obeys_is_escaped() {
    let hostile = "\u{202e}\u{9b}\u{2028}\u{1b}";
    for args in [
        &[&*format!("http://{hostile}:1/")][..],
        &[&*format!("http://127.0.0.1:1/{hostile}")],
        &["http://127.0.0.1:1/", "-H", &format!("{hostile}: x")],
        &[
            "http://127.0.0.1:1/",
            "--verbose",
            "-H",
            "A: \u{202e}\u{9b}",
        ],
        &["http://127.0.0.1:1/", &format!("--{hostile}")],
    ] {
        let ended = check(args);
        let text = [ended.stdout, ended.stderr].concat();
        assert!(
            text.is_ascii() && !text.contains('\u{1b}'),
            "{args:?}: {text:?}"
        );
    }
}

fn the_timeout_covers_the_whole_check() {
    let app = PathScriptedApp::start();
    let drip = b"HTTP/1.1 200 OK\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
        .to_vec();
    app.on("/slow", vec![Step::Drip(drip, Duration::from_millis(100))]);
    for seconds in ["0.3", "1.25"] {
        let result = check_json(&["--timeout", seconds, &url(&app, "/slow")]);
        assert_eq!(
            result.text("reason"),
            Some("deadline_exceeded"),
            "{result:?}"
        );
        let least = 1000.0 * seconds.parse::<f64>().expect("a number");
        let took = result.number("done_ms").expect("it ended");
        // A deadline that each byte extended would not pass before the app closes.
        assert!(took >= least, "{result:?}");
        assert!(result.number("first_byte_ms") < Some(took), "{result:?}");
    }
}

fn http2_settings_are_not_the_first_byte_of_a_response() {
    let hold = Action::Step(Step::Hold);
    let silent = vec![send(frames::greeting()), Action::Request, hold];
    for (script, has_response) in [(silent, false), (faults::http2::serving(), true)] {
        let server_tls = Identity::self_signed().server_tls(&["h2"], None);
        let app = ConnectionScriptedApp::start(server_tls, vec![script]);
        let url = format!("https://127.0.0.1:{}/", app.port());
        let result = check_json(&["--timeout", "3", &url]);
        assert!(result.number("tls_ms").is_some(), "{result:?}");
        let first_byte = result.number("first_byte_ms");
        assert_eq!(first_byte.is_some(), has_response, "{result:?}");
    }
}

fn json_always_has_all_members() {
    let (app, refusing) = (healthy_app(), reserve());
    let urls = [
        url(&app, "/\"quoted\"\\"),
        format!("tcp://{}", app.addr()),
        format!("tcp://127.0.0.1:{}", refusing.port),
        "http://a..b/".into(),
    ];
    let first = check_json(&[&urls[0]]);
    for name in [
        "healthy",
        "url",
        "address",
        "status",
        "reason",
        "grpc_code",
        "agent_status",
        "advice",
    ] {
        assert!(first.names().contains(&name), "{first:?}");
    }
    for url in &urls {
        let result = check_json(&[url]);
        assert_eq!(result.names(), first.names(), "{url}");
        assert_eq!(result.text("url"), Some(&**url));
        result.is_healthy();
    }
    let times = ["connect_ms", "first_byte_ms", "done_ms"].map(|name| first.number(name));
    assert!(times.is_sorted() && times[0].is_some(), "{first:?}");
}

fn usage_errors_exit_2_and_send_nothing() {
    let app = healthy_app();
    let url = url(&app, "/");
    let long = format!("User-Agent: {}", "a".repeat(20_000));
    for args in [
        &[][..],
        &["check"],
        &[&url, &url],
        &["--timeout", "0", &url],
        &["--timeout", "soon", &url],
        &["-H", "nothing", &url],
        &["--cert", "c", &url],
        &["--verbos", &url],
        &["--json=1", &url],
        &["127.0.0.1:80"],
        &["ftp://127.0.0.1/"],
        &["tcp://127.0.0.1"],
        &["-H", &long, &url],
    ] {
        let ended = check(args);
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.stdout.is_empty(), "{ended:?}");
        assert!(ended.stderr.starts_with("probelet: "), "{ended:?}");
    }
    assert_eq!(app.accepted(), 0);
}

fn sigterm_ends_the_check() {
    let app = PathScriptedApp::start();
    app.on("/", vec![Step::Hold]);
    let mut command = probelet(&["check", "--timeout=60", &url(&app, "/")]);
    let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
    assert!(app.wait_for_requests("/", 1));
    kill_process(Pid::from_child(&child), Signal::TERM).expect("our child");
    let status = until("the end", || child.try_wait().expect("our child"));
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
}

fn a_closed_stdout_is_not_an_error() {
    let app = healthy_app();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = probelet(&["check", "--verbose", &url(&app, "/")]);
    command
        .stdout(writer.try_clone().expect("a descriptor"))
        .stderr(writer);
    assert_eq!(command.status().expect("it starts").code(), Some(0));
}
