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
    /// The resource's pointer in the document.
    pub pointer: Pointer,
    /// The result.
    pub verdict: Verdict,
    /// The pointer to the reason of a refusal, if it is more precise than `pointer`.
    pub refused_at: Option<Pointer>,
    /// Warnings, each a sentence with advice.
    pub warnings: Vec<Box<str>>,
}

/// The effect of edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The pod was not injected before, and is now.
    Injected,
    /// The pod was injected before; settings or probes have changed.
    Updated,
    /// The pod is as it was before injection.
    Uninjected,
}

impl Effect {
    /// The effect and its details: `injected: livez, readyz`, `updated: image` or `uninjected`.
    pub fn describe(self, details: &str) -> String {
        match self {
            Self::Injected => format!("injected: {details}"),
            Self::Updated => format!("updated: {details}"),
            Self::Uninjected => "uninjected".into(),
        }
    }
}

/// The result for one resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The resource is edited. The edits are sorted; their pointers start at the root of the document.
    Edited {
        /// The details: `livez, readyz` of an injection, `image` of an update, empty for the rest. With several
        /// containers: `web livez; db livez, readyz`.
        details: Box<str>,
        /// The effect. [`Task::Inject`] returns [`Effect::Injected`] for a resource that is eligible and not injected.
        effect: Effect,
        /// The edits.
        edits: Vec<Edit>,
    },
    /// The resource is as intended, for this reason.
    Unchanged(Box<str>),
    /// The resource is not eligible, for this reason.
    Skipped(Box<str>),
    /// The resource is eligible and cannot be injected: the reason, and what to write instead. No resource of its
    /// document may be written.
    Refused(Box<str>),
    /// The resource is of a kind that is not known, and has pod templates.
    UnknownKind {
        /// Where the pod templates are, and what to write.
        advice: Box<str>,
        /// Whether the task would edit or refuse a pod template if the kind were known.
        is_eligible: bool,
    },
    /// The resource has no pods.
    NoPods,
}

/// Why a pod gets no edits.
#[derive(Debug)]
pub(super) enum Stop {
    /// The pod is not eligible, for this reason.
    Skip(Box<str>),
    /// The pod is eligible and cannot be injected.
    Refuse(Refusal),
}

/// Why a pod is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The reason, and what to write instead.
    pub(super) reason: Box<str>,
    /// The pointer in the document, if it is more precise than the pod's.
    pub(super) pointer: Option<Pointer>,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self {
            reason: reason.into(),
            pointer: None,
        }
    }
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Stop::Refuse(reason.into())
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refuse(refusal)
    }
}
