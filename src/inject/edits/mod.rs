//! The edits where a pod and its intended state differ, and what the annotation saves of the replaced parts. Without an
//! intent, the edits restore the pod as it was before injection.

mod annotations;
mod lists;
mod probes;
mod shared;

use super::intent::Intent;
use super::report::Refusal;
use super::view::saved::Saved;
use super::view::{PodView, SPEC_LISTS};
use crate::document::{Change, Edit, Pointer, in_order};

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
    let is_same = view.saved.as_ref().is_some_and(Saved::may_stay);
    if intent.is_some() && others == 0 && is_same && editor.only_saves() {
        return Ok(Vec::new());
    }
    let mut edits = editor.edits;
    for edit in &mut edits {
        edit.at = view.place(&edit.at);
    }
    in_order(&mut edits);
    Ok(edits)
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
    fn edit(&mut self, at: Pointer, change: Change) {
        self.edits.push(Edit { at, change });
    }
}
