//! The kinds of resources that have pods, and where the pods are.

use crate::manifest::Pointer;
use serde_json::Value;

/// A resource of a document.
pub(super) struct Resource {
    /// `deployment/web`
    pub(super) name: Box<str>,
    pub(super) namespace: Option<Box<str>>,
    /// Its pointer in the document.
    pub(super) pointer: Pointer,
    /// Its kind, if that has pods.
    pub(super) kind: Option<&'static Kind>,
}

/// A kind that has pods.
pub(super) struct Kind {
    name: &'static str,
    /// The API groups of the kind, with former ones. A resource without an `apiVersion` matches too.
    groups: &'static [&'static str],
    /// The keys from the resource to the object with the pod's `metadata` and `spec`.
    pub(super) pod: &'static [&'static str],
    /// The keys to the objects whose `metadata` is not the pod's.
    pub(super) owners: &'static [&'static [&'static str]],
    /// Whether its pods run to completion.
    pub(super) runs_to_completion: bool,
}

const APPS: &[&str] = &["apps", "extensions"];

const KINDS: [Kind; 8] = [
    Kind {
        name: "Pod",
        groups: &[""],
        pod: &[],
        owners: &[],
        runs_to_completion: false,
    },
    workload("ReplicationController", &[""]),
    workload("Deployment", APPS),
    workload("DaemonSet", APPS),
    workload("ReplicaSet", APPS),
    workload("StatefulSet", APPS),
    Kind {
        runs_to_completion: true,
        ..workload("Job", &["batch"])
    },
    Kind {
        name: "CronJob",
        groups: &["batch"],
        pod: &["spec", "jobTemplate", "spec", "template"],
        owners: &[&[], &["spec", "jobTemplate"]],
        runs_to_completion: true,
    },
];

/// A kind with a pod template in `spec.template`.
const fn workload(name: &'static str, groups: &'static [&'static str]) -> Kind {
    Kind {
        name,
        groups,
        pod: &["spec", "template"],
        owners: &[&[]],
        runs_to_completion: false,
    }
}

/// The resources of a document: the items of a List, and of Lists in it, else the document.
pub(super) fn resources(document: &Value) -> Vec<Resource> {
    let mut found = Vec::new();
    collect(document, Pointer::root(), "", &mut found);
    found
}

/// Collects resources. `default_kind` is for the items of a typed list, such as a DeploymentList, which may have none.
fn collect(value: &Value, pointer: Pointer, default_kind: &str, found: &mut Vec<Resource>) {
    let kind = text(value, "kind").unwrap_or(default_kind);
    if let (Some(item_kind), Some(items)) = (kind.strip_suffix("List"), value["items"].as_array()) {
        for (index, item) in items.iter().enumerate() {
            let pointer = pointer.join_key("items").join_index(index);
            collect(item, pointer, item_kind, found);
        }
        return;
    }
    let metadata = &value["metadata"];
    let name = text(metadata, "name").or_else(|| text(metadata, "generateName"));
    let name = match (kind.to_lowercase(), name) {
        (kind, Some(name)) => format!("{kind}/{name}"),
        (kind, None) => kind,
    };
    found.push(Resource {
        name: name.into(),
        namespace: text(metadata, "namespace").map(Into::into),
        pointer,
        kind: find_kind(kind, text(value, "apiVersion")),
    });
}

fn find_kind(name: &str, api_version: Option<&str>) -> Option<&'static Kind> {
    let kind = KINDS.iter().find(|kind| kind.name == name)?;
    let group = api_version.map(|version| version.split_once('/').map_or("", |(group, _)| group));
    group
        .is_none_or(|group| kind.groups.contains(&group))
        .then_some(kind)
}

/// A string that is not blank.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value
        .get(key)?
        .as_str()
        .filter(|text| !text.trim().is_empty())
}
