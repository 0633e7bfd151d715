//! The settings that apply to every pod unless its annotations say otherwise.

use super::container_bounds::ContainerBounds;
use super::kind_templates::KindTemplates;
use crate::config::Cidr;
use core::net::IpAddr;
use serde_json::Value;

/// The settings for all pods: flags and the ConfigMap.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whether probes are rewritten (`sidecarInjectorWebhook.rewriteAppHTTPProbe`). A port that a pod names in
    /// `probelet.dev/forward` is forwarded in both cases.
    pub rewrite: bool,
    /// Whether exec probes become probers of the agent where these have the same meaning.
    pub convert_exec: bool,
    /// The image of the sidecar.
    pub image: Box<str>,
    /// `imagePullPolicy` of the sidecar.
    pub pull_policy: Option<Box<str>>,
    /// `resources` of the sidecar, an object.
    pub resources: Value,
    /// The status port.
    pub status_port: u16,
    /// The kind of container that the sidecar becomes.
    pub sidecar: Sidecar,
    /// The address at which the agent dials the app.
    pub target: Target,
    /// The source address of the agent's connections to the app.
    pub source_ip: Option<IpAddr>,
    /// The peers that the agent answers; none: every peer.
    pub allow_from: Vec<Cidr>,
    /// Whether the agent's ports are added to the ports that Linkerd's proxy does not intercept.
    pub linkerd_skip_ports: bool,
    /// What the LimitRange objects of the pod's namespace require, as far as they are known.
    pub container_bounds: ContainerBounds,
    /// Whether the sidecar of a BestEffort pod has neither requests nor limits of CPU and memory: a ResourceQuota of the
    /// pod's namespace counts pods by their QoS class.
    pub keeps_best_effort: bool,
    /// The user of the sidecar.
    pub run_as_user: RunAsUser,
    /// The shortest timeout of an injected probe, in seconds; 0 leaves timeouts unchanged.
    pub min_timeout: u64,
    /// Whether the sidecar has a startup probe.
    pub startup_probe: bool,
    /// Kinds that have pod templates, besides those that are always known.
    pub kind_templates: KindTemplates,
}

/// The user and group of the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAsUser {
    /// `runAsUser` and `runAsGroup` have this number, which is not 0.
    Id(u32),
    /// The sidecar has neither, so that the cluster assigns them, or the image's user applies.
    Unset,
}

impl RunAsUser {
    /// The user of the image, which Istio's traffic rules treat as a proxy.
    pub const DEFAULT: Self = Self::Id(1337);
}

/// The kind of container that the sidecar becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sidecar {
    /// An init container with `restartPolicy: Always`: Kubernetes 1.29 or later.
    Native,
    /// An ordinary container.
    Container,
}

/// The address at which the agent dials the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The pod's address, as kubelet does: `POD_IP` from the downward API.
    Pod,
    /// This address.
    Ip(IpAddr),
}
