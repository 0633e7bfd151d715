//! A pod as it is, read-only: its containers, its probes with their originals, and the sidecar of an earlier
//! injection.
//!
//! A probe counts as injected only while it still goes to the agent as injection left it. Any other probe is its
//! owner's, whatever the annotation says.

pub(super) mod containers;
pub(super) mod handler;
pub(super) mod probe_kind;
pub(super) mod probes;
mod renamed;
pub(super) mod saved;

use super::settings::DEFAULT_STATUS_PORT;
use crate::manifest::{Pointer, Source};
use containers::{Container, LISTS, SIDECAR};
use probes::{Original, PortNames, Probe};
use renamed::Renamed;
use saved::{ANNOTATION, Saved};
use serde_json::{Map, Value};

/// The environment variable with the agent's table of probers.
pub(super) const PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";
/// The volume with the files of Secrets.
pub(super) const VOLUME: &str = "probelet-tls";
/// The lists of the spec into which injection puts an item.
pub(super) const SPEC_LISTS: [&str; 3] = [LISTS[0], LISTS[1], "volumes"];

/// A pod as it is.
pub(super) struct PodView<'a> {
    /// The object with the pod's `metadata` and `spec`.
    pub(super) pod: &'a Value,
    /// What injection saved; none if the pod is not injected.
    pub(super) saved: Option<Saved>,
    /// The containers, less the injected sidecar.
    pub(super) containers: Vec<Container<'a>>,
    /// The probes and hooks of containers that kubelet probes, less those of sidecars of an injector.
    pub(super) probes: Vec<Probe<'a>>,
    /// The injected sidecar.
    pub(super) sidecar: Option<&'a Value>,
    /// The ports on which the injected sidecar listens, or did when the pod was injected; the status port first.
    pub(super) agent_ports: Vec<u16>,
    /// The port names of the injected sidecar.
    pub(super) port_names: PortNames,
    source: &'a dyn Source,
    /// Its place in the document.
    at: &'a Pointer,
}

impl<'a> PodView<'a> {
    /// Reads the pod at a place of a document.
    ///
    /// # Errors
    /// The saved originals cannot be read, or do not say which probe they belong to.
    pub(super) fn read(
        pod: &'a Value,
        source: &'a dyn Source,
        at: &'a Pointer,
    ) -> Result<Self, String> {
        let annotation = pod["metadata"]["annotations"].get(ANNOTATION);
        let saved = annotation.map(Saved::read).transpose()?;
        let is_injected = saved.is_some();
        let is_sidecar = |container: &Container<'_>| is_injected && container.name == SIDECAR;
        let all = containers::containers(pod);
        let (sidecars, containers): (Vec<_>, Vec<_>) = all.partition(is_sidecar);
        let probed = containers.iter();
        let probed = probed.filter(|container| container.is_probed() && !container.is_agent());
        let sidecar = sidecars.first().map(|container| container.value);
        let mut view = Self {
            pod,
            probes: probed.flat_map(probes::probes).collect(),
            containers,
            agent_ports: agent_ports(sidecar, saved.as_ref()),
            port_names: PortNames::of(sidecar),
            sidecar,
            saved,
            source,
            at,
        };
        view.restore_originals()?;
        Ok(view)
    }

    /// Gives each injected probe its saved original.
    fn restore_originals(&mut self) -> Result<(), String> {
        let Some(saved) = &self.saved else {
            return Ok(());
        };
        let renamed = Renamed::find(
            saved,
            &self.containers,
            &self.probes,
            &self.agent_ports,
            &self.port_names,
        )?;
        let table = self.table();
        for probe in &mut self.probes {
            let Some((handler, port, path)) = probe.http_get(&self.port_names) else {
                continue;
            };
            let name = renamed.saved_name(probe.container.name);
            let Some(saved) = saved.probes.get(&*probe.key_for(name)) else {
                continue;
            };
            let saved_path = probe.path_for(name);
            let is_agents = match saved.is_rewritten() {
                true => path == saved_path,
                // What goes to the status port has a path there.
                false => self.agent_ports.first() != Some(&port),
            };
            // 0.1.0 did not save its ports: without the sidecar each port may be one.
            let may_be_agents = self.agent_ports.is_empty() || self.agent_ports.contains(&port);
            if !is_agents || !may_be_agents {
                continue;
            }
            let prober = table.get(&*saved_path);
            let original = Original::of_saved(&handler, saved, &saved_path, |kind, field| {
                prober?.get(kind.key())?.get(field).cloned()
            });
            probe.original = Ok(original.map_err(|field| {
                format!(
                    "annotation {ANNOTATION} lacks the {field} of {}: start again from the manifest as it was \
                     before",
                    probe.label
                )
            })?);
        }
        Ok(())
    }

    /// A probe that has a path or a port of the injected sidecar, and cannot be matched with a saved original.
    pub(super) fn orphan(&self) -> Option<&Probe<'a>> {
        let saved = self.saved.as_ref()?;
        self.probes.iter().find(|probe| {
            let Some((_, port, path)) = probe.http_get(&self.port_names) else {
                return false;
            };
            let goes_to_agent = self.agent_ports.contains(&port)
                || self.agent_ports.is_empty() && probes::is_agent_path(path);
            // A person changed the port alone: the path is not the app's.
            let has_agent_path = || {
                let saved = saved.probes.get(&*probe.key);
                saved.is_some_and(|saved| saved.is_rewritten() && !saved.has_path(path))
                    && *path == *probe.path
            };
            !probe.is_injected() && (goes_to_agent || has_agent_path())
        })
    }

    /// The index of the injected item in one of the lists of the spec: a container, or the volume.
    pub(super) fn injected_item(&self, list: &str) -> Option<usize> {
        let saved = self.saved.as_ref()?;
        let name = if list == "volumes" { VOLUME } else { SIDECAR };
        if list == "volumes" && !saved.has_volume() {
            return None;
        }
        let mut items = self.pod["spec"][list].as_array()?.iter();
        items.position(|item| item["name"] == name)
    }

    /// The table of probers in the injected sidecar; empty if it cannot be read.
    pub(super) fn table(&self) -> Map<String, Value> {
        let text = self.sidecar.and_then(table_text);
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// The value of an annotation.
    pub(super) fn annotation(&self, name: &str) -> Option<&'a Value> {
        self.pod["metadata"]["annotations"].get(name)
    }

    /// The place in the document of a place in the pod.
    pub(super) fn place(&self, in_pod: &Pointer) -> Pointer {
        self.at.join(in_pod.segments())
    }

    /// The source text of the value at a place in the pod.
    pub(super) fn value_text(&self, in_pod: &Pointer) -> Option<Box<str>> {
        self.source.value_text(&self.place(in_pod))
    }

    /// The source text of the key at a place in the pod.
    pub(super) fn key_text(&self, in_pod: &Pointer) -> Option<Box<str>> {
        self.source.key_text(&self.place(in_pod))
    }

    /// The highest place on the way to this one, itself included, whose content is written elsewhere.
    ///
    /// # Errors
    /// That place in the document, if it is above the pod.
    pub(super) fn shared_ancestor(&self, in_pod: &Pointer) -> Result<Option<Pointer>, Pointer> {
        let Some(shared) = self.source.shared_ancestor(&self.place(in_pod)) else {
            return Ok(None);
        };
        match shared.segments().strip_prefix(self.at.segments()) {
            Some(rest) => Ok(Some(Pointer::root().join(rest))),
            None => Err(shared),
        }
    }
}

/// The text of the table of probers in a sidecar.
pub(super) fn table_text(sidecar: &Value) -> Option<&str> {
    let mut variables = sidecar["env"].as_array()?.iter();
    let table = variables.find(|variable| variable["name"] == PROBERS)?;
    table["value"].as_str()
}

/// The ports on which the sidecar listens, by its arguments, and those that the annotation saves: a person may have
/// edited or removed the sidecar.
fn agent_ports(sidecar: Option<&Value>, saved: Option<&Saved>) -> Vec<u16> {
    let mut ports = Vec::new();
    if let Some(sidecar) = sidecar {
        ports.push(DEFAULT_STATUS_PORT);
        let args = sidecar["args"].as_array();
        let args = args.into_iter().flatten().filter_map(Value::as_str);
        for arg in args {
            if let Some(port) = arg.strip_prefix("--status-port=") {
                ports[0] = port.parse().unwrap_or(ports[0]);
            }
            let forward = arg
                .strip_prefix("--forward=")
                .and_then(|arg| arg.split_once('='));
            ports.extend(forward.and_then(|(listen, _)| listen.parse::<u16>().ok()));
        }
    }
    for port in saved.map(Saved::ports).unwrap_or_default() {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports
}
