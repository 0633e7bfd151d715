//! Flags and environment as an operator writes them: what wins, and what is refused before anything
//! is bound.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use libtest_mimic::Trial;

use crate::support::Need;
use crate::support::agent::{Agent, Setup};
use crate::support::app::{App, Reply};
use crate::support::observe::logged;
use crate::support::ports::reserve;
use crate::support::raw::probe;
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

use probelet::limits::{FORWARDS, PROBE_SLOTS, PROBERS};

const LIVEZ: &str = "/app-health/web/livez";

/// Variables and their values.
type Env<'a> = &'a [(&'a str, &'a str)];

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["settings":
        usage_errors_say_what_is_wrong_and_exit_2,
        faulty_probers_are_named_and_exit_2,
        values_follow_a_space_or_an_equals_sign,
        every_flag_is_also_an_environment_variable,
        flags_win_over_the_environment_and_empty_is_unset,
        the_target_is_the_pod_ip_unless_told_otherwise,
        probers_come_from_flag_environment_or_file,
        a_status_address_keeps_to_that_address,
        probes_come_from_the_source_address,
        a_source_address_of_another_machine_is_named,
    ];
    tests.extend(trials!["settings" needs &[Need::Peer("strace")]; a_usage_error_opens_no_socket]);
    tests
}

/// Runs with these arguments, which must be refused, and returns what was said.
#[track_caller]
fn refused(setup: Setup, args: &[&str]) -> String {
    let setup = args.iter().fold(setup, |setup, arg| setup.arg(*arg));
    let (code, text) = setup.run_to_end().expect("ends by itself");
    assert_eq!(code, Some(2), "{args:?}: {text}");
    assert!(!text.contains("msg=listening"), "{args:?}: {text}");
    text
}

fn usage_errors_say_what_is_wrong_and_exit_2() {
    let many = "--forward=1=127.0.0.1:2";
    let forwards: Vec<_> = (0..=FORWARDS)
        .map(|n| format!("--forward={}=127.0.0.1:2", 16000 + n))
        .collect();
    let forwards: Vec<_> = forwards.iter().map(String::as_str).collect();
    let over = format!("--max-probes={}", PROBE_SLOTS + 1);
    let cases: &[(&[&str], &str)] = &[
        (&["--status-prot", "1"], "--status-prot"),
        (&["--status-port"], "--status-port"),
        (&["--status-port", "0"], "status-port"),
        (&["--status-port", "65536"], "65536"),
        (&["--status-port=http"], "http"),
        (&["--status-port="], "status-port"),
        (&["--status-addr", "localhost"], "localhost"),
        (&["--target-ip", "10.0.0"], "10.0.0"),
        (&["--source-ip", "::g"], "::g"),
        (&["--status-addr", "224.0.0.1"], "224.0.0.1"),
        (&["--source-ip", "224.0.0.1"], "224.0.0.1"),
        (&["--target-ip", "255.255.255.255"], "255.255.255.255"),
        (&["--log-level", "loud"], "loud"),
        (&["--log-format", "xml"], "xml"),
        (&["--shutdown-delay", "-1"], "-1"),
        (&["--deadline-margin", "soon"], "soon"),
        (&[&over], "max-probes"),
        (&["--max-probes", "0"], "max-probes"),
        (&["--max-hooks", "1000"], "max-hooks"),
        (&["--max-forwards", "1000"], "max-forwards"),
        (
            &[
                "--forward=15032=10.0.0.1:1",
                "--forward=15033=10.0.0.1:2",
                "--max-forwards=1",
            ],
            "write 2 or more",
        ),
        (&["--forward", "15032"], "15032"),
        (&["--forward", "15032=8002"], "8002"),
        (&["--forward", "0=127.0.0.1:8002"], "0"),
        (&["--forward", "15032=127.0.0.1:0"], "127.0.0.1:0"),
        (&["--forward", "15032=example.org:80"], "example.org"),
        (
            &["--status-port=15032", "--forward", "15032=127.0.0.1:8002"],
            "15032",
        ),
        (&["--status-port=15032", many, many], "1"),
        (&["--forward", "15032=127.0.0.1:15032"], "15032"),
        (&forwards, "forward"),
        (&["--app-probers", "@/does/not/exist"], "/does/not/exist"),
        (&["stray"], "stray"),
    ];
    for (args, word) in cases {
        let text = refused(Setup::new(), args);
        assert!(text.contains(word), "{args:?} names {word:?}: {text}");
        assert!(
            text.lines().count() <= 6,
            "{args:?}: as short as an error can be: {text}"
        );
    }
    let text = refused(Setup::new().env("PROBELET_STATUS_PORT", "x"), &[]);
    assert!(text.contains("PROBELET_STATUS_PORT"), "{text}");
    // The pod's own address counts as such, even where it is not what is probed.
    let loops = ["--target-ip=127.0.0.1", "--forward=25024=10.0.0.5:25024"];
    let text = refused(Setup::new().env("POD_IP", "10.0.0.5"), &loops);
    assert!(text.contains("10.0.0.5:25024"), "{text}");
}

fn faulty_probers_are_named_and_exit_2() {
    let http = r#""httpGet":{"port":8001}"#;
    let table = |path: &str, members: &str| Table::new().prober(path, members).json();
    let many = (0..=PROBERS).fold(Table::new(), |t, n| {
        t.http(&format!("/app-health/c{n}/livez"), 80, 1)
    });
    let cases = [
        ("{", ""),
        ("[]", ""),
        ("", "app-probers"),
        (&table("/app-health/web/live", http), "/app-health/web/live"),
        (&table("/app-health//livez", http), "/app-health//livez"),
        (
            &table("/app-health/a/b/livez", http),
            "/app-health/a/b/livez",
        ),
        (
            &table("/app-health/web/livez?x", http),
            "/app-health/web/livez?x",
        ),
        (
            &table("/app-health/a b/livez", http),
            "/app-health/a b/livez",
        ),
        (&table(LIVEZ, ""), LIVEZ),
        (
            &table(LIVEZ, r#""httpGet":{"port":80},"tcpSocket":{"port":80}"#),
            LIVEZ,
        ),
        (&table(LIVEZ, r#""httpGet":{"port":"http"}"#), "port"),
        (&table(LIVEZ, r#""httpGet":{"port":0}"#), "port"),
        (&table(LIVEZ, r#""httpGet":{"port":65536}"#), "port"),
        (&table(LIVEZ, r#""httpGet":{"port":80.5}"#), "port"),
        (&table(LIVEZ, r#""httpGet":{"path":"/x"}"#), "port"),
        (
            &table(LIVEZ, r#""httpGet":{"port":80,"scheme":"FTP"}"#),
            "scheme",
        ),
        (&table(LIVEZ, r#""httpGet":{"port":80,"path":7}"#), "path"),
        (
            &table(LIVEZ, r#""tcpSocket":{"port":80},"timeoutSeconds":"1""#),
            "timeoutSeconds",
        ),
        (&table(LIVEZ, r#""tcpSocket":{"port":15020}"#), "15020"),
        (
            &Table::new().prober(LIVEZ, http).prober(LIVEZ, http).json(),
            LIVEZ,
        ),
        (&many.json(), &PROBERS.to_string()),
    ];
    // An empty table as a flag is not "unset", it is no JSON.
    for (json, word) in cases.into_iter().filter(|(json, _)| !json.is_empty()) {
        for setup in [
            Setup::new().probers(json),
            Setup::new().arg("--app-probers").arg(json),
        ] {
            let text = refused(setup, &[]);
            assert!(text.contains(word), "{json} names {word:?}: {text}");
        }
    }
}

fn values_follow_a_space_or_an_equals_sign() {
    let app = App::start(Reply::Status(200));
    let json = Table::new().http(LIVEZ, app.port(), 1).json();
    for between in [" ", "="] {
        let listen = reserve();
        let port = listen.port.to_string();
        let settings = [("--status-port", &port), ("--app-probers", &json)];
        let setup = settings
            .iter()
            .fold(Setup::new(), |setup, (name, value)| match between {
                "=" => setup.arg(format!("{name}={value}")),
                _ => setup.arg(*name).arg(*value),
            });
        let agent = setup.start_as_told(listen).expect("the agent starts");
        probe(&agent, LIVEZ).assert_is(200);
    }
}

fn every_flag_is_also_an_environment_variable() {
    let listen = reserve();
    let (forward, other) = (reserve(), reserve());
    let app = App::start(Reply::Status(200));
    let forwards = format!(
        "{}={},127.0.0.1:{}={}",
        forward.port,
        app.addr(),
        other.port,
        app.addr()
    );
    let setup = Setup::new()
        .env("PROBELET_STATUS_PORT", &listen.port.to_string())
        .env("PROBELET_STATUS_ADDR", "127.0.0.1")
        .env("PROBELET_TARGET_IP", "127.0.0.1")
        .env("PROBELET_SOURCE_IP", "127.0.0.6")
        .env(
            "PROBELET_APP_PROBERS",
            &Table::new().http(LIVEZ, app.port(), 1).json(),
        )
        .env("PROBELET_FORWARD", &forwards)
        .env("PROBELET_DEADLINE_MARGIN", "50")
        .env("PROBELET_SHUTDOWN_DELAY", "0")
        .env("PROBELET_LOG_LEVEL", "info")
        .env("PROBELET_LOG_FORMAT", "json")
        .env("PROBELET_MAX_PROBES", "4")
        .env("PROBELET_MAX_HOOKS", "1")
        .env("PROBELET_MAX_RESERVE", "1")
        .env("PROBELET_MAX_FORWARDS", "2");
    let agent = setup.start_as_told(listen).expect("the agent starts");
    probe(&agent, LIVEZ).assert_is(200);
    assert!(logged(&agent, LIVEZ).starts_with('{'), "{:?}", agent.log());
    for port in [forward.port, other.port] {
        let connected = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        assert!(connected.is_ok(), "forwards on {port}");
    }
}

fn flags_win_over_the_environment_and_empty_is_unset() {
    let app = App::start(Reply::Status(200));
    let other = reserve();
    let right = Table::new().http(LIVEZ, app.port(), 1).json();
    let wrong = Table::new().http(LIVEZ, other.port, 1).json();
    let cases: [(Env, &[&str]); 4] = [
        (
            &[("ISTIO_KUBE_APP_PROBERS", &wrong)],
            &["--app-probers", &right],
        ),
        (
            &[("PROBELET_APP_PROBERS", &wrong)],
            &["--app-probers", &right],
        ),
        (
            &[
                ("PROBELET_APP_PROBERS", &right),
                ("ISTIO_KUBE_APP_PROBERS", &wrong),
            ],
            &[],
        ),
        (
            &[
                ("PROBELET_APP_PROBERS", ""),
                ("ISTIO_KUBE_APP_PROBERS", &right),
                ("PROBELET_LOG_LEVEL", ""),
                ("POD_IP", ""),
            ],
            &[],
        ),
    ];
    for (env, args) in cases {
        let setup = env
            .iter()
            .fold(Setup::new(), |setup, (name, value)| setup.env(name, value));
        let setup = args.iter().fold(setup, |setup, arg| setup.arg(*arg));
        probe(&setup.start().expect("the agent starts"), LIVEZ).assert_is(200);
    }
}

fn the_target_is_the_pod_ip_unless_told_otherwise() {
    let refusing = reserve();
    let table = Table::new().http(LIVEZ, refusing.port, 1).json();
    let cases: [(Env, &[&str], &str); 6] = [
        (&[], &[], "127.0.0.1"),
        (&[("INSTANCE_IP", "127.0.0.2")], &[], "127.0.0.2"),
        (
            &[("INSTANCE_IP", "127.0.0.2"), ("POD_IP", "127.0.0.3")],
            &[],
            "127.0.0.3",
        ),
        (
            &[("INSTANCE_IP", "127.0.0.2"), ("POD_IP", "")],
            &[],
            "127.0.0.2",
        ),
        (
            &[("POD_IP", "127.0.0.3"), ("PROBELET_TARGET_IP", "127.0.0.4")],
            &[],
            "127.0.0.4",
        ),
        (
            &[("PROBELET_TARGET_IP", "127.0.0.4")],
            &["--target-ip=127.0.0.5"],
            "127.0.0.5",
        ),
    ];
    for (env, args, target) in cases {
        let setup = env
            .iter()
            .fold(Setup::new(), |setup, (name, value)| setup.env(name, value));
        let setup = args
            .iter()
            .fold(setup.probers(&table), |setup, arg| setup.arg(*arg));
        let agent = setup.start().expect("the agent starts");
        probe(&agent, LIVEZ).assert_is(502);
        let line = logged(&agent, "msg=failing");
        assert!(
            line.contains(&format!("target={target}:{} ", refusing.port)),
            "{env:?} {args:?}: {line}"
        );
    }
}

fn probers_come_from_flag_environment_or_file() {
    let app = App::start(Reply::Status(200));
    let json = Table::new().http(LIVEZ, app.port(), 1).json();
    let file = std::env::temp_dir().join(format!("probelet-probers-{}.json", std::process::id()));
    std::fs::write(&file, &json).expect("a folder for temporary files");
    let at = format!("@{}", file.display());
    let setups = [
        Setup::new().arg("--app-probers").arg(&json),
        Setup::new().arg("--app-probers").arg(&at),
        Setup::new().arg(format!("--app-probers={at}")),
        Setup::new().env("PROBELET_APP_PROBERS", &at),
        Setup::new().env("ISTIO_KUBE_APP_PROBERS", &json),
        Setup::new().env("ISTIO_KUBE_APP_PROBERS", &at),
    ];
    for setup in setups {
        let agent: Agent = setup.start().expect("the agent starts");
        probe(&agent, LIVEZ).assert_is(200);
    }
    std::fs::remove_file(&file).expect("it was written");
}

fn a_status_address_keeps_to_that_address() {
    let agent = agent_with(&Table::new(), &["--status-addr", "127.0.0.1"]);
    probe(&agent, "/healthz/ready").assert_is(200);
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], agent.addr().port()));
    assert!(
        TcpStream::connect(elsewhere).is_err(),
        "listens on {elsewhere} as well"
    );
}

fn probes_come_from_the_source_address() {
    let app = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = app.local_addr().expect("bound").port();
    for (args, source) in [
        (&["--source-ip", "127.0.0.6"][..], [127, 0, 0, 6]),
        (&[], [127, 0, 0, 1]),
    ] {
        let agent = agent_with(
            &Table::new().prober(LIVEZ, &format!(r#""tcpSocket":{{"port":{port}}}"#)),
            args,
        );
        probe(&agent, LIVEZ).assert_is(200);
        let (_, from) = app.accept().expect("it was dialled");
        assert_eq!(from.ip(), Ipv4Addr::from(source), "{args:?}");
    }
}

fn a_source_address_of_another_machine_is_named() {
    let app = App::start(Reply::Status(200));
    // RFC 5737: nobody's address.
    let args = ["--source-ip", "192.0.2.1"];
    let agent = agent_with(&Table::new().http(LIVEZ, app.port(), 1), &args);
    probe(&agent, LIVEZ).assert_is(502);
    let line = logged(&agent, "msg=failing");
    assert!(line.contains("reason=address_not_available"), "{line}");
}

fn a_usage_error_opens_no_socket() {
    let trace = std::env::temp_dir().join(format!("probelet-trace-{}", std::process::id()));
    let strace = [
        "strace",
        "-f",
        "-q",
        "-o",
        trace.to_str().expect("UTF-8"),
        "-e",
        "trace=network",
    ];
    // The last setting of all is the faulty one; everything before it is fit to be bound.
    let listen = reserve();
    let port = format!("--status-port={}", listen.port);
    let faulty = Table::new()
        .prober(LIVEZ, r#""tcpSocket":{"port":0}"#)
        .json();
    refused(Setup::new().before(&strace).probers(&faulty), &[&port]);
    let calls = std::fs::read_to_string(&trace).expect("strace wrote it");
    std::fs::remove_file(&trace).expect("it was written");
    for call in ["socket(", "bind(", "listen("] {
        assert!(!calls.contains(call), "{calls}");
    }
}
