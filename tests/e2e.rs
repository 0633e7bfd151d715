//! Istio's health-check guide end to end: a pod in a network namespace of its own, under Istio's
//! rules, with a real Envoy that demands client certificates, asked from the node by kubelet's code.

mod mesh;
mod netns;
mod pod;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use libtest_mimic::Trial;

use crate::support::kubelet::{Kubelet, Question, Verdict};
use crate::support::{Need, Outcome, needs};

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
            "e2e::without_a_source_address_envoy_is_asked",
            without_source,
        ),
    ]
}

/// kubelet on the node.
struct Node(Kubelet);

impl Node {
    fn of(pod: &Pod) -> Result<Self, String> {
        Kubelet::start(&pod.node.before()).map(Self)
    }

    fn http(&self, port: u16, path: &str) -> Result<Verdict, String> {
        self.0
            .ask(&Question::http(SocketAddr::new(POD, port), path))
    }

    fn tcp(&self, port: u16) -> Result<Verdict, String> {
        self.0.ask(&Question::tcp(SocketAddr::new(POD, port)))
    }
}

/// The guide, with the app bound to `on` and its health port passed through by `forward`.
fn guide(on: IpAddr, forward: &str) -> Outcome {
    let pod = Pod::start()?;
    let kubelet = Node::of(&pod)?;
    let app = pod.app(on);
    let args = [
        "--target-ip=10.0.0.2",
        "--source-ip=127.0.0.6",
        "--forward",
        forward,
    ];
    let agent = pod.probelet(PROBERS, &args)?;

    let answer = pod
        .authority
        .get(&pod.node, SocketAddr::new(POD, 8001), "/foo")?;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("well"),
        "{answer}"
    );
    for port in [8001, 8002] {
        let direct = kubelet.http(port, "/foo")?;
        assert_eq!(
            direct.to_string(),
            "failure",
            "without a certificate: {direct:?}"
        );
    }

    let asked = |path| kubelet.http(15020, path).map(|verdict| verdict.to_string());
    assert_eq!(asked(LIVEZ)?, "success", "{:?}", agent.log());
    assert_eq!(asked(READYZ)?, "failure-500", "{:?}", agent.log());
    assert_eq!(asked(STARTUPZ)?, "success", "{:?}", agent.log());
    let separate = kubelet.http(15032, "/foo")?;
    assert_eq!(
        (separate.result.as_str(), separate.text.as_str()),
        ("success", "well"),
        "{separate:?}"
    );
    assert_eq!(kubelet.http(15032, "/broken")?.to_string(), "failure-500");

    drop(app);
    for path in [LIVEZ, READYZ, STARTUPZ] {
        assert_eq!(asked(path)?, "failure-502", "{path}: {:?}", agent.log());
    }
    let separate = kubelet.http(15032, "/foo")?;
    assert_eq!(
        separate.to_string(),
        "failure",
        "the app is dead: {separate:?}"
    );
    // Envoy still takes what it cannot hand on: asked directly, a TCP probe sees no difference.
    assert_eq!(kubelet.tcp(8001)?.to_string(), "success");

    let _app = pod.app(on);
    assert_eq!(
        asked(LIVEZ)?,
        "success",
        "the app is back: {:?}",
        agent.log()
    );
    Ok(())
}

/// The control: dialled from the pod's own address, the rules lead probelet into Envoy, which
/// answers no plaintext and takes connections for a dead app.
fn without_source() -> Outcome {
    let pod = Pod::start()?;
    let kubelet = Node::of(&pod)?;
    let app = pod.app(POD);
    let agent = pod.probelet(PROBERS, &["--target-ip=10.0.0.2"])?;
    let asked = |path| kubelet.http(15020, path).map(|verdict| verdict.to_string());
    assert_eq!(asked(LIVEZ)?, "failure-502", "{:?}", agent.log());
    drop(app);
    assert_eq!(asked(STARTUPZ)?, "success", "{:?}", agent.log());
    Ok(())
}
