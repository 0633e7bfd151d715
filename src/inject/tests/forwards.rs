//! Ports of the app that the agent forwards, so that kubelet probes the app itself.

use super::annotations::{of, ours, web};
use super::*;

#[test]
fn a_probe_of_a_forwarded_port() {
    let document = of("probelet.dev/forward", "8002=15032");
    assert_eq!(effect_of(&document), "injected: forwarded: 8002");
    let after = injected(&document);
    assert_eq!(
        after["spec"]["containers"][0]["livenessProbe"],
        json!({"httpGet": {"path": "/foo", "port": 15032}})
    );
    assert_eq!(
        ours(&after)["args"],
        json!(["run", "--forward=15032=127.0.0.1:8002"])
    );
    assert_eq!(table(&after), "");
    assert_eq!(
        after["metadata"]["annotations"]["traffic.sidecar.istio.io/excludeInboundPorts"],
        "15032"
    );
    assert_eq!(uninjected(&after), document);
}

#[test]
fn a_forward_has_the_target_address() {
    let annotations =
        json!({"probelet.dev/forward": "8002=15032", "probelet.dev/target-ip": "::1"});
    let after = injected(&annotated(web(), annotations));
    assert_eq!(
        ours(&after)["args"],
        json!(["run", "--target-ip=::1", "--forward=15032=[::1]:8002"])
    );
}

#[test]
fn forwards_apply_when_rewriting_is_disabled() {
    let annotations = json!({
        "probelet.dev/forward": "8002=15032", "sidecar.istio.io/rewriteAppHTTPProbers": "false",
    });
    let mut document = annotated(web(), annotations);
    let other = json!({"httpGet": {"port": 80}});
    document["spec"]["containers"][0]["readinessProbe"] = other.clone();
    let after = injected(&document);
    assert_eq!(
        after["spec"]["containers"][0]["livenessProbe"]["httpGet"]["port"],
        15032
    );
    assert_eq!(after["spec"]["containers"][0]["readinessProbe"], other);
}

#[test]
fn excluded_inbound_ports_are_retained() {
    const EXCLUDE: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
    for (before, after) in [
        ("9090", "9090,15032"),
        ("15032, 9090", "15032, 9090"),
        ("", "15032"),
    ] {
        let annotations = json!({"probelet.dev/forward": "8002=15032", EXCLUDE: before});
        let document = annotated(web(), annotations);
        let injected = injected(&document);
        assert_eq!(injected["metadata"]["annotations"][EXCLUDE], after);
        assert_eq!(uninjected(&injected), document);
    }
}

#[test]
fn a_probe_that_could_not_fail_is_refused() {
    for (kind, probe) in [
        ("tcpSocket", json!({"tcpSocket": {"port": 8002}})),
        ("grpc", json!({"grpc": {"port": 8002}})),
    ] {
        let document = annotated(probed(probe), json!({"probelet.dev/forward": "8002=15032"}));
        assert_eq!(
            refusal_reason(&document),
            format!(
                "livenessProbe of web is a {kind} probe of port 8002, which annotation probelet.dev/forward \
                 forwards: it would never fail, because a connection to a forwarded port always succeeds; remove \
                 8002 from the annotation, or use httpGet"
            )
        );
    }
}

#[test]
fn a_forward_without_a_probe_is_warned_of() {
    assert_eq!(
        warnings(&of("probelet.dev/forward", "8003=15032")),
        [
            "annotation probelet.dev/forward forwards 15032 to 8003, which no httpGet probe uses: correct or remove 8003=15032"
        ]
    );
}

#[test]
fn invalid_forwards() {
    let reason = |text| refusal_reason(&of("probelet.dev/forward", text));
    assert_eq!(
        reason("8002"),
        "annotation probelet.dev/forward is \"8002\": write APP_PORT=AGENT_PORT, in the opposite order of --forward, \
         such as 8002=15032; separate several by commas"
    );
    assert_eq!(
        reason("8002=1,8002=2"),
        "annotation probelet.dev/forward has port 8002 twice: write it once"
    );
    let advice = "write another agent port after '='";
    let ours = "annotation probelet.dev/forward has";
    assert_eq!(
        reason("8002=15020"),
        format!("{ours} 8002=15020, but 15020 is the status port: {advice}")
    );
    assert_eq!(
        reason("8002=1,8003=1"),
        format!(
            "{ours} 8003=1, but port 1 of the agent already forwards to another port: {advice}"
        )
    );
    assert_eq!(
        reason("8002=1,1=2"),
        format!("{ours} 1=2, but 1 is a port of the agent: write a port of the app before '='")
    );
}
