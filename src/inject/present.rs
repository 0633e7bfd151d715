//! A pod as it is found: whether it is injected, and what an earlier injection left in it.

use super::original::{self, Record};
use super::probes::{LISTS, OURS, Slot};
use super::sidecar::{STATUS_PORT, VOLUME};
use super::table::VARIABLE;
use serde_json::Value;

/// A pod as it is found.
pub(super) struct Present<'a> {
    pub(super) pod: &'a Value,
    /// What it was; there is one if it is injected.
    pub(super) record: Option<Record>,
    /// The ports that the agent in it listens on, if it is there.
    ports: Option<Vec<u16>>,
}

impl<'a> Present<'a> {
    /// # Errors
    /// Why the record cannot be read, and what to do.
    pub(super) fn read(pod: &'a Value) -> Result<Self, Box<str>> {
        let annotation = pod["metadata"]["annotations"].get(original::ANNOTATION);
        let record = annotation.map(Record::read).transpose()?;
        let mut present = Self {
            pod,
            record,
            ports: None,
        };
        present.ports = present.container().map(ports);
        Ok(present)
    }

    /// Where the list has our item: a container, or a volume.
    pub(super) fn ours(&self, list: &str) -> Option<usize> {
        self.record.as_ref()?;
        let name = if list == "volumes" { VOLUME } else { OURS };
        let mut items = self.pod["spec"][list].as_array()?.iter();
        items.position(|item| item["name"] == name)
    }

    /// Our container.
    pub(super) fn container(&self) -> Option<&'a Value> {
        let found = LISTS.iter().find_map(|list| Some((list, self.ours(list)?)));
        found.map(|(list, index)| &self.pod["spec"][list][index])
    }

    /// The ports that probes may go to without the mesh: those of forwards, and a status port of its own.
    pub(super) fn excluded(&self) -> Vec<u16> {
        let ports = self.ports.iter().flatten().copied();
        ports.filter(|port| *port != STATUS_PORT).collect()
    }

    /// The probers in our container.
    pub(super) fn table(&self) -> Value {
        let env = self
            .container()
            .and_then(|container| container["env"].as_array());
        let table = env
            .into_iter()
            .flatten()
            .find(|var| var["name"] == VARIABLE);
        let text = table.and_then(|table| table["value"].as_str());
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// Whether a probe is as injection left it: if it was changed since, it is what its owner wants now.
    pub(super) fn is_left(&self, slot: &Slot<'_>) -> bool {
        let (Some(record), Some(("httpGet", get))) = (&self.record, slot.handler()) else {
            return false;
        };
        let place = format!("{}.httpGet", slot.key);
        let is_port = |ports: &Vec<u16>| {
            let port = get.get("port").and_then(Value::as_u64);
            ports.iter().any(|own| port == Some(u64::from(*own)))
        };
        let is_path = || get.get("path").is_some_and(|path| *path == *slot.path);
        (record.get(&place).is_some() || record.has_below(&place))
            && self.ports.as_ref().is_none_or(is_port)
            && (record.get(&format!("{place}.path")).is_none() || is_path())
    }
}

/// By its arguments.
fn ports(container: &Value) -> Vec<u16> {
    let args = container["args"].as_array();
    let args = args.into_iter().flatten().filter_map(Value::as_str);
    let mut status = STATUS_PORT;
    let mut ports = Vec::new();
    for arg in args {
        if let Some(port) = arg.strip_prefix("--status-port=") {
            status = port.parse().unwrap_or(status);
        }
        let forward = arg
            .strip_prefix("--forward=")
            .and_then(|arg| arg.split_once('='));
        ports.extend(forward.and_then(|(listen, _)| listen.parse::<u16>().ok()));
    }
    ports.insert(0, status);
    ports
}
