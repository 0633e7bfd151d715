//! The kinds of resources that have pods, and where the pods are.

use super::kind_templates::{
    FoundTemplate, KNATIVE, KNATIVE_GROUP, KindName, KindTemplate, KindTemplates, TemplatePath,
    find_templates,
};
use crate::manifest::Pointer;
#[cfg(feature = "inject")]
use core::fmt::Display;
use serde_json::Value;

/// A resource of a document. One of a kind with several pod templates is there once for each.
pub(super) struct Resource {
    /// `deployment/web`
    pub(super) name: Box<str>,
    pub(super) namespace: Option<Box<str>>,
    /// Its pointer in the document.
    pub(super) pointer: Pointer,
    pub(super) pods: Pods,
}

/// The pods of a resource.
pub(super) enum Pods {
    /// None, or its kind has no pods.
    None,
    /// The kind is known, and the resource has no pod template at this path.
    Missing(Box<str>),
    /// A pod or a pod template of a known kind.
    Known(PodLocation),
    /// Pod templates in a resource of an unknown kind.
    Unknown(UnknownKind),
}

/// Where a pod is in a document.
pub(super) struct PodLocation {
    /// The pointer of the object with the pod's `metadata` and `spec`.
    pub(super) pod: Pointer,
    /// The pointers of the objects whose `metadata` is not the pod's.
    pub(super) owners: Vec<Pointer>,
    /// Whether the pods run to completion.
    pub(super) runs_to_completion: bool,
}

/// A kind that is not known, of a resource with pod templates.
pub(super) struct UnknownKind {
    /// Where the pod templates are, and what to write.
    pub(super) advice: Box<str>,
    /// The pointers of the pod templates in the document.
    pub(super) templates: Vec<Pointer>,
}

/// A kind that is always known.
struct Kind {
    name: &'static str,
    /// The API groups of the kind, with former ones. A resource without an `apiVersion` matches too.
    groups: &'static [&'static str],
    /// The keys from the resource to the object with the pod's `metadata` and `spec`.
    pod: &'static [&'static str],
    /// The keys to the objects whose `metadata` is not the pod's.
    owners: &'static [&'static [&'static str]],
    /// Whether its pods run to completion.
    runs_to_completion: bool,
}

/// Paths of an unknown kind that its line has.
const DESCRIBED_PATHS: usize = 4;

const APPS: &[&str] = &["apps", "extensions"];

const KINDS: [Kind; 9] = [
    Kind {
        name: "Pod",
        groups: &[""],
        pod: &[],
        owners: &[],
        runs_to_completion: false,
    },
    Kind {
        pod: &["template"],
        ..workload("PodTemplate", &[""])
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

/// The resources of a document: the items of a List, and of Lists in it, else the document. `templates` makes further
/// kinds known.
pub(super) fn resources(document: &Value, templates: &KindTemplates) -> Vec<Resource> {
    let mut found = Vec::new();
    visit(
        document,
        &Pointer::root(),
        "",
        &mut |resource, kind, pointer| collect(resource, templates, pointer, kind, &mut found),
    );
    found
}

/// Checks a kind of the settings, and returns what to write instead.
pub(super) fn check_addition(addition: &KindTemplate) -> Result<(), &'static str> {
    if *addition.kind.group == *KNATIVE_GROUP && !addition.has_no_pods() {
        return Err(KNATIVE);
    }
    let is_known = |kind: &&Kind| {
        let mut groups = kind.groups.iter();
        groups.any(|group| addition.kind.is(kind.name, Some(group)))
    };
    match KINDS.iter().find(is_known) {
        Some(kind) if !addition.is_at(kind.pod) => {
            Err("another kind: the pod templates of this one are known")
        }
        _ => Ok(()),
    }
}

/// Visits the resources of a document, each with its kind and its pointer. `default_kind` is for the items of a typed list,
/// such as a DeploymentList, which may have none.
fn visit(
    value: &Value,
    pointer: &Pointer,
    default_kind: &str,
    found: &mut dyn FnMut(&Value, &str, &Pointer),
) {
    let kind = text(value, "kind").unwrap_or(default_kind);
    if let (Some(item_kind), Some(items)) = (kind.strip_suffix("List"), value["items"].as_array()) {
        for (index, item) in items.iter().enumerate() {
            let pointer = pointer.join_key("items").join_index(index);
            visit(item, &pointer, item_kind, found);
        }
        return;
    }
    found(value, kind, pointer);
}

/// Collects a resource.
fn collect(
    value: &Value,
    templates: &KindTemplates,
    pointer: &Pointer,
    kind: &str,
    found: &mut Vec<Resource>,
) {
    let metadata = &value["metadata"];
    let name = text(metadata, "name").or_else(|| text(metadata, "generateName"));
    let name = match (kind.to_lowercase(), name) {
        (kind, Some(name)) => format!("{kind}/{name}"),
        (kind, None) => kind,
    };
    let all_pods = find_pods(value, kind, templates, pointer);
    let is_only = all_pods.len() == 1;
    for (path, pods) in all_pods {
        let name = match is_only {
            true => name.clone(),
            false => format!("{name} ({path})"),
        };
        found.push(Resource {
            name: name.into(),
            namespace: text(metadata, "namespace").map(Into::into),
            pointer: pointer.clone(),
            pods,
        });
    }
}

/// The group of a resource; `None` without an `apiVersion`.
fn group_of(resource: &Value) -> Option<&str> {
    let api_version = text(resource, "apiVersion")?;
    Some(api_version.split_once('/').map_or("", |(group, _)| group))
}

/// Kinds of the settings that no resource has had yet.
#[cfg(feature = "inject")]
#[derive(Debug)]
pub(crate) struct UnmatchedKinds(Vec<KindTemplate>);

#[cfg(feature = "inject")]
impl UnmatchedKinds {
    /// All kinds of these settings.
    pub(crate) fn new(templates: &KindTemplates) -> Self {
        Self(templates.iter().cloned().collect())
    }

    /// Removes the kinds of the resources of a document.
    pub(crate) fn observe(&mut self, document: &Value) {
        if self.0.is_empty() {
            return;
        }
        visit(document, &Pointer::root(), "", &mut |resource, kind, _| {
            let group = group_of(resource);
            self.0.retain(|template| !template.kind.is(kind, group));
        });
    }

    /// The kinds, each with its path as in `--kind-template`.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn Display> {
        self.0.iter().map(|template| template as &dyn Display)
    }
}

/// The pods of a resource, each with its path, and [`Pods::None`] if it has none.
fn find_pods(
    resource: &Value,
    kind: &str,
    templates: &KindTemplates,
    pointer: &Pointer,
) -> Vec<(String, Pods)> {
    let group = group_of(resource);
    let only = |pods: Pods| vec![(String::new(), pods)];
    if let Some(known) = known_kind(kind, group) {
        return only(Pods::Known(PodLocation {
            pod: pointer.join_keys(known.pod),
            owners: known
                .owners
                .iter()
                .map(|keys| pointer.join_keys(keys))
                .collect(),
            runs_to_completion: known.runs_to_completion,
        }));
    }
    match templates.paths_of(kind, group) {
        Some(paths) => {
            let pods = paths.into_iter();
            let pods: Vec<_> = pods
                .flat_map(|path| pods_at(path, resource, pointer))
                .collect();
            match pods.is_empty() {
                true => only(Pods::None),
                false => pods,
            }
        }
        None => {
            only(unknown_kind(resource, kind, group, pointer).map_or(Pods::None, Pods::Unknown))
        }
    }
}

fn known_kind(name: &str, group: Option<&str>) -> Option<&'static Kind> {
    let kind = KINDS.iter().find(|kind| kind.name == name)?;
    group
        .is_none_or(|group| kind.groups.contains(&group))
        .then_some(kind)
}

/// The pod templates at a path of the settings.
fn pods_at(path: &TemplatePath, resource: &Value, pointer: &Pointer) -> Vec<(String, Pods)> {
    let found = path.pointers(resource);
    if found.is_empty() {
        let path = path.to_string();
        return vec![(path.clone(), Pods::Missing(path.into()))];
    }
    let pods = |(index, template): (usize, Vec<_>)| {
        // An annotation of the resource is reported once.
        let has_owner = index == 0 && !template.is_empty();
        let location = PodLocation {
            pod: pointer.join(&template),
            owners: has_owner.then(|| pointer.clone()).into_iter().collect(),
            runs_to_completion: false,
        };
        let path = TemplatePath::describe(&template);
        (path, Pods::Known(location))
    };
    found.into_iter().enumerate().map(pods).collect()
}

/// The pod templates in a resource of a kind that is not known.
fn unknown_kind(
    resource: &Value,
    kind: &str,
    group: Option<&str>,
    pointer: &Pointer,
) -> Option<UnknownKind> {
    let found = match kind {
        "" => Vec::new(),
        // A revision of a DaemonSet or a StatefulSet, which no pod is created from.
        "ControllerRevision" => Vec::new(),
        _ => find_templates(resource),
    };
    let mut paths: Vec<&TemplatePath> = Vec::new();
    for FoundTemplate { path, .. } in &found {
        if paths.len() < DESCRIBED_PATHS && !paths.contains(&path) {
            paths.push(path);
        }
    }
    let first = paths.first()?;
    let place = match first.is_resource() {
        true => "is a pod template".into(),
        false => {
            let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
            format!("has a pod template at {}", paths.join(" and "))
        }
    };
    let name = KindName::of(kind, group);
    let advice = if group == Some(KNATIVE_GROUP) {
        format!(
            "{kind} {place}, in which Knative rejects init containers and more than one port: label the namespace for the \
             webhook, which injects the pods, or write --kind-template {name}=none"
        )
    } else if paths.iter().all(|path| path.is_writable()) {
        let flags = paths
            .iter()
            .map(|path| format!("--kind-template {name}={path}"));
        let flags: Vec<String> = flags.collect();
        format!(
            "{kind} {place} and is not a known kind: write {}",
            flags.join(" ")
        )
    } else {
        format!(
            "{kind} {place} and is not a known kind: label the namespace for the webhook, which injects the pods, or write \
             --kind-template {name}=none"
        )
    };
    Some(UnknownKind {
        advice: advice.into(),
        templates: found
            .iter()
            .map(|found| pointer.join(&found.pointer))
            .collect(),
    })
}

/// A string that is not blank.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value
        .get(key)?
        .as_str()
        .filter(|text| !text.trim().is_empty())
}
