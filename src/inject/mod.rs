//! Injection: pure functions from the value of a resource to the edits that point its probes at the agent. The command
//! line and the webhook both call [`reports`], so that a document gets the same result from both.
//!
//! The steps for one pod, each a directory or file:
//!
//! 1. `kinds` finds the pods of a document.
//! 2. `view` reads a pod as it is: containers, probes, the sidecar and the saved originals of an earlier injection.
//! 3. `options` reads its labels and annotations, over the `settings` for all pods.
//! 4. `intent` makes one decision for each probe, from the handler as its owner wrote it, and from these the intended
//!    sidecar.
//! 5. `size` refuses a pod whose annotations the API server would reject.
//! 6. `edits` compares pod and intent. It also determines the originals that the annotation saves, so that the edits can
//!    be undone.

mod agent_args;
pub(crate) mod annotation_names;
mod changes;
mod container_bounds;
#[cfg(feature = "inject")]
mod convertible;
mod edits;
mod exec;
mod intent;
mod kind_templates;
mod kinds;
mod options;
pub(crate) mod quantity;
mod report;
mod resources;
mod settings;
pub(crate) mod size;
pub mod values;
mod version;
mod view;

use crate::manifest::{Pointer, SourceText};
use changes::changes;
pub use container_bounds::ContainerBounds;
#[cfg(feature = "inject")]
pub(crate) use convertible::ConvertibleExec;
pub(crate) use intent::OTHER_CONTAINER;
use intent::{Intent, ONLY_EXEC};
#[cfg(feature = "inject")]
pub(crate) use intent::{pod_sums, possible_resources};
pub use kind_templates::KindTemplates;
#[cfg(feature = "inject")]
pub(crate) use kinds::UnmatchedKinds;
use kinds::{PodLocation, Pods, Resource, UnknownKind};
use options::PodOptions;
use options::annotations;
pub use report::{Effect, Report, Task, Verdict};
use report::{Refusal, Stop};
use serde_json::Value;
pub use settings::{RunAsUser, Settings, Sidecar, Target};
pub use version::KubernetesVersion;
use view::PodView;
#[cfg(feature = "inject")]
pub(crate) use view::containers::SIDECAR_NAME;
use view::probes::Probe;

/// Runs a task on each resource of a document: on each item of a List, else on the document. `audit` runs
/// [`Task::Inject`]: [`Effect::Injected`] is a resource that is eligible and not injected.
pub fn reports(
    document: &Value,
    source: &dyn SourceText,
    task: Task,
    settings: &Settings,
) -> Vec<Report> {
    reports_one_by_one(document, source, task, settings).collect()
}

/// The same, one resource after the other: the edits of a List can need more memory than there is.
pub fn reports_one_by_one(
    document: &Value,
    source: &dyn SourceText,
    task: Task,
    settings: &Settings,
) -> impl Iterator<Item = Report> {
    let resources = kinds::resources(document, &settings.kind_templates).into_iter();
    resources.map(move |resource| report(document, source, task, settings, resource))
}

fn report(
    document: &Value,
    source: &dyn SourceText,
    task: Task,
    settings: &Settings,
    resource: Resource,
) -> Report {
    let mut warnings = Vec::new();
    let verdict = match &resource.pods {
        Pods::None => Ok(Verdict::NoPods),
        Pods::Missing(path) => Err(Stop::Skip(
            format!("it has no pod template at {path}").into(),
        )),
        Pods::Known(location) => {
            if task == Task::Inject {
                warn_of_misplaced(document, &resource.name, location, &mut warnings);
            }
            run_task(document, source, task, settings, location, &mut warnings)
        }
        Pods::Unknown(kind) => Ok(unknown_kind(document, source, task, settings, kind)),
    };
    let (verdict, refused_at) = match verdict {
        Ok(verdict) => (verdict, None),
        Err(Stop::Skip(reason)) => (Verdict::Skipped(reason), None),
        Err(Stop::Refuse(Refusal { reason, pointer })) => (Verdict::Refused(reason), pointer),
    };
    Report {
        name: resource.name,
        namespace: resource.namespace,
        pointer: resource.pointer,
        verdict,
        refused_at,
        warnings,
    }
}

fn run_task(
    document: &Value,
    source: &dyn SourceText,
    task: Task,
    settings: &Settings,
    location: &PodLocation,
    warnings: &mut Vec<Box<str>>,
) -> Result<Verdict, Stop> {
    let pointer = &location.pod;
    let pod = pointer.resolve(document);
    let Some(pod) = pod.filter(|pod| pod["spec"].is_object()) else {
        return Err(Stop::Skip("it has no pod template".into()));
    };
    let view = PodView::read(pod, source, pointer).map_err(Refusal::from)?;
    match task {
        Task::Inject => inject(&view, settings, location.runs_to_completion, warnings),
        Task::Uninject => Ok(uninject(&view)?),
    }
}

/// The verdict on a resource of an unknown kind with pod templates. One that no injector has edited is not mentioned by
/// [`Task::Uninject`].
fn unknown_kind(
    document: &Value,
    source: &dyn SourceText,
    task: Task,
    settings: &Settings,
    kind: &UnknownKind,
) -> Verdict {
    let is_eligible = |template: &Pointer| {
        let location = PodLocation {
            pod: template.clone(),
            owners: Vec::new(),
            runs_to_completion: false,
        };
        let verdict = run_task(document, source, task, settings, &location, &mut Vec::new());
        matches!(verdict, Ok(Verdict::Edited { .. }) | Err(Stop::Refuse(_)))
    };
    match (task, kind.templates.iter().any(is_eligible)) {
        (Task::Uninject, false) => Verdict::NoPods,
        (_, is_eligible) => Verdict::UnknownKind {
            advice: kind.advice.clone(),
            is_eligible,
        },
    }
}

/// Warns of annotations on objects whose pods have metadata of their own.
fn warn_of_misplaced(
    document: &Value,
    name: &str,
    location: &PodLocation,
    warnings: &mut Vec<Box<str>>,
) {
    for owner in &location.owners {
        let metadata = owner.join_key("metadata");
        let metadata = metadata.resolve(document).unwrap_or(&Value::Null);
        annotations::warn_of_misplaced(name, metadata, warnings);
    }
}

fn inject(
    view: &PodView<'_>,
    settings: &Settings,
    runs_to_completion: bool,
    warnings: &mut Vec<Box<str>>,
) -> Result<Verdict, Stop> {
    if let Some(port) = view.clashing_port() {
        let verdict = uninject(view);
        let what = "Istio has injected the pod after probelet, and both agents listen on port";
        let effect = match verdict {
            Ok(_) => {
                "probelet is removed, and kubelet probes the app itself, which fails if Istio requires mutual TLS"
            }
            Err(_) => "probelet cannot be removed, and one of the agents does not start",
        };
        let (own, istio) = (annotation_names::INJECT, annotation_names::ISTIO_INJECT);
        let advice = format!("set {own} or {istio} to \"false\", so that only one injects");
        warnings.push(format!("{what} {port}: {effect}; {advice}").into());
        return Ok(verdict?);
    }
    let intent = PodOptions::read(&view.pod["metadata"], settings, warnings)
        .and_then(|options| Intent::new(view, runs_to_completion, &options, warnings));
    let is_injected = view.saved.is_some();
    if let (Err(Stop::Skip(reason)), true) = (&intent, is_injected) {
        match check_restorable(view) {
            // The sidecar has probed in place of commands only, and those are no longer converted. Without the annotation, a
            // webhook with other settings would restore what `file --convert-exec` has injected.
            Ok(())
                if **reason == *ONLY_EXEC
                    && view.probes.iter().any(Probe::is_injected)
                    && annotations::sets_convert_exec(&view.pod["metadata"]) =>
            {
                return Ok(uninject(view)?);
            }
            Ok(()) => warnings.push(
                "the pod is still injected: run probelet-inject --uninject on its manifest to restore it".into(),
            ),
            Err(reason) => warnings.push(
                format!("the pod is still injected, and cannot be restored: {reason}").into(),
            ),
        }
    }
    let intent = intent?;
    size::check_annotations(view.pod)?;
    let edits = edits::compute(view, Some(&intent))?;
    Ok(match (is_injected, edits.is_empty()) {
        (true, true) => Verdict::Unchanged("already injected".into()),
        (true, false) => Verdict::Edited {
            details: changes(view, &intent),
            effect: Effect::Updated,
            edits,
        },
        (false, _) => Verdict::Edited {
            details: intent.details,
            effect: Effect::Injected,
            edits,
        },
    })
}

fn uninject(view: &PodView<'_>) -> Result<Verdict, Refusal> {
    if view.saved.is_none() {
        return Ok(Verdict::Unchanged("not injected".into()));
    }
    check_restorable(view)?;
    Ok(Verdict::Edited {
        details: "".into(),
        effect: Effect::Uninjected,
        edits: edits::compute(view, None)?,
    })
}

/// Checks that no probe needs the sidecar after the injected probes are restored.
fn check_restorable(view: &PodView<'_>) -> Result<(), String> {
    view.check_orphans()?;
    intent::check_rewritten_by_mesh(view)
}

#[cfg(test)]
pub(crate) mod tests;
