//! Orphans: probes that point at the injected sidecar and have no saved original. A person or another tool may have
//! changed the pod since injection.

use super::PodView;
use super::collections::SpecList;
use super::containers::SIDECAR_NAME;
use super::istio::IstioAgent;
use super::probe_kind::ProbeKind;
use super::probes::{Probe, is_agent_path};
use crate::inject::annotation_names::ORIGINAL_ANNOTATION;
use serde_json::Value;

impl PodView<'_> {
    /// Checks that the pod has no orphan.
    ///
    /// # Errors
    /// Names the orphan, and what to do.
    pub(in crate::inject) fn check_orphans(&self) -> Result<(), String> {
        let istio = self.istio_agent();
        let mut probes = self.probes.iter();
        match probes.find(|probe| self.is_orphan(probe, istio.as_ref())) {
            None => Ok(()),
            Some(orphan) => Err(error(&orphan.label)),
        }
    }

    fn is_orphan(&self, probe: &Probe<'_>, istio: Option<&IstioAgent>) -> bool {
        let Some(saved) = &self.saved else {
            return false;
        };
        let Some(get) = probe.http_get(&self.port_names) else {
            return false;
        };
        if probe.is_injected() {
            return false;
        }
        let points_at_agent = self.agent_ports.contains(&get.port)
            || self.agent_ports.is_empty() && is_agent_path(get.path);
        let clashing_port = istio.and_then(|istio| istio.clashing_port);
        let is_clashing = clashing_port == Some(get.port);
        if points_at_agent && !is_clashing {
            return true;
        }
        if let Some(port) = istio.and_then(|istio| istio.target_port(get.path)) {
            return self.agent_ports.contains(&port);
        }
        let saved = saved.probes.get(&*probe.key);
        if is_clashing {
            return saved.is_some();
        }
        // Only the port was changed: the path is still the agent's. Istio also replaces the path of a forwarded probe.
        let is_replaced = saved.is_some_and(|saved| match saved.is_rewritten() {
            true => !saved.has_path(get.path),
            false => istio.is_some(),
        });
        is_replaced && *get.path == *probe.path
    }

    /// Checks that the pod has no orphan after its edits. Includes containers that kubelet does not probe.
    /// `is_injected` says whether the edited pod's probe with this key is meant to point at the sidecar.
    ///
    /// # Errors
    /// Names the orphan, and what to do.
    pub(in crate::inject) fn check_orphans_after_edits(
        &self,
        edited: &Value,
        is_injected: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let Some(saved) = &self.saved else {
            return Ok(());
        };
        // Istio's agent answers the same paths on this port; `check_orphans` has checked these probes.
        let clashing_port = self.clashing_port();
        let lists = SpecList::OF_CONTAINERS.into_iter();
        let containers = lists.filter_map(|list| edited["spec"][list.key()].as_array());
        for container in containers
            .flatten()
            .filter(|item| item["name"] != SIDECAR_NAME)
        {
            let name = container["name"].as_str();
            for kind in ProbeKind::ALL {
                let Some(probe) = kind.find(container) else {
                    continue;
                };
                let get = &probe["httpGet"];
                let port = self.port_names.resolve(&get["port"]);
                let port = port.filter(|port| clashing_port != Some(*port));
                let is_agent_port = port.is_some_and(|port| self.agent_ports.contains(&port));
                let has_host = get["host"].as_str().is_some_and(|host| !host.is_empty());
                let key = kind.key(name.unwrap_or_default());
                if is_agent_port
                    && !is_injected(&key)
                    && (!has_host || saved.probes.contains_key(&*key))
                {
                    let name = name.unwrap_or("a container without a name");
                    return Err(error(&format!("{} of {name}", kind.field())));
                }
            }
        }
        Ok(())
    }
}

fn error(label: &str) -> String {
    format!(
        "{label} points at the sidecar, but annotation {ORIGINAL_ANNOTATION} has no matching original: restore the probe as it \
         was before injection, or inject the original manifest again"
    )
}
