//! The intended state of a pod: where each probe goes, and the sidecar with its table. It is made of the pod as its
//! owner wrote it, and of its options.

mod checks;
mod decide;
mod decisions;
pub(super) mod messages;
mod quantity;
pub(super) mod reconcile;
mod sidecar;
mod table;

use super::options::PodOptions;
use super::options::annotations::FORWARD;
use super::report::Stop;
use super::settings::{DEFAULT_STATUS_PORT, Sidecar};
use super::view::PodView;
use super::view::containers::LISTS;
use checks::{
    check_container_names, check_eligible, check_pod_ends, check_ports_free, check_types,
    has_unnamed_container,
};
pub(super) use decisions::Goal;
use decisions::{Decisions, warn_of_replaced_schemes};
use serde_json::Value;
use sidecar::Command;
use std::collections::BTreeMap;

/// The intended state of a pod.
pub(super) struct Intent {
    /// By the key of the probe.
    pub(super) goals: BTreeMap<Box<str>, Goal>,
    /// The list that has the sidecar.
    pub(super) list: &'static str,
    pub(super) sidecar: Value,
    /// The part of the sidecar that the annotation saves.
    pub(super) applied: Value,
    pub(super) volume: Option<Value>,
    /// Ports that kubelet probes in plaintext, so that Istio's traffic rules have to leave them out.
    pub(super) excluded_ports: Vec<u16>,
    /// What an injection does: `livez, readyz`.
    pub(super) what: Box<str>,
}

impl Intent {
    /// Decides on a pod. `of_job` says that its pods run to an end.
    ///
    /// # Errors
    /// The pod is left alone, or refused.
    pub(super) fn new(
        view: &PodView<'_>,
        of_job: bool,
        options: &PodOptions,
        warnings: &mut Vec<Box<str>>,
    ) -> Result<Self, Stop> {
        check_eligible(view)?;
        check_types(view.pod)?;
        if has_unnamed_container(view.pod) {
            warnings.push(
                "a container has no name, so its probes stay as they are: give it one".into(),
            );
        }
        decide::warn_of_unused_exclusions(view, options, warnings);
        let decisions = Decisions::new(view, options, warnings)?;
        if let Some(probe) = view.orphan() {
            return Err(lacks_original(&probe.label).into());
        }
        decisions.check_worthwhile(options)?;
        check_container_names(view)?;
        check_pod_ends(view, of_job, options.sidecar)?;
        check_ports_free(view, options)?;
        warn_of_replaced_schemes(view, &decisions.goals, warnings);
        for (app, own) in &options.forwards {
            if !decisions.forwarded.contains(app) {
                let what = format!("no httpGet probe uses port {app}");
                let why = format!("annotation {FORWARD} forwards {own} to it all the same");
                warnings.push(format!("{what}: {why}").into());
            }
        }
        let what = decisions.describe();
        let command = Command::new(view, options, decisions.table);
        command
            .check(options)
            .map_err(|error| messages::config_error(*error, view))?;
        let intended = sidecar::container(options, &command, free_port_name(view));
        let volume = sidecar::volume(options);
        let mut applied = reconcile::settings_of(&intended);
        let forwards = options.forwards.iter().map(|(_, own)| *own);
        let ports = [options.status_port].into_iter().chain(forwards);
        applied["ports"] = ports.collect();
        if volume.is_some() {
            applied["volume"] = true.into();
        }
        Ok(Self {
            goals: decisions.goals,
            list: match options.sidecar {
                Sidecar::Native => LISTS[0],
                Sidecar::Container => LISTS[1],
            },
            sidecar: match view.sidecar {
                Some(current) => {
                    let saved = view.saved.as_ref().and_then(|saved| saved.sidecar.as_ref());
                    reconcile::sidecar(current, &intended, saved)
                }
                None => intended,
            },
            applied,
            volume: volume.map(|intended| match view.injected_item("volumes") {
                Some(index) => reconcile::volume(&view.pod["spec"]["volumes"][index], &intended),
                None => intended,
            }),
            excluded_ports: excluded_ports(options),
            what,
        })
    }
}

/// Why a probe that goes to the sidecar can be neither kept nor restored.
pub(super) fn lacks_original(probe: &str) -> String {
    format!(
        "{probe} has a port or a path of the sidecar, and annotation probelet.dev/original has no original that fits: \
         write the probe as it was before injection, or start again from the manifest as it was before"
    )
}

/// A name for the status port that no other port of the pod has.
fn free_port_name(view: &PodView<'_>) -> Option<&'static str> {
    let is_free = |name: &&&str| {
        let mut containers = view.containers.iter();
        !containers.any(|container| container.has_port_name(name))
    };
    let names = ["probelet", "probelet-status"];
    names.iter().find(is_free).copied()
}

/// The agent's ports that Istio's traffic rules do not leave out by themselves.
fn excluded_ports(options: &PodOptions) -> Vec<u16> {
    let status = [options.status_port].into_iter();
    let forwards = options.forwards.iter().map(|(_, own)| *own);
    status
        .filter(|port| *port != DEFAULT_STATUS_PORT)
        .chain(forwards)
        .collect()
}
