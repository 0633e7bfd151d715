//! Meshes that handle kubelet's probes of the pods that they have injected, and those whose proxy intercepts the agent's
//! ports.

use crate::inject::options::PodOptions;
use crate::inject::options::annotations::SKIP_INBOUND;
use crate::inject::view::PodView;
use crate::inject::view::containers::LINKERD_SIDECAR_NAME;
use serde_json::Value;

/// The annotation by which Linkerd's injector selects pods.
const LINKERD_INJECT: &str = "linkerd.io/inject";

/// A mesh whose sidecar rewrites or intercepts probes.
struct Mesh {
    name: &'static str,
    /// The annotation or label that its injector writes.
    marker: &'static str,
    sidecars: &'static [&'static str],
}

/// The meshes other than Istio. AWS App Mesh intercepts only ports that it is given, and its Envoy has exec probes; Traefik
/// Mesh and Cilium have no sidecar.
const MESHES: [Mesh; 4] = [
    // `pkg/plugins/runtime/k8s/webhooks/injector/probes.go`: `overrideHTTPProbes`
    Mesh {
        name: "Kuma",
        marker: "kuma.io/sidecar-injected",
        sidecars: &["kuma-sidecar"],
    },
    // `control-plane/connect-inject/webhook/mesh_webhook.go`: `overwriteProbes`
    Mesh {
        name: "Consul",
        marker: "consul.hashicorp.com/connect-inject-status",
        sidecars: &["consul-dataplane", "consul-connect-envoy-sidecar"],
    },
    // `pkg/injector/health_probes.go`: `rewriteHealthProbes`
    Mesh {
        name: "Open Service Mesh",
        marker: "osm-proxy-uuid",
        sidecars: &[],
    },
    Mesh {
        name: "NGINX Service Mesh",
        marker: "injector.nsm.nginx.com/status",
        sidecars: &["nginx-mesh-sidecar"],
    },
];

/// Why a mesh that has injected the pod leaves nothing to do for the agent; none if there is no such mesh.
pub(super) fn skip_reason(view: &PodView<'_>) -> Option<String> {
    if view.is_injected_by_istio() {
        return Some("Istio's injector has injected it, and Istio's agent runs its probes".into());
    }
    let metadata = &view.pod["metadata"];
    let is_marked = |marker: &str| {
        let is_true = |value: &Value| {
            !["", "false", "disabled"].contains(&value.as_str().unwrap_or_default())
        };
        is_true(&metadata["annotations"][marker]) || is_true(&metadata["labels"][marker])
    };
    let mesh = MESHES.iter().find(|mesh| {
        is_marked(mesh.marker) || mesh.sidecars.iter().any(|name| view.has_container(name))
    })?;
    Some(format!(
        "{0} has injected it, and {0}'s sidecar handles its probes",
        mesh.name
    ))
}

/// Warns of ports of the agent that Linkerd's proxy intercepts. The annotation has to be there before Linkerd's injector
/// runs.
pub(super) fn warn_of_linkerd(
    view: &PodView<'_>,
    options: &PodOptions,
    warnings: &mut Vec<Box<str>>,
) {
    let inject = view.annotation(LINKERD_INJECT).and_then(Value::as_str);
    let will_inject = inject.is_some_and(|inject| ["enabled", "ingress"].contains(&inject));
    // Injection writes the annotation in time for Linkerd's injector.
    let is_written = options.linkerd_skip_ports;
    if !view.has_container(LINKERD_SIDECAR_NAME) && (is_written || !will_inject) {
        return;
    }
    let skipped = view.annotation(SKIP_INBOUND).and_then(Value::as_str);
    let ports = options.agent_ports();
    let missing = ports.filter(|port| !has_port(skipped.unwrap_or_default(), *port));
    let missing: Vec<String> = missing.map(|port| port.to_string()).collect();
    if missing.is_empty() {
        return;
    }
    let missing = missing.join(",");
    let list = match skipped {
        Some(skipped) if !skipped.trim().is_empty() => format!("{},{missing}", skipped.trim()),
        _ => missing.clone(),
    };
    let what = format!("Linkerd's proxy intercepts port {missing} of the sidecar");
    let advice = format!("set annotation {SKIP_INBOUND} to \"{list}\" on the pod template");
    let effect = "probes depend on the proxy and its policies";
    warnings.push(format!("{what}, so that {effect}: {advice}").into());
}

/// Whether a list of ports and ranges (`8080,9000-9100`) has a port.
fn has_port(list: &str, port: u16) -> bool {
    list.split(',').any(|item| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&port),
            _ => false,
        }
    })
}
