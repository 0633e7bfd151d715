//! The controllers of an input: which have all their pods, the pod templates of others, and which own pods that are in the
//! input.

use super::pod_template::PodTemplate;
use crate::inject::{Report, Verdict};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// The controllers of an input.
#[derive(Default)]
pub(super) struct Controllers {
    /// By namespace and name, such as `replicaset/web-5d4`: whether all its pods have been created.
    are_complete: HashMap<(Box<str>, Box<str>), bool>,
    /// In the same way, the pod templates of controllers that lack pods, reduced, as JSON: a value takes ten times the memory.
    templates: HashMap<(Box<str>, Box<str>), Box<str>>,
    /// Their kinds, such as `replicaset`.
    kinds: HashSet<Box<str>>,
    /// By the uid of a controller, the uids of its owners.
    owners: HashMap<Box<str>, Vec<Box<str>>>,
    /// The uids of the owners of pods.
    pod_owners: HashSet<Box<str>>,
}

impl Controllers {
    /// Adds the owners of a pod. Returns the bytes that it stores.
    pub(super) fn add_pod(&mut self, pod: &Value) -> usize {
        let mut bytes = 0;
        for owner in owners(pod) {
            if self.pod_owners.insert(owner.into()) {
                bytes += owner.len();
            }
        }
        bytes
    }

    /// Adds a controller that the cluster has. Returns the bytes that it stores.
    pub(super) fn add_controller(
        &mut self,
        controller: &Value,
        namespace: &str,
        report: &Report,
    ) -> usize {
        let name = &*report.name;
        let (Some(uid), Some((kind, _))) = (uid(controller), name.split_once('/')) else {
            return 0;
        };
        let owners: Vec<Box<str>> = owners(controller).map(Into::into).collect();
        let owner_bytes: usize = owners.iter().map(|owner| owner.len()).sum();
        self.kinds.insert(kind.into());
        self.owners.insert(uid.into(), owners);
        let key = (namespace.into(), name.into());
        let is_complete = has_all_pods(controller, kind);
        let mut template_bytes = 0;
        if !is_complete {
            let would_be_edited = matches!(report.verdict, Verdict::Edited { .. });
            let template = PodTemplate::of(&controller["spec"]["template"], would_be_edited);
            let template = template.into_json();
            template_bytes = template.len();
            self.templates.insert(Clone::clone(&key), template);
        }
        self.are_complete.insert(key, is_complete);
        namespace.len() + name.len() + uid.len() + owner_bytes + template_bytes
    }

    /// The pod template of a controller that lacks pods, reduced, as JSON.
    pub(super) fn template(&self, namespace: &str, name: &str) -> Option<&str> {
        let key = (namespace.into(), name.into());
        self.templates.get(&key).map(|template| &**template)
    }

    /// Whether a controller may lack pods: it does according to its status, or the input has none of its kind.
    pub(super) fn may_lack_pods(&self, namespace: &str, name: &str) -> bool {
        let kind = name.split('/').next().unwrap_or_default();
        let key = (namespace.into(), name.into());
        match self.are_complete.get(&key) {
            Some(is_complete) => !is_complete,
            // It has been deleted.
            None => !self.kinds.contains(kind),
        }
    }

    /// The uids of the controllers that own pods of the input, also through other controllers.
    pub(super) fn uids_with_pods(&self) -> HashSet<&str> {
        let mut found = HashSet::new();
        let mut next: Vec<&str> = self.pod_owners.iter().map(|uid| &**uid).collect();
        while let Some(uid) = next.pop() {
            if found.insert(uid) {
                let owners = self.owners.get(uid).into_iter().flatten();
                next.extend(owners.map(|uid| &**uid));
            }
        }
        found
    }
}

/// The uid of a resource that the cluster has.
pub(super) fn uid(resource: &Value) -> Option<&str> {
    resource["metadata"]["uid"].as_str()
}

/// The uid of a resource's controller.
pub(super) fn controller(resource: &Value) -> Option<&str> {
    let owners = resource["metadata"]["ownerReferences"].as_array();
    let mut owners = owners.into_iter().flatten();
    owners.find(|owner| owner["controller"] == true)?["uid"].as_str()
}

/// The uids of a resource's owners.
pub(super) fn owners(resource: &Value) -> impl Iterator<Item = &str> {
    let owners = resource["metadata"]["ownerReferences"].as_array();
    let owners = owners.into_iter().flatten();
    owners.filter_map(|owner| owner["uid"].as_str())
}

/// Whether all pods have been created, as far as the status of a DaemonSet, a Job, or a kind with replicas says.
fn has_all_pods(controller: &Value, kind: &str) -> bool {
    let (spec, status) = (&controller["spec"], &controller["status"]);
    let number = |value: &Value, missing: u64| value.as_u64().unwrap_or(missing);
    if let Some(desired) = status["desiredNumberScheduled"].as_u64() {
        return number(&status["currentNumberScheduled"], 0) >= desired;
    }
    if kind == "job" {
        return number(&status["active"], 0) + number(&status["succeeded"], 0) > 0;
    }
    number(&status["replicas"], 0) >= number(&spec["replicas"], 1)
}
