//! The kinds of resources that have pods, and where in them the pod is.

use crate::manifest::Pointer;
use serde_json::Value;

/// A document's resource, or a List's.
pub(super) struct Resource {
    /// `deployment/web`
    pub(super) name: Box<str>,
    pub(super) namespace: Option<Box<str>>,
    /// Its place in the document.
    pub(super) at: Pointer,
    /// Where it has its pod, if it has one.
    pub(super) kind: Option<&'static Kind>,
}

/// A kind that has pods.
pub(super) struct Kind {
    name: &'static str,
    /// Groups of the API that have it, the older ones too; what has none is taken as well.
    groups: &'static [&'static str],
    /// The way to the object that has the pod's `metadata` and `spec`.
    pub(super) pod: &'static [&'static str],
    /// Objects on that way with a `metadata` that is not the pod's.
    pub(super) above: &'static [&'static [&'static str]],
    /// Its pods run to an end.
    pub(super) ends: bool,
}

const TEMPLATE: &[&str] = &["spec", "template"];
const APPS: &[&str] = &["apps", "extensions"];
const ITSELF: &[&[&str]] = &[&[]];

const KINDS: [Kind; 8] = [
    Kind {
        name: "Pod",
        groups: &[""],
        pod: &[],
        above: &[],
        ends: false,
    },
    lasting("ReplicationController", &[""]),
    lasting("Deployment", APPS),
    lasting("DaemonSet", APPS),
    lasting("ReplicaSet", APPS),
    lasting("StatefulSet", APPS),
    Kind {
        ends: true,
        ..lasting("Job", &["batch"])
    },
    Kind {
        name: "CronJob",
        groups: &["batch"],
        pod: &["spec", "jobTemplate", "spec", "template"],
        above: &[&[], &["spec", "jobTemplate"]],
        ends: true,
    },
];

const fn lasting(name: &'static str, groups: &'static [&'static str]) -> Kind {
    Kind {
        name,
        groups,
        pod: TEMPLATE,
        above: ITSELF,
        ends: false,
    }
}

/// The resources of a document: itself, or a List's items, theirs too.
pub(super) fn resources(document: &Value) -> Vec<Resource> {
    let mut found = Vec::new();
    collect(document, Pointer::root(), "", &mut found);
    found
}

/// Items of a typed list, such as a DeploymentList, may leave out their kind.
fn collect(value: &Value, at: Pointer, of_list: &str, found: &mut Vec<Resource>) {
    let kind = text(value, "kind").unwrap_or(of_list);
    if let (Some(of_list), Some(items)) = (kind.strip_suffix("List"), value["items"].as_array()) {
        for (index, item) in items.iter().enumerate() {
            collect(item, at.join_key("items").join_index(index), of_list, found);
        }
        return;
    }
    let metadata = &value["metadata"];
    let own = text(metadata, "name").or_else(|| text(metadata, "generateName"));
    let name = match (kind.to_lowercase(), own) {
        (kind, Some(own)) => format!("{kind}/{own}"),
        (kind, None) => kind,
    };
    found.push(Resource {
        name: name.into(),
        namespace: text(metadata, "namespace").map(Into::into),
        at,
        kind: known(kind, text(value, "apiVersion")),
    });
}

fn known(kind: &str, version: Option<&str>) -> Option<&'static Kind> {
    let known = KINDS.iter().find(|known| known.name == kind)?;
    let group = version.map(|version| version.split_once('/').map_or("", |(group, _)| group));
    group
        .is_none_or(|group| known.groups.contains(&group))
        .then_some(known)
}

/// A text that is not empty.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value
        .get(key)?
        .as_str()
        .filter(|text| !text.trim().is_empty())
}
