//! Mutual TLS that the sidecar terminates beside the app: the setting of a listener, the volume of the identity, and
//! warnings.

use super::sidecar_user::{has_fs_group, run_as_user};
use crate::inject::annotation_names::{ALLOW_FROM, APP_LISTENS, IDENTITY_CSI, INBOUND};
use crate::inject::options::{
    IDENTITY_FILES, IdentityVolume, InboundListen, InboundPort, PodOptions,
};
use crate::inject::settings::RunAsUser;
use crate::inject::view::PodView;
use crate::inject::view::handler::HandlerKind;
use core::net::SocketAddr;
use serde_json::{Map, Value, json};

/// The pod's address in an argument, as kubelet expands it.
pub(super) const POD_IP_REFERENCE: &str = "$(POD_IP)";
/// The drivers of cert-manager, which have an attribute with the group of the files.
const CERT_MANAGER_DRIVERS: &str = "csi.cert-manager.io";
/// The last part of that attribute.
const FS_GROUP: &str = "fs-group";
/// The mode of a Secret's files: kubelet makes the pod's `fsGroup` their group.
const GROUP_MODE: u32 = 0o440;
/// The mode without `fsGroup`: the files belong to root, and only the sidecar mounts them.
const WORLD_MODE: u32 = 0o444;

/// The value of `--inbound` for a port.
pub(super) fn setting(view: &PodView<'_>, inbound: &InboundPort, target: SocketAddr) -> String {
    let mut setting = match inbound.listen {
        InboundListen::Port(port) => format!("{port}={target}"),
        InboundListen::PodAddress => format!("[{POD_IP_REFERENCE}]:{}={target}", inbound.app_port),
    };
    for option in &inbound.options {
        setting += &format!(",{option}");
    }
    if !inbound.has_alpn() && speaks_http2(view, inbound.app_port) {
        setting += ",alpn=h2";
    }
    setting
}

/// Whether a port of the app speaks HTTP/2, by its name, as Istio reads it (`grpc`, `http2-web`), or as kubelet probes it by
/// gRPC. `appProtocol` belongs to a Service, which injection does not see.
fn speaks_http2(view: &PodView<'_>, port: u16) -> bool {
    let mut containers = view.containers.iter();
    let is_named = containers.any(|container| {
        let mut names = container.names_of_port(port);
        names.any(|name| ["grpc", "http2"].contains(&name.split('-').next().unwrap_or(name)))
    });
    let mut probes = view.probes.iter();
    is_named
        || probes.any(|probe| {
            let handler = probe.original.as_ref().map(|original| &original.handler);
            handler.is_ok_and(|handler| {
                handler.kind == HandlerKind::Grpc
                    && handler.fields.get("port") == Some(&port.into())
            })
        })
}

/// The volume of a Secret. It may be created after the pod: without `optional`, kubelet would not start the app before.
pub(super) fn secret_source(view: &PodView<'_>, name: &str) -> Value {
    let mode = match has_fs_group(view) {
        true => GROUP_MODE,
        false => WORLD_MODE,
    };
    let items: Vec<Value> = IDENTITY_FILES
        .map(|file| json!({"key": file, "path": file}))
        .into();
    json!({"secretName": name, "items": items, "defaultMode": mode, "optional": true})
}

/// The volume of a CSI driver. cert-manager's drivers write files that only root can read, or the group in an attribute.
pub(super) fn csi_source(volume: &Map<String, Value>, group: Option<Value>) -> Value {
    let mut volume = volume.clone();
    let driver = driver(&volume);
    if let Some(group) = group.filter(|_| is_of_cert_manager(&driver) && !has_file_group(&volume)) {
        let attributes = volume
            .entry("volumeAttributes")
            .or_insert_with(|| json!({}));
        attributes[format!("{driver}/{FS_GROUP}")] = group.to_string().into();
    }
    volume.into()
}

fn driver(volume: &Map<String, Value>) -> String {
    let driver = volume.get("driver").and_then(Value::as_str);
    driver.unwrap_or_default().into()
}

fn is_of_cert_manager(driver: &str) -> bool {
    let prefix = driver.strip_suffix(CERT_MANAGER_DRIVERS);
    prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// Whether an attribute sets the group of the files.
fn has_file_group(volume: &Map<String, Value>) -> bool {
    let attributes = volume.get("volumeAttributes").and_then(Value::as_object);
    let mut names = attributes.into_iter().flat_map(Map::keys);
    names.any(|name| name.rsplit('/').next() == Some(FS_GROUP))
}

/// Warns of ports of the app that clients without a certificate still reach.
pub(super) fn warn_of_plaintext_ports(options: &PodOptions, warnings: &mut Vec<Box<str>>) {
    let inbound = &options.inbound;
    if inbound.ports.is_empty() || inbound.app_is_on_loopback {
        return;
    }
    let apps = inbound.ports.iter().map(|inbound| inbound.app_port);
    let own = inbound.ports.iter().map(InboundPort::port);
    let what = format!(
        "{} still {} clients without a certificate",
        port_list(apps),
        match inbound.ports.len() {
            1 => "accepts",
            _ => "accept",
        }
    );
    let advice = format!(
        "allow only {} by a NetworkPolicy (docs/inbound.md), or let the app listen on 127.0.0.1 and set {APP_LISTENS} to loopback",
        port_list(own.chain([options.status_port]))
    );
    warnings.push(format!("{what}: {advice}").into());
}

/// `port 8001`, `ports 8443, 9443`
fn port_list(ports: impl Iterator<Item = u16>) -> String {
    let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
    match ports.as_slice() {
        [port] => format!("port {port}"),
        ports => format!("ports {}", ports.join(", ")),
    }
}

/// Warns of networks that were allowed for kubelet, and that clients of inbound ports have to be in, too.
pub(super) fn warn_of_allowed_peers(options: &PodOptions, warnings: &mut Vec<Box<str>>) {
    if options.inbound.ports.is_empty() || options.allow_from.is_empty() {
        return;
    }
    let what = format!("allow-from also applies to the clients of annotation {INBOUND}");
    let advice = format!("set annotation {ALLOW_FROM} to their networks and kubelet's address");
    warnings.push(format!("{what}: {advice}").into());
}

/// Warns of a driver whose files the sidecar may not be able to read.
pub(super) fn warn_of_unreadable_identity(
    view: &PodView<'_>,
    options: &PodOptions,
    warnings: &mut Vec<Box<str>>,
) {
    let Some(IdentityVolume::Csi(volume)) = &options.inbound.identity else {
        return;
    };
    let has_group = matches!(run_as_user(view, options), RunAsUser::Id(_));
    let is_set = is_of_cert_manager(&driver(volume)) && has_group;
    if is_set || has_file_group(volume) || has_fs_group(view) {
        return;
    }
    let what = format!("the files of annotation {IDENTITY_CSI} may belong to root");
    let advice = "set spec.securityContext.fsGroup, so that the sidecar can read them";
    warnings.push(format!("{what}: {advice}").into());
}
