//! Checks of the pod as a whole: whether it can have the agent.

use super::decisions::{Decisions, Destination};
use super::meshes;
use super::nodes::required_windows_label;
use super::table::ProberTable;
use crate::inject::annotation_names::{
    EXCLUDE_CONTAINERS, FORWARD, INBOUND, SIDECAR_KIND, STATUS_PORT,
};
use crate::inject::options::PodOptions;
use crate::inject::report::Stop;
use crate::inject::settings::Sidecar;
use crate::inject::view::collections::SpecList;
use crate::inject::view::containers::SIDECAR_NAME;
use crate::inject::view::{PROBERS, PodView, VOLUMES, table_text};
use crate::limits;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Why a pod is skipped that has another container of the sidecar's name. Its owner may not know the name.
pub(crate) const OTHER_CONTAINER: &str =
    "it has a container named probelet that is not the agent: rename that container";

/// The kernel's `net.ipv4.ip_unprivileged_port_start`.
const KERNEL_UNPRIVILEGED_PORT: u16 = 1024;
/// The kernel parameter with the range of local ports of connections.
const LOCAL_PORT_RANGE: &str = "net.ipv4.ip_local_port_range";
/// The kernel's range, first and last.
const KERNEL_LOCAL_PORTS: [usize; 2] = [32768, 60999];
/// The kernel parameter with the ports that connections do not get.
const RESERVED_PORTS: &str = "net.ipv4.ip_local_reserved_ports";
/// Seconds for which the kernel keeps the local port of a connection that the agent has closed (`TCP_TIMEWAIT_LEN`).
const TIME_WAIT_SECONDS: u64 = 60;
/// kubelet's period of a probe that sets none, in seconds (`pkg/apis/core/v1/defaults.go`: `SetDefaults_Probe`).
const DEFAULT_PERIOD: u64 = 10;

/// Skips pods of another injector, and pods in which the agent cannot run.
pub(super) fn check_eligible(view: &PodView<'_>) -> Result<(), Stop> {
    let spec = &view.pod["spec"];
    if let Some(reason) = meshes::skip_reason(view) {
        return Err(Stop::Skip(reason.into()));
    }
    let mut containers = view.containers.iter();
    let container = containers.find(|container| container.name == SIDECAR_NAME);
    let reason = if container.is_some_and(|container| is_agent(container.value)) {
        "it has the agent in a container that probelet-inject did not add: remove that container for probelet-inject to add it"
    } else if container.is_some() {
        OTHER_CONTAINER
    } else if view.annotation("kubernetes.io/config.mirror").is_some() {
        // kubelet runs the static pod, whatever the API server has (`pkg/kubelet/types`: `ConfigMirrorAnnotationKey`).
        "it mirrors a static pod: inject the manifest of the static pod"
    } else if spec["hostNetwork"] == true {
        "spec.hostNetwork is true: the agent would listen on ports of the node"
    } else if view.pod["metadata"]["labels"]["kubevirt.io"] == "virt-launcher" {
        // KubeVirt's rules translate connections from outside the pod, and none from the pod to its own address
        // (`docs/network/networking.md`, `KUBEVIRT_PREINBOUND`).
        "KubeVirt's virtual machine receives the connections to the pod, those to the agent, too"
    } else if spec["os"]["name"] == "windows" {
        "spec.os.name is windows: the agent runs on Linux only"
    } else if let Some(label) = required_windows_label(spec) {
        let what = format!("it requires nodes with {label} windows");
        return Err(Stop::Skip(
            format!("{what}: the agent runs on Linux only").into(),
        ));
    } else {
        return Ok(());
    };
    Err(Stop::Skip(reason.into()))
}

/// Whether a container runs the agent, as in `deploy/pod.yaml`.
fn is_agent(container: &Value) -> bool {
    table_text(container).is_some() || container["args"][0] == "run"
}

/// Refuses an ordinary sidecar in a pod that runs to completion. `runs_to_completion` is known of the pods of a Job; the
/// webhook receives pods without their owners.
pub(super) fn check_completion(
    view: &PodView<'_>,
    runs_to_completion: bool,
    sidecar: Sidecar,
) -> Result<(), String> {
    let policy = &view.pod["spec"]["restartPolicy"];
    let completes = runs_to_completion || policy == "Never" || policy == "OnFailure";
    if !completes || sidecar == Sidecar::Native {
        return Ok(());
    }
    Err(format!(
        "an ordinary sidecar would keep the pod from completing: set annotation {SIDECAR_KIND} to native (Kubernetes 1.29 or later)"
    ))
}

/// Whether a container has no name, which the path of a prober needs.
pub(super) fn has_unnamed_container(pod: &Value) -> bool {
    let lists = SpecList::OF_CONTAINERS.into_iter();
    let items = lists.filter_map(|list| pod["spec"][list.key()].as_array());
    let mut items = items.flatten();
    items.any(|item| item.is_object() && !item["name"].is_string())
}

/// Refuses fields of a wrong type, which an edit would replace.
pub(super) fn check_types(pod: &Value) -> Result<(), String> {
    for keys in ["metadata", "metadata.annotations"] {
        check_type(pod, keys, "a mapping", Value::is_object)?;
    }
    for keys in ["spec.initContainers", "spec.containers", "spec.volumes"] {
        check_type(pod, keys, "a list", Value::is_array)?;
    }
    Ok(())
}

fn check_type(
    pod: &Value,
    keys: &str,
    what: &str,
    is_valid: fn(&Value) -> bool,
) -> Result<(), String> {
    let mut keys_left = keys.split('.');
    match keys_left.try_fold(pod, |value, key| value.get(key)) {
        Some(value) if !value.is_null() && !is_valid(value) => {
            Err(format!("{keys} is not {what}: write {what}"))
        }
        _ => Ok(()),
    }
}

/// Refuses two containers of one name: the name is part of a prober's path.
pub(super) fn check_container_names(view: &PodView<'_>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let mut containers = view.containers.iter();
    match containers.find(|container| !seen.insert(container.name)) {
        None => Ok(()),
        Some(container) => {
            let what = format!("two containers have the name {}", container.name);
            Err(format!("{what}: give each a unique name"))
        }
    }
}

/// Refuses ports of the agent that a container declares, or that its user may not open.
pub(super) fn check_ports_free(view: &PodView<'_>, options: &PodOptions) -> Result<(), String> {
    struct AgentPort {
        port: u16,
        annotation: &'static str,
        example: Box<str>,
        /// Whether it is the app's port number at another address.
        is_shared: bool,
    }
    let status = AgentPort {
        port: options.status_port,
        annotation: STATUS_PORT,
        example: "15920".into(),
        is_shared: false,
    };
    let forwards = options.forwards.iter().map(|forward| AgentPort {
        port: forward.agent_port,
        annotation: FORWARD,
        example: format!("{}=15932", forward.app_port).into(),
        is_shared: false,
    });
    let inbound = options.inbound.ports.iter().map(|inbound| AgentPort {
        port: inbound.port(),
        annotation: INBOUND,
        example: format!("15943={}", inbound.app_port).into(),
        is_shared: inbound.own_port().is_none(),
    });
    for agent in [status].into_iter().chain(forwards).chain(inbound) {
        let AgentPort {
            port,
            annotation,
            example,
            is_shared,
        } = agent;
        let advice = format!("set another port in annotation {annotation}, such as {example}");
        let container = view.declared_ports.first(port);
        if let Some(container) = container.filter(|_| !is_shared) {
            let what = format!("container {container} declares port {port}");
            return Err(format!("{what}, which the agent needs: {advice}"));
        }
        if port < first_unprivileged_port(view.pod) {
            let reason = "which the agent's user may not open on nodes with containerd 1";
            return Err(format!(
                "the agent would listen on port {port}, {reason}: {advice}"
            ));
        }
    }
    Ok(())
}

/// The least port that a user other than root may open. containerd 2 and CRI-O set it to 0, containerd 1 leaves the kernel's.
fn first_unprivileged_port(pod: &Value) -> u16 {
    let set = sysctl(pod, "net.ipv4.ip_unprivileged_port_start");
    let set = set.and_then(|value| value.parse().ok());
    set.unwrap_or(KERNEL_UNPRIVILEGED_PORT)
}

/// The value of a kernel parameter that the pod sets.
fn sysctl<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    let sysctls = pod["spec"]["securityContext"]["sysctls"].as_array();
    let mut sysctls = sysctls.into_iter().flatten();
    let set = sysctls.find(|sysctl| sysctl["name"] == name)?;
    set["value"].as_str()
}

/// Refuses a pod whose range of local ports is too small for the agent's connections to a port of the app. kubelet connects
/// from the node, which has a range of its own.
pub(super) fn check_local_ports(
    view: &PodView<'_>,
    options: &PodOptions,
    decisions: &Decisions,
) -> Result<(), String> {
    let [range, reserved] = [LOCAL_PORT_RANGE, RESERVED_PORTS].map(|name| sysctl(view.pod, name));
    let range = match range {
        None if reserved.is_none() => return Ok(()),
        None => Some(KERNEL_LOCAL_PORTS),
        Some(range) => parse_range(range, char::is_whitespace),
    };
    let Some(range) = range else {
        return Ok(());
    };
    let available = count_ports(range, reserved.unwrap_or_default());
    let app_ports = |destination: &Destination| match destination {
        Destination::StatusPort { path, app_port, .. } => {
            let handlers = decisions.annotation_probers.get(path);
            handlers.map_or_else(|| vec![*app_port], Vec::clone)
        }
        Destination::ForwardPort(agent_port) => {
            let forwards = options.forwards.iter();
            let forwards = forwards.filter(|forward| forward.agent_port == *agent_port);
            forwards.map(|forward| forward.app_port).collect()
        }
    };
    let mut needed: BTreeMap<u16, u64> = BTreeMap::new();
    for probe in view.probes.iter().filter(|probe| !probe.kind.is_hook()) {
        let destination = decisions.destinations.get(&probe.key);
        let period = probe.value.get("periodSeconds").and_then(Value::as_u64);
        let period = period
            .filter(|period| *period > 0)
            .unwrap_or(DEFAULT_PERIOD);
        // One more for the connection of the moment.
        let connections = TIME_WAIT_SECONDS.div_ceil(period) + 1;
        for port in destination.map(app_ports).unwrap_or_default() {
            *needed.entry(port).or_default() += connections;
        }
    }
    let Some((port, needed)) = needed.into_iter().max_by_key(|(_, needed)| *needed) else {
        return Ok(());
    };
    if needed <= available {
        return Ok(());
    }
    let what = match reserved {
        None => format!("sysctl {LOCAL_PORT_RANGE} has {available} ports"),
        Some(_) => {
            format!("sysctl {RESERVED_PORTS} leaves {available} ports of {LOCAL_PORT_RANGE}")
        }
    };
    let remedy = match reserved {
        None => "widen the range",
        Some(_) => "widen the range, reserve fewer ports",
    };
    let reason = format!(
        "the agent's probes of port {port} need {needed}, because each port is free again after {TIME_WAIT_SECONDS} s"
    );
    Err(format!(
        "{what}, and {reason}: {remedy}, or raise periodSeconds"
    ))
}

/// Parses two ports with a separator.
fn parse_range(text: &str, separator: impl Fn(char) -> bool) -> Option<[usize; 2]> {
    let (first, last) = text.trim().split_once(separator)?;
    let range = [first.trim().parse().ok()?, last.trim().parse().ok()?];
    (range[0] <= range[1] && range[1] <= usize::from(u16::MAX)).then_some(range)
}

/// Number of ports of a range that a list does not reserve, such as `8080,9148-9150`. The list may be long.
fn count_ports([first, last]: [usize; 2], reserved: &str) -> u64 {
    // How many more items cover a port than its predecessor.
    let mut starts = vec![0i64; usize::from(u16::MAX) + 2];
    for item in reserved.split(',') {
        let port = || item.trim().parse().ok().map(|port| [port, port]);
        if let Some([first, last]) = parse_range(item, |c| c == '-').or_else(port)
            && last < starts.len() - 1
        {
            starts[first] += 1;
            starts[last + 1] -= 1;
        }
    }
    let mut covering = 0;
    let mut free = 0;
    for (port, change) in starts.iter().enumerate() {
        covering += change;
        free += u64::from((first..=last).contains(&port) && covering == 0);
    }
    free
}

/// Refuses a table that the kernel would not pass to the agent, which fails to start with E2BIG.
pub(super) fn check_table_size(table: &ProberTable) -> Result<(), String> {
    let bytes = table.to_string().len();
    let most = limits::ENV_STRING_BYTES - PROBERS.len() - "=\0".len();
    if bytes <= most {
        return Ok(());
    }
    Err(format!(
        "the table of its probes has {bytes} bytes, and the kernel passes at most {most} in {PROBERS}: shorten paths and \
         httpHeaders, or leave out containers (annotation {EXCLUDE_CONTAINERS})"
    ))
}

/// Refuses volumes with the names of the injected ones.
pub(super) fn check_volumes_free(view: &PodView<'_>) -> Result<(), String> {
    let volumes = view.pod["spec"]["volumes"].as_array();
    for name in VOLUMES {
        let mut volumes = volumes.into_iter().flatten();
        let is_taken = volumes.any(|volume| volume["name"] == name);
        if is_taken && view.injected_item(SpecList::Volumes, name).is_none() {
            return Err(format!(
                "spec.volumes already has a volume {name}: rename that volume"
            ));
        }
    }
    Ok(())
}
