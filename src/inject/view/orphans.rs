//! Orphans: probes that point at the injected sidecar and have no saved original. A person or another tool may have
//! changed the pod since injection.

use super::PodView;
use super::collections::SpecList;
use super::containers::SIDECAR_NAME;
use super::probe_kind::ProbeKind;
use super::probes::{Probe, is_agent_path};
use super::saved::ORIGINAL_ANNOTATION;
use serde_json::Value;

impl PodView<'_> {
    /// Checks that the pod has no orphan.
    ///
    /// # Errors
    /// Names the orphan, and what to do.
    pub(in crate::inject) fn check_orphans(&self) -> Result<(), String> {
        // Its agent answers the same paths on the same port.
        if self.is_injected_by_istio() {
            return Ok(());
        }
        match self.probes.iter().find(|probe| self.is_orphan(probe)) {
            None => Ok(()),
            Some(orphan) => Err(error(&orphan.label)),
        }
    }

    fn is_orphan(&self, probe: &Probe<'_>) -> bool {
        let Some(saved) = &self.saved else {
            return false;
        };
        let Some(get) = probe.http_get(&self.port_names) else {
            return false;
        };
        let points_at_agent = self.agent_ports.contains(&get.port)
            || self.agent_ports.is_empty() && is_agent_path(get.path);
        // Only the port was changed: the path is still the agent's.
        let has_agent_path = || {
            let saved = saved.probes.get(&*probe.key);
            saved.is_some_and(|saved| saved.is_rewritten() && !saved.has_path(get.path))
                && *get.path == *probe.path
        };
        !probe.is_injected() && (points_at_agent || has_agent_path())
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
        if self.is_injected_by_istio() {
            return Ok(());
        }
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
