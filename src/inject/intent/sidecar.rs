//! The agent as a container of the pod, and the check that the agent would start with its arguments and environment.

use super::sidecar_user::run_as_user;
use super::table::ProberTable;
use super::{inbound, reconcile};
use crate::config::{DEFAULT_STATUS_PORT, RawSettings, SettingValue, flags, validate};
use crate::inject::agent_args::{AgentArgs, Flag};
use crate::inject::options::{IDENTITY_FILES, IdentityVolume, PodOptions};
use crate::inject::settings::{RunAsUser, Sidecar, Target};
use crate::inject::view::collections::SpecList;
use crate::inject::view::containers::SIDECAR_NAME;
use crate::inject::view::{IDENTITY_VOLUME, NO_TOKEN_VOLUME, POD_IP, PROBERS, PodView, TLS_VOLUME};
use crate::limits;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use serde_json::{Value, json};

/// The mount path of the volume with the files of Secrets.
const MOUNT_PATH: &str = "/etc/probelet";
/// The mount path of the volume with the workload's identity.
const IDENTITY_PATH: &str = "/etc/probelet-identity";
/// The mount path of the service account's token (`DefaultAPITokenMountPath`).
const TOKEN_MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The kind of a volume from several sources.
const PROJECTED: &str = "projected";
/// The API server's default of `projected.defaultMode`.
const DEFAULT_MODE: u32 = 0o644;
/// The API server's default of `terminationGracePeriodSeconds`.
const DEFAULT_GRACE_SECONDS: u64 = 30;
/// The part of the grace period in which the agent drains.
const DRAIN_SECONDS: u64 = 5;

/// The agent's arguments and table of probers.
pub(super) struct AgentConfig {
    pub(super) args: AgentArgs,
    pub(super) table: ProberTable,
}

impl AgentConfig {
    pub(super) fn new(view: &PodView<'_>, options: &PodOptions, table: ProberTable) -> Self {
        let mut args = AgentArgs::default();
        if options.status_port != DEFAULT_STATUS_PORT {
            args.push(Flag::StatusPort, options.status_port);
        }
        for network in &options.allow_from {
            args.push(Flag::AllowFrom, network);
        }
        if let Some(ip) = options.source_ip {
            args.push(Flag::SourceIp, ip);
        }
        if let Target::Ip(ip) = options.target {
            args.push(Flag::TargetIp, ip);
        }
        if options.client_cert.is_some() {
            args.push(Flag::ClientCert, format!("{MOUNT_PATH}/tls.crt"));
            args.push(Flag::ClientKey, format!("{MOUNT_PATH}/tls.key"));
        }
        if options.app_ca.is_some() {
            args.push(Flag::AppCa, format!("{MOUNT_PATH}/ca.crt"));
        }
        if let Some(id) = &options.app_id {
            args.push(Flag::AppId, id);
        }
        for forward in &options.forwards {
            let target = forward_target(options.target, forward.app_port);
            args.push(Flag::Forward, format!("{}={target}", forward.agent_port));
        }
        if options.inbound.identity.is_some() {
            let flags = [Flag::Cert, Flag::Key, Flag::Ca];
            for (flag, file) in flags.into_iter().zip(IDENTITY_FILES) {
                args.push(flag, format!("{IDENTITY_PATH}/{file}"));
            }
        }
        if !options.inbound.ports.is_empty() {
            for pattern in &options.inbound.allow_ids {
                args.push(Flag::AllowId, pattern);
            }
        }
        for port in &options.inbound.ports {
            let target = forward_target(options.target, port.app_port);
            args.push(Flag::Inbound, inbound::setting(view, port, target));
        }
        let delay = shutdown_delay(view, options.sidecar);
        if delay > 0 {
            args.push(Flag::ShutdownDelay, delay);
        }
        Self { args, table }
    }

    /// Checks the arguments and the table as the agent does at its start.
    ///
    /// # Errors
    /// The error with which the agent would exit.
    pub(super) fn check(&self, view: &PodView<'_>, options: &PodOptions) -> Result<(), String> {
        let mut settings = RawSettings {
            values: self
                .args
                .to_settings(|name| view.annotation(name).is_some()),
            ..RawSettings::default()
        };
        settings.values.push(SettingValue {
            flag: flags::APP_PROBERS,
            origin: "its probes".into(),
            value: self.table.to_string().into(),
        });
        let address: Box<str> = example_ip(options.source_ip).to_string().into();
        for setting in &mut settings.values {
            if setting.flag == flags::INBOUND {
                setting.value = setting
                    .value
                    .replace(inbound::POD_IP_REFERENCE, &address)
                    .into();
            }
        }
        if options.target == Target::Pod {
            settings.pod_addresses.push(address.clone());
            settings.values.push(SettingValue {
                flag: flags::TARGET_IP,
                origin: POD_IP.into(),
                value: address,
            });
        }
        validate(&settings).map_err(|error| error.to_string())
    }
}

/// A documentation address (RFC 5737, RFC 3849) of the family of the source, in place of the pod's.
fn example_ip(source: Option<IpAddr>) -> IpAddr {
    match source {
        Some(IpAddr::V6(_)) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        _ => Ipv4Addr::new(192, 0, 2, 1).into(),
    }
}

/// The target of a forward. The pod's address is not known before the pod runs: an app that does not listen on
/// 127.0.0.1 needs an annotation. [`SocketAddr`] writes the brackets of an IPv6 address.
fn forward_target(target: Target, port: u16) -> SocketAddr {
    let ip = match target {
        Target::Pod => Ipv4Addr::LOCALHOST.into(),
        Target::Ip(ip) => ip,
    };
    (ip, port).into()
}

/// The shutdown delay in seconds, which the agent ends when the app has stopped. kubelet sends SIGTERM to an ordinary sidecar
/// together with the app, or when the app's preStop hook starts, which may use the agent. kubelet still probes readiness
/// then: kube-proxy sends connections to a terminating pod that is ready if no other pod of the Service is. A native
/// sidecar terminates after the app anyway.
fn shutdown_delay(view: &PodView<'_>, sidecar: Sidecar) -> u64 {
    let grace = view.pod["spec"]["terminationGracePeriodSeconds"].as_u64();
    let delay = grace
        .unwrap_or(DEFAULT_GRACE_SECONDS)
        .saturating_sub(DRAIN_SECONDS);
    match sidecar {
        Sidecar::Native => 0,
        Sidecar::Container => delay.min(limits::SHUTDOWN_DELAY_MAX_SECONDS),
    }
}

/// The sidecar. PodSecurity `restricted` admits it. It states fields that admission policies read of each container, also
/// those that the API server would leave absent: a policy that reads an absent one fails, and refuses the pod.
pub(super) fn container(
    view: &PodView<'_>,
    options: &PodOptions,
    config: &AgentConfig,
    port_name: Option<&str>,
    volumes: &[SidecarVolume],
    resources: &Value,
) -> Value {
    let mut container = json!({
        "name": SIDECAR_NAME,
        "image": options.image,
        "args": config.args.to_json(),
        "ports": [{"containerPort": options.status_port}],
        "securityContext": {
            "runAsNonRoot": true,
            "privileged": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": without_empty(resources),
    });
    if let RunAsUser::Id(user) = run_as_user(view, options) {
        container["securityContext"]["runAsUser"] = user.into();
        container["securityContext"]["runAsGroup"] = user.into();
    }
    if inherits_app_armor_file(view) {
        container["securityContext"][reconcile::APP_ARMOR] = json!({"type": "RuntimeDefault"});
    }
    if options.startup_probe {
        container["startupProbe"] = reconcile::startup_probe(options.status_port);
    }
    if let Some(policy) = &options.pull_policy {
        container["imagePullPolicy"] = (&**policy).into();
    }
    let inbound = options.inbound.ports.iter();
    let inbound = inbound.filter_map(|inbound| inbound.own_port());
    if let Some(ports) = container["ports"].as_array_mut() {
        ports.extend(inbound.map(
            |port| json!({"name": reconcile::inbound_port_name(port), "containerPort": port}),
        ));
    }
    if let Some(name) = port_name {
        container["ports"][0]["name"] = name.into();
    }
    if options.sidecar == Sidecar::Native {
        container["restartPolicy"] = "Always".into();
    }
    let env = env(options, config);
    if !env.is_empty() {
        container["env"] = env.into();
    }
    if !volumes.is_empty() {
        container["volumeMounts"] = volumes.iter().map(SidecarVolume::mount).collect();
    }
    container
}

/// Whether the pod has an AppArmor profile that a node has in a file. It is written for the app, and may forbid the sidecar
/// to start. The default profile of the runtime is not written otherwise: kubelet rejects it on nodes without AppArmor
/// (`pkg/security/apparmor/validate.go`).
fn inherits_app_armor_file(view: &PodView<'_>) -> bool {
    view.pod["spec"]["securityContext"][reconcile::APP_ARMOR]["type"] == "Localhost"
}

/// A value without the fields that the API server drops: null and empty objects.
fn without_empty(value: &Value) -> Value {
    let Value::Object(members) = value else {
        return value.clone();
    };
    let members = members
        .iter()
        .map(|(key, value)| (key.clone(), without_empty(value)));
    let is_empty = |value: &Value| {
        value.is_null() || value.as_object().is_some_and(|members| members.is_empty())
    };
    Value::Object(members.filter(|(_, value)| !is_empty(value)).collect())
}

fn env(options: &PodOptions, config: &AgentConfig) -> Vec<Value> {
    let mut env = Vec::new();
    let mut inbound = options.inbound.ports.iter();
    if options.target == Target::Pod || inbound.any(|inbound| inbound.own_port().is_none()) {
        // With the API server's default: a reference is atomic, and in server-side apply a different one of another field
        // manager is a conflict (`ObjectFieldSelector`: `structType=atomic`).
        let field = json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}});
        env.push(json!({"name": POD_IP, "valueFrom": field}));
    }
    if !config.table.is_empty() {
        env.push(json!({"name": PROBERS, "value": config.table.to_string()}));
    }
    env
}

/// A volume of the pod that the sidecar mounts.
pub(super) struct SidecarVolume {
    pub(super) name: &'static str,
    mount_path: &'static str,
    /// The key of `source` in the volume.
    kind: &'static str,
    source: Value,
}

impl SidecarVolume {
    /// The volume as an item of `spec.volumes`, reconciled with that of an earlier injection.
    pub(super) fn in_pod(&self, view: &PodView<'_>) -> Value {
        let intended = json!({"name": self.name, self.kind: self.source});
        // A volume with an identity has no defaults of the API server, and another one may be of another kind.
        let index = view.injected_item(SpecList::Volumes, self.name);
        match index.filter(|_| self.name != IDENTITY_VOLUME) {
            Some(index) => reconcile::volume(&view.pod["spec"]["volumes"][index], &intended),
            None => intended,
        }
    }

    fn mount(&self) -> Value {
        json!({"name": self.name, "mountPath": self.mount_path, "readOnly": true})
    }
}

/// The volumes that the sidecar mounts.
pub(super) fn volumes(view: &PodView<'_>, options: &PodOptions) -> Vec<SidecarVolume> {
    let volumes = [
        tls_volume(options),
        identity_volume(view, options),
        no_token_volume(view),
    ];
    volumes.into_iter().flatten().collect()
}

/// The volume with the files of both Secrets. It is mounted as a directory, so that kubelet updates the files.
fn tls_volume(options: &PodOptions) -> Option<SidecarVolume> {
    let secret = |name: &Option<Box<str>>, files: &[&str]| {
        let items = files.iter().map(|file| json!({"key": file, "path": file}));
        let items: Vec<Value> = items.collect();
        let name = name.as_ref()?;
        Some(json!({"secret": {"name": name, "items": items}}))
    };
    let sources: Vec<Value> = [
        secret(&options.client_cert, &["tls.crt", "tls.key"]),
        secret(&options.app_ca, &["ca.crt"]),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!sources.is_empty()).then(|| SidecarVolume {
        name: TLS_VOLUME,
        mount_path: MOUNT_PATH,
        kind: PROJECTED,
        source: json!({"sources": sources}),
    })
}

/// The volume with the workload's identity.
fn identity_volume(view: &PodView<'_>, options: &PodOptions) -> Option<SidecarVolume> {
    let identity = options.inbound.identity.as_ref()?;
    let (kind, source) = match identity {
        IdentityVolume::Secret(name) => ("secret", inbound::secret_source(view, name)),
        IdentityVolume::Csi(volume) => {
            let group = match run_as_user(view, options) {
                RunAsUser::Id(user) => Some(user.into()),
                RunAsUser::Unset => None,
            };
            ("csi", inbound::csi_source(volume, group))
        }
    };
    Some(SidecarVolume {
        name: IDENTITY_VOLUME,
        mount_path: IDENTITY_PATH,
        kind,
        source,
    })
}

/// The empty volume at the path of the service account's token. The API server mounts the token into each container
/// without a mount at that path, also into one that a webhook has added
/// (`plugin/pkg/admission/serviceaccount/admission.go`: `mountServiceAccountToken`). An `emptyDir` would make
/// `kubectl drain` require `--delete-emptydir-data`. A projected volume needs a source: the API server stores none as
/// `sources: null`, at which an admission policy that reads the sources of each volume fails, and refuses the pod.
fn no_token_volume(view: &PodView<'_>) -> Option<SidecarVolume> {
    let mounts_token = view.pod["spec"]["automountServiceAccountToken"] != false;
    mounts_token.then(|| SidecarVolume {
        name: NO_TOKEN_VOLUME,
        mount_path: TOKEN_MOUNT_PATH,
        kind: PROJECTED,
        source: json!({"defaultMode": DEFAULT_MODE, "sources": [{"downwardAPI": {}}]}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_set_the_arguments_and_the_settings_of_the_agent() {
        let metadata = json!({"annotations": {
            "probelet.dev/source-ip": "127.0.0.6", "probelet.dev/target-ip": "127.0.0.1",
            "probelet.dev/allow-from": "10.42.1.9/24, fd00::1",
            "probelet.dev/client-cert-secret": "a", "probelet.dev/app-ca-secret": "b",
            "probelet.dev/app-id": "spiffe://example.org/web", "probelet.dev/forward": "8002=15032",
            "status.sidecar.istio.io/port": "15920", "probelet.dev/sidecar": "container",
        }});
        let settings = crate::inject::values::Values::default().with_defaults();
        let Ok(options) = PodOptions::read(&metadata, &settings, &mut Vec::new()) else {
            panic!("{metadata}");
        };
        let pre_stop = json!({"preStop": {"exec": {"command": ["x"]}}});
        let pod = json!({"spec": {"containers": [{"name": "web", "lifecycle": pre_stop}]}});
        let root = crate::manifest::Pointer::root();
        let view = PodView::read(&pod, &pod, &root).expect("a pod");
        let args = AgentConfig::new(&view, &options, ProberTable::default()).args;
        let settings = args.to_settings(|name| name == "probelet.dev/target-ip");
        let settings = settings.iter();
        let settings = settings.map(|set| (set.flag, &*set.origin, &*set.value));
        let expected = [
            ("--status-port", "--status-port", "15920"),
            ("--allow-from", "--allow-from", "10.42.1.0/24"),
            ("--allow-from", "--allow-from", "fd00::1/128"),
            ("--source-ip", "--source-ip", "127.0.0.6"),
            (
                "--target-ip",
                "annotation probelet.dev/target-ip",
                "127.0.0.1",
            ),
            ("--client-cert", "--client-cert", "/etc/probelet/tls.crt"),
            ("--client-key", "--client-key", "/etc/probelet/tls.key"),
            ("--app-ca", "--app-ca", "/etc/probelet/ca.crt"),
            ("--app-id", "--app-id", "spiffe://example.org/web"),
            ("--forward", "--forward", "15032=127.0.0.1:8002"),
            ("--shutdown-delay", "--shutdown-delay", "25"),
        ];
        assert_eq!(settings.collect::<Vec<_>>(), expected);
        let json = args.to_json();
        assert_eq!(json.as_array().map(Vec::len), Some(12), "{json}");
    }
}
