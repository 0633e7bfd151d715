//! Flags and environment variables: their precedence, and settings that are rejected before anything
//! is bound.

mod refused;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use libtest_mimic::Trial;

use crate::support::agent::{Agent, Setup};
use crate::support::faults::FINE;
use crate::support::observe::logged;
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use crate::support::ports::reserve;
use crate::support::raw::probe;
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

const LIVEZ: &str = "/app-health/web/livez";
const READYZ: &str = "/app-health/web/readyz";

/// Names and values of environment variables.
type Env<'a> = &'a [(&'a str, &'a str)];

pub fn tests() -> Vec<Trial> {
    let mut tests = refused::tests();
    tests.extend(trials!["settings":
        values_follow_a_space_or_an_equals_sign,
        every_flag_is_also_an_environment_variable,
        flags_win_over_the_environment_and_empty_is_unset,
        variables_of_a_service_are_not_settings,
        the_target_defaults_to_the_pod_ip,
        probers_come_from_flag_environment_or_file,
        a_status_address_is_the_only_address,
        a_prober_of_loopback_reaches_an_app_whose_port_the_agent_has_on_another_address,
        probes_come_from_the_source_address,
        a_source_address_of_another_machine_is_reported,
    ]);
    tests
}

fn values_follow_a_space_or_an_equals_sign() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let json = Table::new().http(LIVEZ, app.port(), 30).json();
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
        let agent = setup.start_configured(listen).expect("the agent starts");
        probe(&agent, LIVEZ).assert_is(200);
    }
}

fn every_flag_is_also_an_environment_variable() {
    let listen = reserve();
    let (forward, other) = (reserve(), reserve());
    let app = SwitchableApp::start(ReplyMode::Status(200));
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
        .env("PROBELET_ALLOW_FROM", "192.0.2.1, 2001:db8::/32")
        .env("PROBELET_TARGET_IP", "127.0.0.1")
        .env("PROBELET_SOURCE_IP", "127.0.0.6")
        .env(
            "PROBELET_APP_PROBERS",
            &Table::new().http(LIVEZ, app.port(), 30).json(),
        )
        .env("PROBELET_FORWARD", &forwards)
        .env("PROBELET_DEADLINE_MARGIN", "50")
        .env("PROBELET_SHUTDOWN_DELAY", "0")
        .env("PROBELET_LOG_LEVEL", "info")
        .env("PROBELET_LOG_FORMAT", "json")
        .env("PROBELET_MAX_PROBES", "4")
        .env("PROBELET_MAX_HOOKS", "1")
        .env("PROBELET_MAX_RESERVE", "1")
        .env("PROBELET_MAX_FORWARDS", "1");
    let agent = setup.start_configured(listen).expect("the agent starts");
    probe(&agent, LIVEZ).assert_is(200);
    assert!(logged(&agent, LIVEZ).starts_with('{'), "{:?}", agent.log());
    for port in [forward.port, other.port] {
        let connected = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        assert!(connected.is_ok(), "forwards on {port}");
    }
}

fn flags_win_over_the_environment_and_empty_is_unset() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let other = reserve();
    let right = Table::new().http(LIVEZ, app.port(), 30).json();
    let wrong = Table::new().http(LIVEZ, other.port, 30).json();
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

/// kubelet sets these in the pods of a namespace with a Service named `probelet-status`.
fn variables_of_a_service_are_not_settings() {
    for protocol in ["tcp", "udp", "sctp"] {
        let link = format!("{protocol}://10.43.12.7:53");
        let setup = Setup::new()
            .env("PROBELET_STATUS_PORT", &link)
            .env("PROBELET_STATUS_PORT_53_TCP", &link)
            .env("PROBELET_STATUS_SERVICE_PORT", "53");
        // The agent stops when it binds an address of another machine (RFC 5737): the settings are valid.
        let setup = setup.arg("--status-addr=192.0.2.1");
        let (code, text) = setup.run_to_end().expect("ends by itself");
        assert_eq!(code, Some(1), "{protocol}: {text}");
        assert!(text.contains("192.0.2.1 is not an address"), "{text}");
    }
}

fn the_target_defaults_to_the_pod_ip() {
    let refusing = reserve();
    let table = Table::new().http(LIVEZ, refusing.port, 30).json();
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
        let line = logged(&agent, "msg=\"prober failing\"");
        assert!(
            line.contains(&format!("target={target}:{} ", refusing.port)),
            "{env:?} {args:?}: {line}"
        );
    }
}

fn probers_come_from_flag_environment_or_file() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let json = Table::new().http(LIVEZ, app.port(), 30).json();
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

fn a_status_address_is_the_only_address() {
    let agent = agent_with(&Table::new(), &["--status-addr", "127.0.0.1"]);
    probe(&agent, "/healthz/ready").assert_is(200);
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], agent.addr().port()));
    assert!(
        TcpStream::connect(elsewhere).is_err(),
        "listens on {elsewhere} as well"
    );
}

/// The app redirects to its own port number, which the agent listens on at the pod's address.
fn a_prober_of_loopback_reaches_an_app_whose_port_the_agent_has_on_another_address() {
    let app = PathScriptedApp::start();
    let redirect = b"HTTP/1.1 302 Found\r\nLocation: /fine\r\nContent-Length: 0\r\n\r\n";
    app.on("/", vec![Step::Send(redirect.to_vec())]);
    app.on("/fine", vec![Step::Send(FINE.into())]);
    let port = app.port();
    // No test connects from this address, so that its ports are free.
    let other = "127.0.84.1";
    let probers = format!(
        r#"{{"{LIVEZ}":{{"httpGet":{{"port":{port}}},"target":"loopback"}},"{READYZ}":{{"tcpSocket":{{"port":{port}}},"target":"loopback"}}}}"#
    );
    let agent = Setup::new()
        .probers(&probers)
        .arg(format!("--target-ip={other}"))
        .arg(format!("--forward={other}:{port}=127.0.0.1:{port}"))
        .start()
        .expect("the agent starts");
    probe(&agent, LIVEZ).assert_is(200);
    probe(&agent, READYZ).assert_is(200);
    assert_eq!(app.requests_for("/fine").len(), 1);
    let line = logged(&agent, LIVEZ);
    assert!(line.contains(&format!("target=127.0.0.1:{port}")), "{line}");
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

fn a_source_address_of_another_machine_is_reported() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    // RFC 5737: no host has this address.
    let args = ["--source-ip", "192.0.2.1"];
    let agent = agent_with(&Table::new().http(LIVEZ, app.port(), 30), &args);
    probe(&agent, LIVEZ).assert_is(502);
    let line = logged(&agent, "msg=\"prober failing\"");
    assert!(line.contains("reason=address_not_available"), "{line}");
}
