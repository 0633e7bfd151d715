//! The edits where a pod and its intended state differ, and what the annotation saves of the replaced parts. Without an
//! intent, the edits restore the pod as it was before injection.

mod annotations;
mod lists;
mod probes;
mod shared;

use super::intent::{Intent, lacks_original};
use super::report::Refusal;
use super::view::containers::{LISTS, SIDECAR};
use super::view::probe_kind::raw_probes;
use super::view::saved::Saved;
use super::view::{PodView, SPEC_LISTS};
use crate::manifest::{Edit, Op, Pointer, apply, sort_edits};
use std::borrow::Cow;

/// The edits for a pod, sorted; their places start at the root of the document.
///
/// # Errors
/// A part of the pod is written in a way that cannot be edited.
pub(super) fn edits(view: &PodView<'_>, intent: Option<&Intent>) -> Result<Vec<Edit>, Refusal> {
    let mut editor = Editor {
        view,
        intent,
        edits: Vec::new(),
        saved: Saved::default(),
    };
    editor.saved.sidecar = intent.map(|intent| intent.applied.clone());
    for probe in &view.probes {
        editor.probe(probe);
    }
    for list in SPEC_LISTS {
        editor.list(list);
    }
    editor.retain_sources();
    editor.save_sources()?;
    let others = editor.edits.len();
    editor.annotations()?;
    editor.restore_sources();
    let is_first_version = view.saved.as_ref().is_some_and(Saved::is_first_version);
    if intent.is_some() && others == 0 && is_first_version && editor.only_saves() {
        return Ok(Vec::new());
    }
    let mut edits = editor.edits;
    sort_edits(&mut edits);
    check_result(view, intent, &edits)?;
    for edit in &mut edits {
        edit.pointer = view.place(&edit.pointer);
    }
    Ok(edits)
}

/// Checks that no probe is left at a port of a sidecar that has no prober for it, whatever a person has made of the pod
/// since injection.
fn check_result(
    view: &PodView<'_>,
    intent: Option<&Intent>,
    edits: &[Edit],
) -> Result<(), Refusal> {
    let Some(saved) = &view.saved else {
        return Ok(());
    };
    // The webhook's second call has no edits.
    let mut pod = Cow::Borrowed(view.pod);
    if !edits.is_empty() && apply(pod.to_mut(), edits).is_err() {
        // `Document::edit` reports it.
        return Ok(());
    }
    let containers = LISTS.iter().filter_map(|list| pod["spec"][list].as_array());
    for container in containers.flatten().filter(|item| item["name"] != SIDECAR) {
        for (member, key, probe) in raw_probes(container) {
            let get = &probe["httpGet"];
            let port = view.port_names.resolve(&get["port"]);
            let is_agents = port.is_some_and(|port| view.agent_ports.contains(&port));
            let has_host = get["host"].as_str().is_some_and(|host| !host.is_empty());
            let is_injected = intent.is_some_and(|intent| intent.goals.contains_key(&*key));
            if is_agents && !is_injected && (!has_host || saved.probes.contains_key(&*key)) {
                let name = container["name"]
                    .as_str()
                    .unwrap_or("a container without a name");
                return Err(lacks_original(&format!("{member} of {name}")).into());
            }
        }
    }
    Ok(())
}

struct Editor<'a> {
    view: &'a PodView<'a>,
    intent: Option<&'a Intent>,
    /// Their places start at the pod.
    edits: Vec<Edit>,
    /// What the annotation will save.
    saved: Saved,
}

impl Editor<'_> {
    fn edit(&mut self, pointer: Pointer, op: Op) {
        self.edits.push(Edit { pointer, op });
    }
}
