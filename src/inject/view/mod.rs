//! A pod as it is, read-only: its containers, its probes with their originals, and the sidecar of an earlier
//! injection.
//!
//! A probe counts as injected only while it points at the agent as injection left it. Any other probe belongs to its
//! owner, whatever the annotation has.

pub(super) mod collections;
pub(super) mod containers;
pub(super) mod handler;
pub(super) mod istio;
mod orphans;
pub(super) mod probe_kind;
mod prober_table;
pub(super) mod probes;
mod renamed;
pub(super) mod saved;

use super::agent_args::AgentArgs;
use super::annotation_names::{ORIGINAL_ANNOTATION, STATUS_PORT};
use crate::config::{DEFAULT_STATUS_PORT, parse_port};
use crate::manifest::{Pointer, SourceText};
use collections::SpecList;
use containers::{Container, DeclaredPorts, ISTIO_SIDECAR_NAME, SIDECAR_NAME};
use istio::IstioAgent;
use prober_table::parse_table;
pub(super) use prober_table::{PROBERS, table_text};
use probes::{Original, PortNames, Probe};
use renamed::RenamedContainers;
use saved::Saved;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The environment variable with the pod's address.
pub(super) const POD_IP: &str = "POD_IP";
/// Names of the status port, the preferred one first.
pub(super) const PORT_NAMES: [&str; 2] = ["probelet", "probelet-status"];
/// The annotation that Istio's injector writes.
const ISTIO_STATUS: &str = "sidecar.istio.io/status";
/// The volume with the files of Secrets.
pub(super) const TLS_VOLUME: &str = "probelet-tls";
/// The empty volume that the sidecar mounts in place of the service account's token.
pub(super) const NO_TOKEN_VOLUME: &str = "probelet-no-token";
/// The volume with the workload's certificate, key and CAs.
pub(super) const IDENTITY_VOLUME: &str = "probelet-identity";
/// The names of the injected volumes.
pub(super) const VOLUMES: [&str; 3] = [TLS_VOLUME, IDENTITY_VOLUME, NO_TOKEN_VOLUME];

/// A pod as it is.
pub(super) struct PodView<'a> {
    /// The object with the pod's `metadata` and `spec`.
    pub(super) pod: &'a Value,
    /// The saved originals; none if the pod is not injected.
    pub(super) saved: Option<Saved>,
    /// The containers, without the injected sidecar.
    pub(super) containers: Vec<Container<'a>>,
    pub(super) declared_ports: DeclaredPorts<'a>,
    /// The probes and hooks of containers that kubelet probes. Has those of an injector's sidecar only if an earlier version
    /// saved their originals.
    pub(super) probes: Vec<Probe<'a>>,
    /// The injected sidecar.
    pub(super) sidecar: Option<&'a Value>,
    /// The ports on which the injected sidecar listens, or listened when the pod was injected. The status port is
    /// first.
    pub(super) agent_ports: Vec<u16>,
    /// The port names of the injected sidecar.
    pub(super) port_names: PortNames,
    source: &'a dyn SourceText,
    /// Its pointer in the document.
    pointer: &'a Pointer,
}

impl<'a> PodView<'a> {
    /// Reads the pod at a pointer of a document.
    ///
    /// # Errors
    /// The saved originals cannot be read, or cannot be matched with the probes.
    pub(super) fn read(
        pod: &'a Value,
        source: &'a dyn SourceText,
        pointer: &'a Pointer,
    ) -> Result<Self, String> {
        let annotation = pod["metadata"]["annotations"].get(ORIGINAL_ANNOTATION);
        let saved = annotation.map(Saved::read).transpose()?;
        let is_injected = saved.is_some();
        let is_sidecar = |container: &Container<'_>| is_injected && container.name == SIDECAR_NAME;
        let all = containers::containers(pod);
        let (sidecars, containers): (Vec<_>, Vec<_>) = all.partition(is_sidecar);
        let probed = containers.iter().filter(|container| container.is_probed());
        let is_saved = |probe: &Probe<'_>| {
            let saved = saved.as_ref();
            saved.is_some_and(|saved| saved.probes.contains_key(&probe.key))
        };
        let probes = probed.flat_map(probes::probes);
        let probes =
            probes.filter(|probe| !probe.container.is_injected_sidecar() || is_saved(probe));
        let sidecar = sidecars.first().map(|container| container.value);
        let mut view = Self {
            pod,
            probes: probes.collect(),
            declared_ports: DeclaredPorts::of(&containers),
            containers,
            agent_ports: agent_ports(sidecar, saved.as_ref()),
            port_names: PortNames::of(sidecar),
            sidecar,
            saved,
            source,
            pointer,
        };
        view.restore_originals()?;
        Ok(view)
    }

    /// Sets the saved original of each injected probe.
    fn restore_originals(&mut self) -> Result<(), String> {
        let Some(saved) = &self.saved else {
            return Ok(());
        };
        let renamed = RenamedContainers::find(
            saved,
            &self.containers,
            &self.probes,
            &self.agent_ports,
            &self.port_names,
        )?;
        let table = self.table();
        let istio = self.istio_agent();
        for probe in &mut self.probes {
            let Some(mut get) = probe.http_get(&self.port_names) else {
                continue;
            };
            let istio = istio.as_ref();
            let istio = istio.filter(|istio| istio.clashing_port == Some(get.port));
            let target = istio.and_then(|istio| istio.target_port(get.path));
            let is_target_agent = target.is_some_and(|port| self.agent_ports.contains(&port));
            if target.is_some() && !is_target_agent {
                continue;
            }
            let name = renamed.saved_name(probe.container.name);
            let Some(saved) = saved.probes.get(&*probe.key_for(name)) else {
                continue;
            };
            let saved_path = probe.path_for(name);
            let has_istio_path = istio.is_some() && *get.path == *probe.path;
            let is_via_istio = is_target_agent && has_istio_path;
            // A rewritten probe has the saved path. A forwarded one has any path, but not the status port.
            let matches_saved = match saved.is_rewritten() {
                true => get.path == saved_path,
                false if has_istio_path => is_via_istio,
                false => self.agent_ports.first() != Some(&get.port),
            };
            // Early builds did not save the agent's ports: without the sidecar, any port may be one.
            let may_be_agent_port =
                self.agent_ports.is_empty() || self.agent_ports.contains(&get.port);
            if !matches_saved || !may_be_agent_port {
                continue;
            }
            if let (true, Some(istio)) = (is_via_istio, istio) {
                get.handler = istio.handler_before(&get);
            }
            let prober = table.get(&*saved_path);
            let original = Original::of_saved(&get.handler, saved, &saved_path, |kind, field| {
                prober?.get(kind.key())?.get(field).cloned()
            });
            probe.original = Ok(original.map_err(|field| {
                format!(
                    "annotation {ORIGINAL_ANNOTATION} lacks the {field} of {}: inject the original manifest again",
                    probe.label
                )
            })?);
        }
        Ok(())
    }

    /// The index of the injected item with this name in a list of the spec: of the sidecar, or of a volume.
    pub(super) fn injected_item(&self, list: SpecList, name: &str) -> Option<usize> {
        let saved = self.saved.as_ref()?;
        let is_injected = |item: &Value| match name {
            TLS_VOLUME => saved.has_tls_volume(),
            IDENTITY_VOLUME => saved.has_identity_volume(),
            // Its content identifies it: an injector of an earlier version removes unknown settings from the annotation.
            NO_TOKEN_VOLUME => is_empty_projected(item),
            _ => true,
        };
        let mut items = self.pod["spec"][list.key()].as_array()?.iter();
        items.position(|item| item["name"] == name && is_injected(item))
    }

    /// The table of probers in the injected sidecar; empty if it cannot be parsed.
    pub(super) fn table(&self) -> Map<String, Value> {
        parse_table(self.sidecar.and_then(table_text))
    }

    /// Whether the pod has a container with this name, the injected sidecar left out.
    pub(super) fn has_container(&self, name: &str) -> bool {
        let mut containers = self.containers.iter();
        containers.any(|container| container.name == name)
    }

    /// Whether Istio's injector has injected the pod.
    pub(super) fn is_injected_by_istio(&self) -> bool {
        self.annotation(ISTIO_STATUS).is_some() || self.has_container(ISTIO_SIDECAR_NAME)
    }

    /// Istio's agent, if Istio has injected the pod.
    fn istio_agent(&self) -> Option<IstioAgent> {
        let mut containers = self.containers.iter();
        let sidecar = containers.find(|container| container.name == ISTIO_SIDECAR_NAME);
        let sidecar = sidecar.map(|sidecar| sidecar.value);
        self.is_injected_by_istio()
            .then(|| IstioAgent::new(self.clashing_port(), sidecar))
    }

    /// The port on which both the injected sidecar and Istio's agent listen. Istio does not put a probe that points at it
    /// in its table (`pkg/kube/inject/app_probe.go`: `DumpAppProbers`). A probe that Istio has rewritten from another port
    /// of the sidecar needs the sidecar.
    pub(in crate::inject) fn clashing_port(&self) -> Option<u16> {
        let is_injected = self.saved.is_some() && self.is_injected_by_istio();
        let port = self.annotation(STATUS_PORT).and_then(Value::as_str);
        let port = port.and_then(parse_port).unwrap_or(DEFAULT_STATUS_PORT);
        (is_injected && self.agent_ports.contains(&port)).then_some(port)
    }

    /// The value of an annotation.
    pub(super) fn annotation(&self, name: &str) -> Option<&'a Value> {
        self.pod["metadata"]["annotations"].get(name)
    }

    /// Converts a pointer in the pod to a pointer in the document.
    pub(super) fn pointer_in_document(&self, in_pod: &Pointer) -> Pointer {
        self.pointer.join(in_pod.segments())
    }

    /// The source text of the value at a pointer in the pod.
    pub(super) fn value_text(&self, in_pod: &Pointer) -> Option<Box<str>> {
        self.source.value_text(&self.pointer_in_document(in_pod))
    }

    /// The source text of the key at a pointer in the pod.
    pub(super) fn key_text(&self, in_pod: &Pointer) -> Option<Box<str>> {
        self.source.key_text(&self.pointer_in_document(in_pod))
    }

    /// The outermost shared node on the path to a node of the pod, itself included.
    ///
    /// # Errors
    /// Its pointer in the document, if it is above the pod.
    pub(super) fn outermost_shared(&self, in_pod: &Pointer) -> Result<Option<Pointer>, Pointer> {
        let in_document = self.pointer_in_document(in_pod);
        let Some(shared) = self.source.outermost_shared(&in_document) else {
            return Ok(None);
        };
        match shared.segments().strip_prefix(self.pointer.segments()) {
            Some(rest) => Ok(Some(Pointer::root().join(rest))),
            None => Err(shared),
        }
    }
}

/// Whether a volume is a projected one without files. That of earlier versions has no sources, which the API server stores
/// as null.
fn is_empty_projected(volume: &Value) -> bool {
    let projected = &volume["projected"];
    let is_empty_list =
        |value: &Value| value.is_null() || value.as_array().is_some_and(|items| items.is_empty());
    let is_empty_source = |source: &Value| {
        let members = source.as_object().into_iter().flatten();
        let mut set = members.filter(|(_, value)| !value.is_null());
        set.all(|(name, value)| name == "downwardAPI" && is_empty_list(&value["items"]))
    };
    let sources = &projected["sources"];
    projected.is_object()
        && (sources.is_null()
            || sources
                .as_array()
                .is_some_and(|sources| sources.iter().all(is_empty_source)))
}

/// The ports in the arguments of the sidecar, and those that the annotation saves: a person may have edited or removed
/// the sidecar.
fn agent_ports(sidecar: Option<&Value>, saved: Option<&Saved>) -> Vec<u16> {
    let mut ports = sidecar.map_or_else(Vec::new, |sidecar| AgentArgs::read(sidecar).ports());
    ports.extend(saved.map(Saved::ports).unwrap_or_default());
    let mut seen = HashSet::new();
    ports.retain(|port| seen.insert(*port));
    ports
}
