//! Pods rewritten so that their probes go to the agent: pure functions from a resource's value to the edits it
//! needs. The command line and the webhook both come here, so that a document gets the same from both.
//!
//! One pod's way: `kinds` finds it, `annotations` reads what it wishes, `present` and `original` what an earlier
//! injection left in it; `plan` decides on the pod as it was before that, by `judge`'s word on each of its
//! `probes`, and makes the `sidecar` with its `table`; `merge` tells the edits from how it is to how it is to be.

mod aliases;
mod annotations;
mod collections;
mod handlers;
mod judge;
mod kinds;
mod merge;
mod metadata;
mod original;
mod plan;
mod present;
mod probes;
mod settle;
mod sidecar;
mod table;
mod told;
pub mod values;
mod version;
mod words;

use crate::document::{Edit, Pointer, Source, apply};
use annotations::{Stop, Wishes};
use core::net::IpAddr;
use kinds::{Kind, Resource};
use merge::merge;
use plan::Plan;
use present::Present;
use serde_json::Value;
use std::borrow::Cow;
pub use version::Version;

/// What holds for every pod that does not say otherwise: flags, and the ConfigMap.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whether probes are rewritten (`sidecarInjectorWebhook.rewriteAppHTTPProbe`). A port that a pod marks as
    /// separate is forwarded all the same: that is asked for by name, and rewrites nothing but a port.
    pub rewrite: bool,
    /// The agent's image.
    pub image: Box<str>,
    /// `imagePullPolicy` of the sidecar.
    pub pull_policy: Option<Box<str>>,
    /// `resources` of the sidecar, an object.
    pub resources: Value,
    /// The status port.
    pub status_port: u16,
    /// The kind of container the agent becomes.
    pub sidecar: Sidecar,
    /// Where the app is dialled.
    pub target: Target,
    /// The address it is dialled from.
    pub source_ip: Option<IpAddr>,
}

/// The kind of container the agent becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sidecar {
    /// An init container that is restarted always: from Kubernetes 1.29.
    Native,
    /// An ordinary container.
    Container,
}

/// Where the app is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// At the pod's address, as kubelet dials it: `POD_IP`, by the downward API.
    Pod,
    /// At this one.
    Ip(IpAddr),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Probes go to the agent.
    Inject,
    /// Everything is as it was.
    Uninject,
}

/// What became of one resource: a document, or an item of a List.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// `deployment/web`
    pub name: Box<str>,
    /// `metadata.namespace`, where it is written.
    pub namespace: Option<Box<str>>,
    /// Its place in the document.
    pub at: Pointer,
    /// What became of it.
    pub verdict: Verdict,
    /// What a person should know of it all the same, each a sentence with what to do.
    pub warnings: Vec<Box<str>>,
}

/// What edits do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Probes go to the agent, and did not before.
    Injected,
    /// It was injected, and is so by other settings now, or with more probes.
    Updated,
    /// It is as it was before it was injected.
    Uninjected,
}

impl Done {
    /// The word, and what was done: `injected: livez, readyz`, `updated: image` or `uninjected`.
    pub fn told(self, what: &str) -> String {
        match self {
            Self::Injected => format!("injected: {what}"),
            Self::Updated => format!("updated: {what}"),
            Self::Uninjected => "uninjected".into(),
        }
    }
}

/// What became of one resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is edited; the edits are in order, their places counted from the root of the document.
    Edited {
        /// What was done, less the word for it: `livez, readyz` of what was injected, `image` of what was
        /// updated, nothing of what was uninjected. Probes of several containers are told apart:
        /// `web livez; db livez, readyz`.
        what: Box<str>,
        /// The word for it. What is eligible and not injected comes out of [`Task::Inject`] as
        /// [`Done::Injected`].
        done: Done,
        /// The edits.
        edits: Vec<Edit>,
    },
    /// It is as it would be: nothing to do, and that is well.
    Unchanged(Box<str>),
    /// It is left alone, and why.
    Skipped(Box<str>),
    /// It cannot be injected and should be: nothing of its document may be written. Why, and what to write instead.
    Refused(Box<str>),
    /// Not a kind that has pods.
    NoPods,
}

/// What is to become of the resources of one document: an item each of a List, else the document. What is audited
/// goes through [`Task::Inject`] as well: what comes out as [`Done::Injected`] is eligible and not injected.
pub fn resources(
    document: &Value,
    source: &dyn Source,
    task: Task,
    settings: &Settings,
) -> Vec<Report> {
    let resources = kinds::resources(document);
    let report = |resource| report(document, source, task, settings, resource);
    resources.into_iter().map(report).collect()
}

fn report(
    document: &Value,
    source: &dyn Source,
    task: Task,
    settings: &Settings,
    resource: Resource,
) -> Report {
    let mut warnings = Vec::new();
    let verdict = match resource.kind {
        None => Verdict::NoPods,
        Some(kind) => {
            if task == Task::Inject {
                misplaced(document, &resource, kind, &mut warnings);
            }
            let at = resource.at.keys(kind.pod);
            let job = Job {
                source,
                settings,
                at: &at,
                ends: kind.ends,
            };
            let pod = at.find(document).filter(|pod| pod["spec"].is_object());
            match (pod, task) {
                (None, _) => Verdict::Skipped("it has no pod template".into()),
                (Some(pod), Task::Inject) => job.inject(pod, &mut warnings),
                (Some(pod), Task::Uninject) => job.uninject(pod),
            }
        }
    };
    Report {
        name: resource.name,
        namespace: resource.namespace,
        at: resource.at,
        verdict,
        warnings,
    }
}

/// What stands on an object whose pods have metadata of their own.
fn misplaced(document: &Value, resource: &Resource, kind: &Kind, warnings: &mut Vec<Box<str>>) {
    for way in kind.above {
        let metadata = resource.at.keys(way).key("metadata").find(document);
        let metadata = metadata.unwrap_or(&Value::Null);
        annotations::misplaced(&resource.name, metadata, warnings);
    }
}

/// A pod to be looked after.
struct Job<'a> {
    source: &'a dyn Source,
    settings: &'a Settings,
    /// Its place in the document.
    at: &'a Pointer,
    ends: bool,
}

impl Job<'_> {
    fn inject(&self, pod: &Value, warnings: &mut Vec<Box<str>>) -> Verdict {
        let is_injected = |present: &Present<'_>| present.record.is_some();
        let still = || "it is injected all the same: --uninject makes it what it was".into();
        let present = match Present::read(pod) {
            Ok(present) => present,
            Err(why) => return Verdict::Refused(why),
        };
        match self.planned(&present, warnings) {
            Ok(verdict) => verdict,
            Err(Stop::Refuse(why)) => Verdict::Refused(why),
            Err(Stop::Skip(why)) => {
                warnings.extend(is_injected(&present).then(still));
                Verdict::Skipped(why)
            }
        }
    }

    fn planned(
        &self,
        present: &Present<'_>,
        warnings: &mut Vec<Box<str>>,
    ) -> Result<Verdict, Stop> {
        let wishes = Wishes::read(&present.pod["metadata"], self.settings, warnings)?;
        let before = self.before(present).map_err(Stop::Refuse)?;
        let plan = Plan::new(&before, self.ends, &wishes, present, warnings)?;
        let edits = merge(present, Some(&plan), self.source, self.at).map_err(Stop::Refuse)?;
        Ok(match (&present.record, edits.is_empty()) {
            (None, _) => Verdict::Edited {
                what: plan.what,
                done: Done::Injected,
                edits,
            },
            (Some(_), true) => Verdict::Unchanged("already injected".into()),
            (Some(_), false) => Verdict::Edited {
                what: told::changes(present, &plan),
                done: Done::Updated,
                edits,
            },
        })
    }

    /// The pod as it was before it was injected.
    fn before<'p>(&self, present: &Present<'p>) -> Result<Cow<'p, Value>, Box<str>> {
        if present.record.is_none() {
            return Ok(Cow::Borrowed(present.pod));
        }
        let edits = merge(present, None, present.pod, &Pointer::root())?;
        let mut pod = present.pod.clone();
        apply(&mut pod, &edits).map_err(|misfit| {
            format!(
                "{} is not as annotation {} has it: start again from the manifest as it was before",
                misfit.0,
                original::ANNOTATION
            )
        })?;
        Ok(Cow::Owned(pod))
    }

    fn uninject(&self, pod: &Value) -> Verdict {
        let present = match Present::read(pod) {
            Ok(present) => present,
            Err(why) => return Verdict::Refused(why),
        };
        if present.record.is_none() {
            return Verdict::Unchanged("not injected".into());
        }
        match merge(&present, None, self.source, self.at) {
            Ok(edits) => Verdict::Edited {
                what: "".into(),
                done: Done::Uninjected,
                edits,
            },
            Err(why) => Verdict::Refused(why),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
