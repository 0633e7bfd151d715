//! The process from start to exit: listening, signals, PID 1.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::agent::{Agent, Setup};
use crate::support::http::{self, End};
use crate::support::netns::{self, Netns};
use crate::support::observe::{LISTENING, child_of, logged, sockets, sockets_of, until};
use crate::support::ports::reserve;
use crate::support::raw::{connect, connect_until_refused, get, probe, read_to_end, send, state};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::{Table, agent_with, start};
use crate::support::trials::trials;
use crate::support::{Need, WAIT_LIMIT, within};

use probelet::limits::DRAIN_TIMEOUT;

const LIVEZ: &str = "/app-health/web/livez";
const PRESTOP: &str = "/app-lifecycle/web/prestopz";

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["lifecycle":
        sigterm_waits_for_probes_in_flight,
        sigint_waits_for_probes_in_flight,
        a_probe_that_does_not_end_is_reset_after_the_drain_time,
        a_forward_that_does_not_end_is_reset_after_the_drain_time,
        it_keeps_serving_for_the_shutdown_delay,
        an_app_on_one_address_of_localhost_is_waited_for,
        it_stops_before_the_shutdown_delay_when_the_app_has_stopped,
        a_connection_through_it_prolongs_the_shutdown_delay,
        idle_connections_to_the_status_port_do_not_prolong_the_shutdown_delay,
        a_second_signal_ends_it_at_once,
        a_port_in_use_is_named_and_nothing_is_served,
        an_address_of_another_host_is_reported_with_its_flag,
        an_idle_agent_holds_only_its_listeners,
        it_cannot_gain_privileges,
    ];
    tests.extend(trials!["lifecycle" needs &[Need::Root, Need::Peer("unshare")]; it_runs_as_pid_1]);
    tests.extend(trials!["lifecycle" needs netns::NEEDS;
        without_ip6_an_app_on_localhost_is_not_waited_for,
    ]);
    tests.extend(trials!["lifecycle" needs &[Need::Peer("strace")];
        without_ipv6_in_the_kernel_it_listens_on_ipv4, it_opens_only_the_connections_of_probes
    ]);
    tests
}

fn fixture(app: &SwitchableApp, args: &[&str]) -> Agent {
    agent_with(
        &Table::new()
            .http(LIVEZ, app.port(), 60)
            .http(PRESTOP, app.port(), 60),
        args,
    )
}

#[track_caller]
fn assert_success(status: Option<ExitStatus>) {
    assert_eq!(status.expect("ends by itself").code(), Some(0));
}

fn refuses(agent: &Agent) -> bool {
    std::net::TcpStream::connect(agent.addr()).is_err()
}

fn sigterm_waits_for_probes_in_flight() {
    assert_waits_for_probes_in_flight(Signal::TERM);
}

fn sigint_waits_for_probes_in_flight() {
    assert_waits_for_probes_in_flight(Signal::INT);
}

fn assert_waits_for_probes_in_flight(signal: Signal) {
    let app = SwitchableApp::start(ReplyMode::Hold);
    let mut agent = fixture(&app, &[]);
    let mut in_flight = [LIVEZ, PRESTOP].map(|path| send(agent.addr(), &get(path)));
    app.wait_for_requests(2);
    agent.signal(signal);
    until("no new connections", || refuses(&agent).then_some(()));
    app.set(ReplyMode::Status(200));
    for stream in &mut in_flight {
        read_to_end(stream).assert_is(200);
    }
    assert_success(agent.wait_exit());
}

fn a_probe_that_does_not_end_is_reset_after_the_drain_time() {
    let app = SwitchableApp::start(ReplyMode::Hold);
    let mut agent = fixture(&app, &[]);
    let mut in_flight = [LIVEZ, PRESTOP].map(|path| send(agent.addr(), &get(path)));
    app.wait_for_requests(2);
    assert_ends_without(&mut agent, 2);
    for stream in &mut in_flight {
        assert_eq!(read_to_end(stream).end, End::Reset, "cut off is no end");
    }
}

/// Asserts that the agent exits on SIGTERM without the end of this number of connections, whose timeouts are longer than
/// the wait.
#[track_caller]
fn assert_ends_without(agent: &mut Agent, connections: usize) {
    agent.signal(Signal::TERM);
    assert_success(agent.wait_exit());
    logged(
        agent,
        &format!("msg=stopped open_connections={connections}"),
    );
}

fn a_forward_that_does_not_end_is_reset_after_the_drain_time() {
    let app = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let listen = reserve();
    let forward = format!(
        "--forward={}={}",
        listen.port,
        app.local_addr().expect("bound")
    );
    let mut agent = agent_with(&Table::new(), &[&forward]);
    let client = connect((Ipv4Addr::LOCALHOST, listen.port).into());
    let (end, _) = app.accept().expect("dialled");
    assert_ends_without(&mut agent, 1);
    assert_eq!(
        (state(&client), state(&end)),
        (End::Reset, End::Reset),
        "cut off is no end"
    );
}

fn it_keeps_serving_for_the_shutdown_delay() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    serves_for_its_delay(fixture(&app, &["--shutdown-delay", "2"]));
}

/// ::1 refuses connections, which is not the end of the app.
fn an_app_on_one_address_of_localhost_is_waited_for() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    serves_for_its_delay(agent_with(&on_localhost(&app), &["--shutdown-delay", "2"]));
}

/// A table that probes this app as localhost.
fn on_localhost(app: &SwitchableApp) -> Table {
    let port = app.addr().port();
    let members = format!(r#""httpGet":{{"port":{port}}},"target":"localhost""#);
    Table::new().prober(LIVEZ, &members)
}

fn serves_for_its_delay(mut agent: Agent) {
    let delay = Duration::from_secs(2);
    let started = Instant::now();
    agent.signal(Signal::TERM);
    let mut served = 0;
    loop {
        let response = http::get(agent.addr(), LIVEZ, WAIT_LIMIT);
        // The agent's delay began later, so a probe that has ended before this one is over must be served.
        if started.elapsed() >= delay {
            break;
        }
        response.expect("the port accepts").assert_is(200);
        served += 1;
    }
    assert!(served > 0);
    logged(&agent, "msg=stopping delay_seconds=2");
    assert_success(agent.wait_exit());
    let took = started.elapsed();
    assert!(took >= delay, "ended after {took:?}, due after {delay:?}");
}

fn it_stops_before_the_shutdown_delay_when_the_app_has_stopped() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let mut agent = fixture(&app, &["--shutdown-delay=3600"]);
    agent.signal(Signal::TERM);
    logged(&agent, "msg=stopping");
    probe(&agent, LIVEZ).assert_is(200);
    drop(app);
    assert_success(agent.wait_exit());
}

/// A pod without IPv6 has no ::1 on which an app could listen.
fn without_ip6_an_app_on_localhost_is_not_waited_for() {
    let namespace = Netns::new().expect("root may create a namespace");
    let remove = "ip -6 address delete ::1/128 dev lo";
    namespace.run(remove).expect("root may remove an address");
    namespace.enter(|| {
        let app = SwitchableApp::start(ReplyMode::Status(200));
        let mut agent = agent_with(&on_localhost(&app), &["--shutdown-delay=3600"]);
        agent.signal(Signal::TERM);
        logged(&agent, "msg=stopping");
        probe(&agent, LIVEZ).assert_is(200);
        drop(app);
        assert_success(agent.wait_exit());
    });
}

/// An app that drains has closed its port, and serves the connections that it has.
fn a_connection_through_it_prolongs_the_shutdown_delay() {
    let app = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let listen = reserve();
    let forward = format!(
        "--forward={}=127.0.0.1:{}",
        listen.port,
        app.local_addr().expect("bound").port()
    );
    let mut agent = agent_with(&Table::new(), &[&forward, "--shutdown-delay=3600"]);
    let mut client = connect((Ipv4Addr::LOCALHOST, listen.port).into());
    let (mut end, _) = app.accept().expect("dialled");
    drop(app);
    agent.signal(Signal::TERM);
    logged(&agent, "msg=stopping");
    // Longer than the agent drains without a delay.
    let quiet = DRAIN_TIMEOUT + Duration::from_secs(3);
    client.set_read_timeout(Some(quiet)).expect("set");
    let mut byte = [0];
    let error = client.read_exact(&mut byte).expect_err("nothing is sent");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    end.write_all(b"y").expect("forwarded");
    client.read_exact(&mut byte).expect("forwarded");
    drop((client, end));
    assert_success(agent.wait_exit());
}

fn idle_connections_to_the_status_port_do_not_prolong_the_shutdown_delay() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let mut agent = fixture(&app, &["--shutdown-delay=3600"]);
    let idle = connect_until_refused(agent.addr());
    agent.signal(Signal::TERM);
    logged(&agent, "msg=stopping");
    drop(app);
    assert_success(agent.wait_exit());
    idle.join().expect("no panic");
}

fn a_second_signal_ends_it_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let app = SwitchableApp::start(ReplyMode::Hold);
        let mut agent = fixture(&app, &["--shutdown-delay=60"]);
        let _in_flight = send(agent.addr(), &get(LIVEZ));
        app.wait_for_requests(1);
        agent.signal(Signal::TERM);
        // Two signals at once may be merged, so wait until the first is logged.
        logged(&agent, "msg=stopping");
        agent.signal(second);
        assert!(
            agent.wait_exit().is_some(),
            "a second {second:?} is not heeded"
        );
        let drained = agent.wait_log(|line| line.contains("msg=stopped"));
        assert_eq!(drained, None, "it is not to drain");
    }
}

fn a_port_in_use_is_named_and_nothing_is_served() {
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let free = reserve();
    let in_use = [
        ("--status-port: ", vec![format!("--status-port={port}")]),
        (
            "--forward: ",
            vec![
                format!("--status-port={}", free.port),
                format!("--forward={port}=127.0.0.1:1"),
            ],
        ),
        (
            "--status-port: ",
            vec![
                format!("--status-port={port}"),
                "--status-addr=127.0.0.1".into(),
            ],
        ),
    ];
    for (flag, args) in in_use {
        let setup = args.iter().fold(Setup::new(), |setup, arg| setup.arg(arg));
        let (code, log) = setup.run_to_end().expect("ends by itself");
        assert_eq!(code, Some(1), "{log}");
        assert!(
            log.contains(&format!(":{port}")) && log.contains("in use"),
            "{log}"
        );
        assert!(log.contains(flag), "{flag} is to be named: {log}");
        assert!(
            !log.contains("msg=listening"),
            "logs that it listens and does not: {log}"
        );
    }
}

fn an_address_of_another_host_is_reported_with_its_flag() {
    // TEST-NET-1 (RFC 5737): no host has this address.
    for (flag, arg) in [
        ("--status-addr: ", "--status-addr=192.0.2.1"),
        ("--forward: ", "--forward=192.0.2.1:15999=127.0.0.1:1"),
    ] {
        let status = reserve();
        let setup = Setup::new().arg(format!("--status-port={}", status.port));
        let (code, log) = setup.arg(arg).run_to_end().expect("ends by itself");
        assert_eq!(code, Some(1), "{log}");
        let is_named =
            log.contains(flag) && log.contains("192.0.2.1 is not an address of this host");
        assert!(is_named, "{log}");
    }
}

fn it_runs_as_pid_1() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let alone = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let table = Table::new().http(LIVEZ, app.port(), 5);
    let mut agent = start(Setup::new().wrapped_by(&alone), &table, &[]);
    let inside = child_of(agent.pid());
    let status = std::fs::read_to_string(format!("/proc/{inside}/status")).expect("alive");
    let pids = status
        .lines()
        .find_map(|l| l.strip_prefix("NSpid:"))
        .expect("a line");
    assert_eq!(
        pids.split_whitespace().last(),
        Some("1"),
        "its own view of its id"
    );
    probe(&agent, LIVEZ).assert_is(200);
    probe(&agent, "/metrics").assert_ended(200);
    // The kernel drops signals for which PID 1 has no handler.
    let pid = Pid::from_raw(inside as i32).expect("not 0");
    kill_process(pid, Signal::TERM).expect("alive");
    assert_success(agent.wait_exit());
}

fn without_ipv6_in_the_kernel_it_listens_on_ipv4() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    // strace injects the error of socket(AF_INET6) on such a kernel. `-D` makes the agent a child of the test.
    let inject = "inject=socket:error=EAFNOSUPPORT:when=1";
    let without = [
        "strace",
        "-D",
        "-q",
        "-o",
        "/dev/null",
        "-e",
        "trace=socket",
        "-e",
        inject,
    ];
    let table = Table::new().http(LIVEZ, app.port(), 5);
    let agent = start(Setup::new().wrapped_by(&without), &table, &[]);
    probe(&agent, LIVEZ).assert_is(200);
    let any = (Ipv4Addr::UNSPECIFIED, agent.addr().port()).into();
    let listening = || {
        sockets()
            .iter()
            .any(|s| s.state == LISTENING && s.local == any)
    };
    assert!(within(WAIT_LIMIT, listening), "listens on {any}");
    let v6 = std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let port = format!(":{:04X} ", agent.addr().port());
    // The reserved socket of the test is bound but does not listen.
    assert!(
        !v6.lines().any(|l| l.contains(&port) && l.contains(" 0A ")),
        "{v6}"
    );
}

/// An exec of a set-user-ID program would not, either (`prctl`, `PR_SET_NO_NEW_PRIVS`).
fn it_cannot_gain_privileges() {
    let agent = agent_with(&Table::new(), &[]);
    assert_eq!(agent.status_figure("NoNewPrivs"), Some(1));
}

fn an_idle_agent_holds_only_its_listeners() {
    let listen = reserve();
    let forward = format!("--forward={}=127.0.0.1:9", listen.port);
    let agent = agent_with(&Table::new().http(LIVEZ, 9, 1), &[&forward]);
    let mut ports: Vec<_> = sockets_of(agent.pid())
        .iter()
        .map(|s| {
            assert_eq!(s.state, LISTENING, "{s:?}");
            s.local.port()
        })
        .collect();
    let mut expected = [agent.addr().port(), listen.port];
    ports.sort();
    expected.sort();
    assert_eq!(ports, expected);
}

fn it_opens_only_the_connections_of_probes() {
    let trace = std::env::temp_dir().join(format!("probelet-connects-{}", std::process::id()));
    let file = trace.to_str().expect("UTF-8");
    let strace = [
        "strace",
        "-D",
        "-f",
        "-q",
        "-o",
        file,
        "-e",
        "trace=connect,sendto,sendmsg",
    ];
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let table = Table::new().http(LIVEZ, app.port(), 5);
    let mut agent = start(Setup::new().wrapped_by(&strace), &table, &[]);
    for path in ["/healthz/ready", "/metrics", "/no", LIVEZ] {
        probe(&agent, path);
    }
    agent.signal(Signal::TERM);
    assert!(agent.wait_exit().is_some_and(|status| status.success()));
    let connects = || {
        let calls = std::fs::read_to_string(&trace).ok()?;
        calls
            .contains("+++ exited")
            .then(|| calls.matches("connect(").count())
    };
    // Only the probe: no DNS, NTP or cloud metadata server.
    assert_eq!(until("strace wrote its last line", connects), 1);
    std::fs::remove_file(&trace).expect("it was written");
}
