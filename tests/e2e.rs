//! Istio's health-check guide end to end: a pod in its own network namespace with Istio's iptables rules and a real Envoy
//! that requires client certificates, probed from the node by kubelet's code.

mod mesh;
mod pod;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use libtest_mimic::Trial;

use crate::support::kubelet::{Kubelet, ProbeRequest, Verdict};
use crate::support::{Need, Outcome, needs};

use mesh::Peer;
use pod::{POD, Pod};

const NEEDS: [Need; 8] = [
    Need::Root,
    Need::Go,
    Need::File("PROBELET_ENVOY"),
    Need::Peer("ip"),
    Need::Peer("iptables"),
    Need::Peer("unshare"),
    Need::Peer("nsenter"),
    Need::Peer("setpriv"),
];

const PROBERS: &str = r#"{
    "/app-health/web/livez":    {"httpGet": {"path": "/foo", "port": 8001}},
    "/app-health/web/readyz":   {"httpGet": {"path": "/broken", "port": 8001}},
    "/app-health/web/startupz": {"tcpSocket": {"port": 8001}}
}"#;
const LIVEZ: &str = "/app-health/web/livez";
const READYZ: &str = "/app-health/web/readyz";
const STARTUPZ: &str = "/app-health/web/startupz";

/// The tests.
pub fn tests() -> Vec<Trial> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    vec![
        needs(&NEEDS, "e2e::app_on_the_pods_address", || {
            guide(POD, "15032=10.0.0.2:8002")
        }),
        needs(&NEEDS, "e2e::app_on_all_addresses", move || {
            guide(any, "15032=127.0.0.1:8002")
        }),
        needs(
            &NEEDS,
            "e2e::without_a_source_address_the_probe_goes_through_envoy",
            without_source,
        ),
    ]
}

/// A pod and kubelet on its node.
struct Fixture {
    pod: Pod,
    kubelet: Kubelet,
}

impl Fixture {
    fn start() -> Result<Self, String> {
        let pod = Pod::start()?;
        let kubelet = Kubelet::start(&pod.node.wrapper())?;
        Ok(Self { pod, kubelet })
    }

    /// kubelet's verdict of an HTTP probe must be `expected`.
    fn http(&self, port: u16, path: &str, expected: &str) -> Result<Verdict, String> {
        let request = ProbeRequest::http(SocketAddr::new(POD, port), path);
        self.probe(&request, expected)
    }

    fn probe(&self, request: &ProbeRequest, expected: &str) -> Result<Verdict, String> {
        let verdict = self.kubelet.verdict(request)?;
        if verdict.to_string() == expected {
            return Ok(verdict);
        }
        Err(format!("{request:?}: {verdict:?}, expected {expected}"))
    }
}

/// The guide's steps, with the app bound to `on` and its health port forwarded by `forward`.
fn guide(on: IpAddr, forward: &str) -> Outcome {
    let fixture = Fixture::start()?;
    let app = fixture.pod.app(on);
    let args = "--target-ip=10.0.0.2 --source-ip=127.0.0.6 --forward=";
    let args = format!("{args}{forward}");
    let _agent = fixture.pod.probelet(PROBERS, &args)?;

    only_mutual_tls_passes(&fixture)?;

    fixture.http(15020, LIVEZ, "success")?;
    fixture.http(15020, READYZ, "failure-500")?;
    fixture.http(15020, STARTUPZ, "success")?;
    assert_eq!(fixture.http(15032, "/foo", "success")?.text, "well");
    fixture.http(15032, "/broken", "failure-500")?;

    drop(app);
    for path in [LIVEZ, READYZ, STARTUPZ] {
        fixture.http(15020, path, "failure-502")?;
    }
    fixture.http(15032, "/foo", "failure")?;
    // Envoy accepts connections even if the app is down, so a direct TCP probe succeeds.
    fixture.probe(&ProbeRequest::tcp(SocketAddr::new(POD, 8001)), "success")?;

    let _app = fixture.pod.app(on);
    fixture.http(15020, LIVEZ, "success")?;
    Ok(())
}

/// Envoy receives the connections to both ports of the app and requires a certificate.
fn only_mutual_tls_passes(fixture: &Fixture) -> Outcome {
    for port in [8001, 8002] {
        let to = SocketAddr::new(POD, port);
        let node = &fixture.pod.node;
        let answer = Peer::member(&fixture.pod.authority).get(node, to, "/foo")?;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("well"), "{answer}");
        let answer = Peer::without_certificate(&fixture.pod.authority).get(node, to, "/foo");
        assert!(answer.is_err(), "without a certificate: {answer:?}");
        fixture.http(port, "/foo", "failure")?;
    }
    Ok(())
}

/// The control: the rules redirect connections from the pod's address to Envoy, which rejects plaintext and accepts
/// connections while the app is down.
fn without_source() -> Outcome {
    let fixture = Fixture::start()?;
    let app = fixture.pod.app(POD);
    let args = "--target-ip=10.0.0.2 --forward=15032=10.0.0.2:8002";
    let _agent = fixture.pod.probelet(PROBERS, args)?;
    fixture.http(15020, LIVEZ, "failure-502")?;
    fixture.http(15032, "/foo", "failure")?;
    drop(app);
    fixture.http(15020, STARTUPZ, "success")?;
    Ok(())
}
