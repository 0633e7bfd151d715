//! The result for each resource of a document.

use crate::manifest::{Edit, Pointer};

/// The direction of the edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Point probes at the agent.
    Inject,
    /// Restore the pod as it was before injection.
    Uninject,
}

/// The result for one resource: a document, or an item of a List.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// `deployment/web`
    pub name: Box<str>,
    /// `metadata.namespace`, if the resource sets it.
    pub namespace: Option<Box<str>>,
    /// The resource's place in the document.
    pub at: Pointer,
    /// The result.
    pub verdict: Verdict,
    /// The place that a refusal is about, where that is more precise than `at`.
    pub refused_at: Option<Pointer>,
    /// Warnings, each a sentence with advice.
    pub warnings: Vec<Box<str>>,
}

/// The effect of edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The pod was not injected before, and is now.
    Injected,
    /// The pod was injected before; settings or probes have changed.
    Updated,
    /// The pod is as it was before injection.
    Uninjected,
}

impl Done {
    /// The effect and its details: `injected: livez, readyz`, `updated: image` or `uninjected`.
    pub fn describe(self, what: &str) -> String {
        match self {
            Self::Injected => format!("injected: {what}"),
            Self::Updated => format!("updated: {what}"),
            Self::Uninjected => "uninjected".into(),
        }
    }
}

/// The result for one resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The resource is edited. The edits are sorted; their places start at the root of the document.
    Edited {
        /// The details: `livez, readyz` of an injection, `image` of an update, empty for the rest. With several
        /// containers: `web livez; db livez, readyz`.
        what: Box<str>,
        /// The effect. [`Task::Inject`] returns [`Done::Injected`] for what is eligible and not injected.
        done: Done,
        /// The edits.
        edits: Vec<Edit>,
    },
    /// The resource is as intended.
    Unchanged(Box<str>),
    /// The resource is left alone, for this reason.
    Skipped(Box<str>),
    /// The resource should be injected and cannot be: the reason, and what to write instead. Nothing of its
    /// document may be written.
    Refused(Box<str>),
    /// The resource is of a kind that has no pods.
    NoPods,
}

/// Why a pod gets no edits.
#[derive(Debug)]
pub(super) enum Stop {
    /// The pod is left alone, for this reason.
    Skip(Box<str>),
    /// The pod asks for something that is not possible.
    Refuse(Refusal),
}

/// Why a pod is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The reason, and what to write instead.
    pub(super) why: Box<str>,
    /// The place in the document, if it is more precise than the pod.
    pub(super) at: Option<Pointer>,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self {
            why: why.into(),
            at: None,
        }
    }
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Stop::Refuse(why.into())
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refuse(refusal)
    }
}
