//! Containers that were renamed after injection: their probes still have paths with the old name.

use super::containers::Container;
use super::probes::{PortNames, Probe};
use super::saved::Saved;
use crate::inject::annotation_names::ORIGINAL_ANNOTATION;
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};

/// Old names by new name.
pub(super) struct RenamedContainers<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> RenamedContainers<'a> {
    /// Matches saved names that no container has with containers that have no saved name, by the paths and
    /// forwarded ports of their probes.
    ///
    /// # Errors
    /// A container matches several saved names, or several containers match one.
    pub(super) fn find(
        saved: &'a Saved,
        containers: &[Container<'a>],
        probes: &[Probe<'a>],
        agent_ports: &[u16],
        names: &PortNames,
    ) -> Result<Self, String> {
        let current: BTreeSet<&str> = containers.iter().map(|container| container.name).collect();
        let saved_names = saved.probes.keys().filter_map(|key| key.split('.').next());
        let saved_names: BTreeSet<&str> = saved_names.collect();
        let missing: Vec<&str> = saved_names.difference(&current).copied().collect();
        if missing.len() > limits::REVIEW_CONTAINERS {
            return Err(format!(
                "annotation {ORIGINAL_ANNOTATION} has originals of {} containers that the pod does not have: inject the original \
                 manifest again",
                missing.len()
            ));
        }
        let mut renamed = BTreeMap::new();
        for probe in probes {
            let name = probe.container.name;
            if missing.is_empty() || saved_names.contains(name) {
                continue;
            }
            let Some(get) = probe.http_get(names) else {
                continue;
            };
            if !agent_ports.is_empty() && !agent_ports.contains(&get.port) {
                continue;
            }
            let is_match = |old: &&&str| {
                let saved = saved.probes.get(&*probe.key_for(old));
                saved.is_some_and(|saved| !saved.is_rewritten() || get.path == probe.path_for(old))
            };
            let matches: Vec<&&str> = missing.iter().filter(is_match).collect();
            let old = match matches[..] {
                [] => continue,
                [old] => *old,
                _ => return Err(ambiguous(name, &matches)),
            };
            let is_same = renamed.insert(name, old).is_none_or(|other| other == old);
            let mut others = renamed.iter().filter(|(other, _)| **other != name);
            if !is_same || others.any(|(_, taken)| *taken == old) {
                return Err(ambiguous(name, &[&old]));
            }
        }
        Ok(Self(renamed))
    }

    /// The name under which the originals of this container are saved.
    pub(super) fn saved_name<'n>(&self, container: &'n str) -> &'n str
    where
        'a: 'n,
    {
        self.0.get(container).copied().unwrap_or(container)
    }
}

fn ambiguous(container: &str, old: &[&&str]) -> String {
    let old: Vec<&str> = old.iter().map(|name| **name).collect();
    format!(
        "container {container} was renamed after injection, and its originals in annotation {ORIGINAL_ANNOTATION} are ambiguous \
         (saved for {}): restore the old name of the container, or inject the original manifest again",
        old.join(", ")
    )
}
