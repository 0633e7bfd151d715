//! Warnings of pods that are injected, and in which the agent or the app may fail.

use super::decisions::Destination;
use crate::inject::annotation_names::MIN_TIMEOUT;
use crate::inject::options::PodOptions;
use crate::inject::view::containers::LINKERD_INIT_NAME;
use crate::inject::view::handler::HandlerKind;
use crate::inject::view::probes::Probe;
use crate::inject::view::{PORT_NAMES, PodView};
use serde_json::Value;
use std::collections::BTreeMap;

/// The user that traffic rules of Istio's kind leave out.
const PROXY_USER: u64 = 1337;
/// `timeoutSeconds` up to which a probe over TLS or gRPC is warned of. It is the API server's default.
const SHORT_TIMEOUT_SECONDS: u64 = 1;

/// The capability to filter the packets of the pod, and all capabilities.
const NET_ADMIN: [&str; 2] = ["NET_ADMIN", "ALL"];

/// SELinux types of containers in general (PodSecurity's `check_seLinuxOptions.go`), with a former name and the one without
/// restrictions.
const SELINUX_CONTAINER_TYPES: [&str; 6] = [
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
    "svirt_lxc_net_t",
    "spc_t",
];

/// Warns of a container that runs as the user of proxies where traffic is intercepted.
pub(super) fn warn_of_proxy_user(
    view: &PodView<'_>,
    options: &PodOptions,
    warnings: &mut Vec<Box<str>>,
) {
    let user = |holder: &Value| holder["securityContext"]["runAsUser"].as_u64();
    let of_pod = user(&view.pod["spec"]);
    let is_proxy_user = |value: &Value| user(value).or(of_pod) == Some(PROXY_USER);
    let apps = view.containers.iter();
    let apps = apps.filter(|app| !app.is_injected_sidecar() && is_proxy_user(app.value));
    let app = apps.map(|app| app.name).min();
    if let (Some(app), true) = (app, options.source_ip.is_some()) {
        let what = format!("container {app} runs as user {PROXY_USER}");
        let reason = "which traffic rules of proxies leave out";
        let effect = "they leave out its connections as well as those from source-ip";
        warnings.push(format!("{what}, {reason}, so that {effect}: set another runAsUser").into());
    }
}

/// Warns of an SELinux type of the pod that the sidecar inherits, and that is not one of containers in general. The type of
/// those depends on the distribution, so the sidecar cannot state one.
pub(super) fn warn_of_selinux_type(view: &PodView<'_>, warnings: &mut Vec<Box<str>>) {
    let selinux = &view.pod["spec"]["securityContext"]["seLinuxOptions"];
    let name = selinux["type"].as_str().filter(|name| !name.is_empty());
    if let Some(name) = name.filter(|name| !SELINUX_CONTAINER_TYPES.contains(name)) {
        let what = format!("the sidecar inherits the SELinux type {name} of spec.securityContext");
        let effect = "whose policy may forbid it to start, to listen or to connect";
        let advice = "move seLinuxOptions to the containers that need the type";
        warnings.push(format!("{what}, {effect}: {advice}").into());
    }
}

/// Warns of a container that can set up a firewall in the pod, as those of VPN clients do, which allow the app's ports alone.
pub(super) fn warn_of_firewall(
    view: &PodView<'_>,
    options: &PodOptions,
    warnings: &mut Vec<Box<str>>,
) {
    let has_net_admin = |container: &Value| {
        let added = container["securityContext"]["capabilities"]["add"].as_array();
        let mut added = added.into_iter().flatten().filter_map(Value::as_str);
        added.any(|name| {
            let name = name.to_ascii_uppercase();
            NET_ADMIN.contains(&name.strip_prefix("CAP_").unwrap_or(&name))
        })
    };
    let containers = view.containers.iter();
    let containers =
        containers.filter(|each| each.name != LINKERD_INIT_NAME && has_net_admin(each.value));
    let Some(name) = containers.map(|each| each.name).min() else {
        return;
    };
    let what = format!("container {name} has the capability {}", NET_ADMIN[0]);
    let effect = "a firewall that it sets up in the pod may drop kubelet's probes of the sidecar";
    let port = options.status_port;
    warnings.push(format!("{what}, and {effect}: allow inbound TCP port {port}, too").into());
}

/// Warns if the status port does not have its first name. `name` is the name that it has.
pub(super) fn warn_of_port_name(name: Option<&str>, warnings: &mut Vec<Box<str>>) {
    let preferred = PORT_NAMES[0];
    let effect = match name {
        Some(name) if name == preferred => return,
        Some(name) => format!("the sidecar's port has the name {name}"),
        None => "the sidecar's port has no name".into(),
    };
    warnings.push(
        format!(
            "a port of the pod has the name {preferred}, so that {effect}: rename that port, or select the sidecar's port by its \
             number"
        )
        .into(),
    );
}

/// Warns of rewritten probes over TLS or gRPC with the shortest timeout.
pub(super) fn warn_of_short_timeouts(
    view: &PodView<'_>,
    options: &PodOptions,
    destinations: &BTreeMap<Box<str>, Destination>,
    warnings: &mut Vec<Box<str>>,
) {
    let is_short = |probe: &&Probe<'_>| {
        let is_rewritten = matches!(
            destinations.get(&probe.key),
            Some(Destination::StatusPort { .. })
        );
        is_rewritten
            && !probe.kind.is_hook()
            && probe.timeout(options.min_timeout) <= SHORT_TIMEOUT_SECONDS
            && has_handshake(probe)
    };
    let short = view.probes.iter().filter(is_short);
    let mut labels: Vec<&str> = short.map(|probe| &*probe.label).collect();
    // Other webhooks change the order of containers, and must not change the warning.
    labels.sort_unstable();
    let what = match &labels[..] {
        [] => return,
        [label] => String::from(*label),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    };
    let reason = "because TLS and gRPC need a handshake first, and kubelet then counts a failure of a healthy app";
    let effect = "may exceed 1 s on a busy node";
    let advice = format!("set timeoutSeconds, or annotation {MIN_TIMEOUT}, to 2 or more");
    warnings.push(format!("{what} {effect}, {reason}: {advice}").into());
}

/// Whether the agent needs round trips of TLS or HTTP/2 before its request.
fn has_handshake(probe: &Probe<'_>) -> bool {
    let Ok(original) = &probe.original else {
        return false;
    };
    let handler = &original.handler;
    let scheme = handler.text("scheme").unwrap_or_default();
    handler.kind == HandlerKind::Grpc || scheme.eq_ignore_ascii_case("HTTPS")
}
