//! `--allow-from`, with clients in another network namespace: loopback is always allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libtest_mimic::Trial;

use crate::support::WAIT_LIMIT;
use crate::support::agent::{Agent, Setup};
use crate::support::http::{self, End};
use crate::support::netns::{self, Netns};
use crate::support::observe::{log_lines, logged};
use crate::support::ports::reserve_port;
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::Table;
use crate::support::trials::trials;

const LIVEZ: &str = "/app-health/web/livez";
const STATUS_PORT: u16 = 15020;
const FORWARD_PORT: u16 = 15032;
const REJECTED: &str = "probelet_requests_rejected_total{reason=\"peer_not_allowed\"}";

/// The addresses of the pod. The node's are 10.0.0.1 and fd00::1.
const POD: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
];

pub fn tests() -> Vec<Trial> {
    trials!["allowed_peers" needs netns::NEEDS;
        without_the_flag_every_peer_is_answered,
        a_peer_outside_the_networks_is_reset_counted_and_logged,
        an_ipv4_peer_of_an_ipv6_listener_is_an_ipv4_peer,
        rejected_peers_are_logged_once_a_while_and_counted_each,
    ]
}

/// A node and a pod with an app on 127.0.0.1 and an agent.
struct Fixture {
    agent: Agent,
    _app: SwitchableApp,
    node: Netns,
    pod: Netns,
}

impl Fixture {
    fn start(args: &[&str]) -> Fixture {
        let (node, pod) = linked_namespaces().expect("root may create namespaces");
        let app = pod.enter(|| SwitchableApp::start(ReplyMode::Status(204)));
        let wrapper = pod.wrapper();
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let setup = Setup::new()
            .wrapped_by(&wrapper)
            .status(pod.enter(|| reserve_port(STATUS_PORT)))
            .probers(&Table::new().http(LIVEZ, app.port(), 30).json())
            .arg(format!("--forward={FORWARD_PORT}={}", app.addr()));
        let setup = args.iter().fold(setup, |setup, arg| setup.arg(*arg));
        let agent = setup.start().expect("the agent starts");
        Fixture {
            agent,
            _app: app,
            node,
            pod,
        }
    }

    /// The status code of a request from the node; `None` if it is reset without a response.
    fn status_from_node(&self, to: IpAddr, port: u16) -> Option<u16> {
        self.node.enter(|| request(to, port))
    }

    /// Number of connections that the agent counted as `peer_not_allowed`.
    fn rejected(&self) -> Option<f64> {
        self.pod.enter(|| self.agent.metric(REJECTED))
    }
}

fn linked_namespaces() -> Result<(Netns, Netns), String> {
    let (node, pod) = (Netns::new()?, Netns::new()?);
    let pod_path = pod.path();
    node.run(&format!(
        "ip link add pod0 type veth peer name eth0 netns {pod_path}"
    ))?;
    for (namespace, link, number) in [(&node, "pod0", 1), (&pod, "eth0", 2)] {
        namespace.run(&format!("ip address add 10.0.0.{number}/24 dev {link}"))?;
        namespace.run(&format!(
            "ip address add fd00::{number}/64 dev {link} nodad"
        ))?;
        namespace.run(&format!("ip link set {link} up"))?;
    }
    Ok((node, pod))
}

fn request(to: IpAddr, port: u16) -> Option<u16> {
    // A reset may also arrive during the connect.
    let response = http::get(SocketAddr::new(to, port), LIVEZ, WAIT_LIMIT).ok()?;
    match response.code() {
        Some(code) => Some(code),
        None => {
            assert_eq!(response.end, End::Reset, "{response:?}");
            assert_eq!(response.bytes, b"");
            None
        }
    }
}

fn without_the_flag_every_peer_is_answered() {
    let fixture = Fixture::start(&[]);
    for to in POD {
        for port in [STATUS_PORT, FORWARD_PORT] {
            assert_eq!(fixture.status_from_node(to, port), Some(204), "{to} {port}");
        }
    }
    assert_eq!(fixture.rejected(), Some(0.0));
}

fn a_peer_outside_the_networks_is_reset_counted_and_logged() {
    let fixture = Fixture::start(&["--allow-from=10.9.0.0/16", "--allow-from=fd00::77/64"]);
    let [v4, v6] = POD;
    for port in [STATUS_PORT, FORWARD_PORT] {
        assert_eq!(fixture.status_from_node(v4, port), None, "{port}");
        assert_eq!(fixture.status_from_node(v6, port), Some(204), "{port}");
        for loopback in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let code = fixture.pod.enter(|| request(loopback, port));
            assert_eq!(code, Some(204), "{loopback} {port}");
        }
        let line = fixture.agent.wait_log(|line| {
            line.contains("--allow-from") && line.contains(&format!("port={port}"))
        });
        let line = line.expect("a line of the rejected peer");
        assert!(line.starts_with("level=warn "), "{line}");
        assert!(line.contains(" client=10.0.0.1"), "{line}");
    }
    assert_eq!(fixture.rejected(), Some(2.0));
}

fn an_ipv4_peer_of_an_ipv6_listener_is_an_ipv4_peer() {
    let fixture = Fixture::start(&["--allow-from", "10.0.0.1"]);
    let [v4, v6] = POD;
    for port in [STATUS_PORT, FORWARD_PORT] {
        assert_eq!(fixture.status_from_node(v4, port), Some(204), "{port}");
        assert_eq!(fixture.status_from_node(v6, port), None, "{port}");
    }
}

fn rejected_peers_are_logged_once_a_while_and_counted_each() {
    const CONNECTIONS: usize = 200;
    let fixture = Fixture::start(&["--allow-from", "192.0.2.0/24"]);
    for _ in 0..CONNECTIONS {
        assert_eq!(fixture.status_from_node(POD[0], STATUS_PORT), None);
    }
    assert_eq!(fixture.rejected(), Some(CONNECTIONS as f64));
    logged(&fixture.agent, "--allow-from");
    let lines = log_lines(&fixture.agent, "--allow-from").len();
    assert!(lines < CONNECTIONS / 2, "{lines}");
}
