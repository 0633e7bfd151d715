//! Meshes that handle kubelet's probes of the pods that they have injected, and those whose proxy intercepts the agent's
//! ports.

use crate::inject::annotation_names::{ORIGINAL_ANNOTATION, SKIP_INBOUND};
use crate::inject::options::PodOptions;
use crate::inject::options::annotations::text_of;
use crate::inject::view::PodView;
use crate::inject::view::containers::LINKERD_SIDECAR_NAME;
use crate::inject::view::probes::Probe;
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
    let mesh = mesh_of(view)?;
    Some(format!(
        "{0} has injected it, and {0}'s sidecar handles its probes",
        mesh.name
    ))
}

/// The mesh other than Istio that has injected the pod.
fn mesh_of(view: &PodView<'_>) -> Option<&'static Mesh> {
    let metadata = &view.pod["metadata"];
    let is_marked = |marker: &str| {
        let is_true = |value: &Value| {
            !["", "false", "disabled"].contains(&value.as_str().unwrap_or_default())
        };
        is_true(&metadata["annotations"][marker]) || is_true(&metadata["labels"][marker])
    };
    MESHES.iter().find(|mesh| {
        is_marked(mesh.marker) || mesh.sidecars.iter().any(|name| view.has_container(name))
    })
}

/// Checks that no injected probe has been rewritten by a mesh other than Istio: it reaches the sidecar through the mesh's,
/// by a port and a path of that mesh.
///
/// # Errors
/// Names the probe, and what to do.
pub(in crate::inject) fn check_rewritten_by_mesh(view: &PodView<'_>) -> Result<(), String> {
    let (Some(saved), Some(mesh)) = (&view.saved, mesh_of(view)) else {
        return Ok(());
    };
    let is_rewritten = |probe: &&Probe<'_>| {
        let saved = saved.probes.get(&*probe.key);
        let get = probe.value.get("httpGet").filter(|get| get.is_object());
        let (Some(saved), Some(get), false) = (saved, get, probe.is_injected()) else {
            return false;
        };
        !saved.is_original(get)
    };
    match view.probes.iter().find(is_rewritten) {
        None => Ok(()),
        Some(probe) => Err(format!(
            "{} may reach the sidecar through {}'s, and does not match annotation {ORIGINAL_ANNOTATION}: restore the probe as \
             it was before injection, or inject the original manifest again",
            probe.label, mesh.name
        )),
    }
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
    let skipped = text_of(&view.pod["metadata"]["annotations"], SKIP_INBOUND);
    let ports = options.agent_ports();
    let missing = ports.filter(|port| !has_port(skipped.as_deref().unwrap_or_default(), *port));
    let missing: Vec<String> = missing.map(|port| port.to_string()).collect();
    if missing.is_empty() {
        return;
    }
    let missing = missing.join(",");
    let list = match skipped {
        Some(skipped) if !skipped.is_empty() => format!("{skipped},{missing}"),
        _ => missing.clone(),
    };
    let noun = match missing.contains(',') {
        true => "ports",
        false => "port",
    };
    let what = format!("Linkerd's proxy intercepts {noun} {missing} of the sidecar");
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
