//! The intended state of a pod: where each probe goes, and the sidecar with its table. It is made of the pod as its
//! owner wrote it, and of its options.

mod admission;
mod annotation_probers;
mod checks;
mod converted;
mod decide;
mod decisions;
pub(super) mod default_container;
mod inbound;
mod meshes;
mod nodes;
mod pod_resources;
pub(super) mod reconcile;
mod request_head;
mod resource_choice;
mod sidecar;
mod sidecar_resources;
mod sidecar_user;
mod table;
mod warnings;

use super::annotation_names::FORWARD;
use super::options::{PodOptions, PortForward};
use super::report::Stop;
use super::settings::Sidecar;
use super::view::collections::SpecList;
use super::view::saved::{PROBERS_MEMBER, PortList};
use super::view::{IDENTITY_VOLUME, PORT_NAMES, PodView, TLS_VOLUME};
pub(crate) use checks::OTHER_CONTAINER;
use checks::{
    check_completion, check_container_names, check_eligible, check_local_ports, check_ports_free,
    check_table_size, check_types, check_volumes_free, has_unnamed_container,
};
use decisions::{Decisions, warn_of_replaced_schemes};
pub(super) use decisions::{Destination, ONLY_EXEC};
pub(super) use meshes::check_rewritten_by_mesh;
#[cfg(feature = "inject")]
pub(crate) use pod_resources::pod_sums;
use serde_json::Value;
use sidecar::AgentConfig;
#[cfg(feature = "inject")]
pub(crate) use sidecar_resources::possible_resources;
use sidecar_resources::sidecar_resources;
use std::collections::BTreeMap;

/// The intended state of a pod.
pub(super) struct Intent {
    /// By the key of the probe.
    pub(super) destinations: BTreeMap<Box<str>, Destination>,
    /// The shortest timeout of a probe with a destination, in seconds.
    pub(super) min_timeout: u64,
    /// The list that has the sidecar.
    pub(super) list: SpecList,
    pub(super) sidecar: Value,
    /// The settings of the sidecar that the annotation saves.
    pub(super) applied: Value,
    pub(super) volumes: Vec<Value>,
    /// Ports that kubelet probes in plaintext, which the traffic rules of a mesh have to leave out.
    pub(super) port_lists: BTreeMap<PortList, Vec<u16>>,
    /// The container that kubectl takes by default.
    pub(super) default_container: Option<Box<str>>,
    /// The details of an injection: `livez, readyz`.
    pub(super) details: Box<str>,
}

impl Intent {
    /// Determines the intended state of a pod. `runs_to_completion` says that the pod belongs to a Job.
    ///
    /// # Errors
    /// The pod is not eligible, or cannot be injected.
    pub(super) fn new(
        view: &PodView<'_>,
        runs_to_completion: bool,
        options: &PodOptions,
        warnings: &mut Vec<Box<str>>,
    ) -> Result<Self, Stop> {
        check_eligible(view)?;
        check_types(view.pod)?;
        if has_unnamed_container(view.pod) {
            warnings.push(
                "a container has no name, so its probes are not rewritten: set its name".into(),
            );
        }
        decide::warn_of_unused_exclusions(view, options, warnings);
        annotation_probers::check_used(view, options)?;
        let decisions = Decisions::new(view, options, warnings)?;
        view.check_orphans()?;
        decisions.check_any_destination(options)?;
        check_container_names(view)?;
        check_completion(view, runs_to_completion, options.sidecar)?;
        check_ports_free(view, options)?;
        check_local_ports(view, options, &decisions)?;
        check_volumes_free(view)?;
        check_table_size(&decisions.table)?;
        meshes::warn_of_linkerd(view, options, warnings);
        warnings::warn_of_proxy_user(view, options, warnings);
        warnings::warn_of_selinux_type(view, warnings);
        warnings::warn_of_firewall(view, options, warnings);
        sidecar_user::warn_of_lost_owner(view, options, warnings);
        inbound::warn_of_plaintext_ports(options, warnings);
        inbound::warn_of_allowed_peers(options, warnings);
        inbound::warn_of_unreadable_identity(view, options, warnings);
        nodes::warn_of_nodes(view, warnings);
        warnings::warn_of_short_timeouts(view, options, &decisions.destinations, warnings);
        warn_of_replaced_schemes(view, &decisions.destinations, warnings);
        for forward in &options.forwards {
            if !decisions.forwarded.contains(&forward.app_port) {
                let PortForward {
                    app_port,
                    agent_port,
                } = forward;
                let what = format!("annotation {FORWARD} forwards {agent_port} to {app_port}");
                let advice = format!("correct or remove {app_port}={agent_port}");
                warnings.push(format!("{what}, which no httpGet probe uses: {advice}").into());
            }
        }
        let details = decisions.describe(options);
        let config = AgentConfig::new(view, options, decisions.table);
        config.check(view, options)?;
        let port_name = free_port_name(view);
        warnings::warn_of_port_name(port_name, warnings);
        let volumes = sidecar::volumes(view, options);
        let resources = sidecar_resources(view, options, warnings)?;
        let intended = sidecar::container(view, options, &config, port_name, &volumes, &resources);
        let mut applied = reconcile::settings_of(&intended);
        applied["ports"] = options.agent_ports().collect();
        if !decisions.annotation_probers.is_empty() {
            applied[PROBERS_MEMBER] = decisions
                .annotation_probers
                .keys()
                .map(|path| &**path)
                .collect();
        }
        for (volume, member) in [(TLS_VOLUME, "volume"), (IDENTITY_VOLUME, "identity")] {
            if volumes.iter().any(|intended| intended.name == volume) {
                applied[member] = true.into();
            }
        }
        let default_container = default_container::default_container(view, options.sidecar);
        if let Some(name) = &default_container {
            applied[default_container::MEMBER] = (&**name).into();
        }
        Ok(Self {
            destinations: decisions.destinations,
            min_timeout: options.min_timeout,
            list: match options.sidecar {
                Sidecar::Native => SpecList::InitContainers,
                Sidecar::Container => SpecList::Containers,
            },
            sidecar: match view.sidecar {
                Some(current) => {
                    let applied = view.saved.as_ref().and_then(|saved| saved.applied.as_ref());
                    reconcile::sidecar(current, &intended, applied)
                }
                None => intended,
            },
            applied,
            volumes: volumes.iter().map(|volume| volume.in_pod(view)).collect(),
            port_lists: port_lists(options),
            default_container,
            details,
        })
    }
}

/// A name for the status port that no other port of the pod has.
fn free_port_name(view: &PodView<'_>) -> Option<&'static str> {
    let is_free = |name: &&&str| {
        let mut containers = view.containers.iter();
        !containers.any(|container| container.has_port_name(name))
    };
    PORT_NAMES.iter().find(is_free).copied()
}

/// The agent's ports that traffic rules do not leave out by default. Linkerd's are written only if the options say so.
fn port_lists(options: &PodOptions) -> BTreeMap<PortList, Vec<u16>> {
    let lists = PortList::ALL.into_iter();
    let lists = lists.filter(|list| *list != PortList::Linkerd || options.linkerd_skip_ports);
    let ports = |list: PortList| {
        let ports = options.agent_ports();
        ports.filter(|port| !list.has_by_default(*port)).collect()
    };
    lists.map(|list| (list, ports(list))).collect()
}
