//! The names of the labels and annotations that injection reads or writes.

/// Before the names of probelet's own annotations.
pub(super) const PREFIX: &str = "probelet.dev/";
pub(crate) const INJECT: &str = "probelet.dev/inject";
pub(crate) const ISTIO_INJECT: &str = "sidecar.istio.io/inject";
/// The status port, which Istio's injector reads, too.
pub(crate) const STATUS_PORT: &str = "status.sidecar.istio.io/port";
pub(crate) const REWRITE: &str = "sidecar.istio.io/rewriteAppHTTPProbers";
/// Probers in place of the pod's own handlers.
pub(crate) const PROBERS: &str = "probelet.dev/probers";
/// Whether exec probes are converted.
pub(crate) const CONVERT_EXEC: &str = "probelet.dev/convert-exec";
pub(crate) const FORWARD: &str = "probelet.dev/forward";
pub(crate) const SIDECAR_KIND: &str = "probelet.dev/sidecar";
pub(crate) const EXCLUDE_CONTAINERS: &str = "probelet.dev/exclude-containers";
pub(crate) const EXCLUDE_PORTS: &str = "probelet.dev/exclude-ports";
pub(crate) const IMAGE: &str = "probelet.dev/image";
pub(crate) const PULL_POLICY: &str = "probelet.dev/image-pull-policy";
pub(crate) const RESOURCES: &str = "probelet.dev/resources";
pub(crate) const TARGET_IP: &str = "probelet.dev/target-ip";
pub(crate) const SOURCE_IP: &str = "probelet.dev/source-ip";
pub(crate) const ALLOW_FROM: &str = "probelet.dev/allow-from";
pub(crate) const CLIENT_CERT: &str = "probelet.dev/client-cert-secret";
pub(crate) const APP_CA: &str = "probelet.dev/app-ca-secret";
pub(crate) const APP_ID: &str = "probelet.dev/app-id";
pub(crate) const LINKERD_SKIP_PORTS: &str = "probelet.dev/linkerd-skip-ports";
pub(crate) const MIN_TIMEOUT: &str = "probelet.dev/min-timeout-seconds";
pub(crate) const RUN_AS_USER: &str = "probelet.dev/run-as-user";
pub(crate) const STARTUP_PROBE: &str = "probelet.dev/startup-probe";
pub(crate) const INBOUND: &str = "probelet.dev/inbound";
pub(crate) const APP_LISTENS: &str = "probelet.dev/app-listens";
pub(crate) const ALLOW_ID: &str = "probelet.dev/allow-id";
pub(crate) const IDENTITY_SECRET: &str = "probelet.dev/identity-secret";
pub(crate) const IDENTITY_CSI: &str = "probelet.dev/identity-csi";

/// The annotation with the originals of what injection replaced.
pub(crate) const ORIGINAL_ANNOTATION: &str = "probelet.dev/original";
/// Istio's annotation that lists the ports its traffic rules leave out.
pub(crate) const EXCLUDE_INBOUND: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
/// Linkerd's annotation that lists the ports its proxy does not intercept.
pub(crate) const SKIP_INBOUND: &str = "config.linkerd.io/skip-inbound-ports";
/// kubectl's annotation with the container that `logs` and `exec` take by default. Not in [`KNOWN`]: it is no setting of ours.
pub(crate) const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// All annotations of probelet and of meshes that are read or written.
pub(crate) const KNOWN: [&str; 31] = [
    INJECT,
    ISTIO_INJECT,
    REWRITE,
    STATUS_PORT,
    PROBERS,
    CONVERT_EXEC,
    FORWARD,
    SIDECAR_KIND,
    EXCLUDE_CONTAINERS,
    EXCLUDE_PORTS,
    IMAGE,
    PULL_POLICY,
    RESOURCES,
    TARGET_IP,
    SOURCE_IP,
    ALLOW_FROM,
    CLIENT_CERT,
    APP_CA,
    APP_ID,
    LINKERD_SKIP_PORTS,
    MIN_TIMEOUT,
    RUN_AS_USER,
    STARTUP_PROBE,
    INBOUND,
    APP_LISTENS,
    ALLOW_ID,
    IDENTITY_SECRET,
    IDENTITY_CSI,
    ORIGINAL_ANNOTATION,
    EXCLUDE_INBOUND,
    SKIP_INBOUND,
];
