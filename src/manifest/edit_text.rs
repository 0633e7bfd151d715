//! Edits the source text of a document. Splices the edits in, parses the result and compares it with the intended
//! value. Rejects edits whose result differs.

use super::difference::{difference, differences};
use super::document::Document;
use super::edit::{Edit, Op, apply, sort_edits};
use super::error::{EditError, ParseErrorKind};
use super::parser::UnresolvedAliases;
use super::pointer::Pointer;
use super::splice::{self, EditedText};
use super::tree::NodeKind;
use crate::limits;
use core::borrow::Borrow;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

impl Document {
    /// The source text with these edits. All other bytes stay unchanged.
    ///
    /// # Errors
    /// An edit does not apply, or would change the value of another node.
    pub fn edit<E: Borrow<Edit>>(&self, edits: &[E]) -> Result<String, EditError> {
        if edits.is_empty() {
            return Ok(self.text().into());
        }
        // The edits of a large List take more memory than its text, so they are not copied.
        let mut edits: Vec<Cow<'_, Edit>> = edits
            .iter()
            .map(|edit| Cow::Borrowed(edit.borrow()))
            .collect();
        sort_edits(&mut edits);
        let mut expected = self.value().clone();
        apply(&mut expected, &edits)?;
        let mut edits = expand_shared(self, without_overwritten(edits))?;
        for _ in 0..limits::RESTORE_ATTEMPTS {
            let edited = splice::splice(self, &edits)?;
            let Err(error) = verify(self, &edited, &expected) else {
                return Ok(edited.text);
            };
            if !edits.iter().any(|edit| has_saved_text(edit)) {
                return Err(error);
            }
            // An alias in a saved text may have lost its anchor, or its anchor may have another value now.
            let mut is_changed = false;
            for index in mismatched_edits(&edited, &expected) {
                is_changed |= drop_saved_text(&mut edits[index]);
            }
            if !is_changed {
                break;
            }
        }
        for edit in &mut edits {
            drop_saved_text(edit);
        }
        let edited = splice::splice(self, &edits)?;
        verify(self, &edited, &expected)?;
        Ok(edited.text)
    }
}

/// Parses the edited text and compares its value with the expected one.
fn verify(document: &Document, edited: &EditedText, expected: &Value) -> Result<(), EditError> {
    let text = &edited.text;
    if splice::is_json(document) && serde_json::from_str::<Value>(text).is_err() {
        return Err(EditError::WrongValue(Pointer::root()));
    }
    let parsed = match Document::parse_edited(text, UnresolvedAliases::Reject) {
        Ok(parsed) => parsed,
        Err(error) => {
            let pointer = document.pointer_at(edited.source_offset(error.offset(text)));
            return Err(match error.kind {
                // It has a line number of the edited text.
                ParseErrorKind::DuplicateKey { .. } => EditError::WrongValue(pointer),
                kind => EditError::InvalidYaml { pointer, kind },
            });
        }
    };
    match difference(parsed.value(), expected) {
        None => Ok(()),
        Some(pointer) => Err(wrong_value(document, edited, &parsed, &pointer)),
    }
}

/// The error for a node of the edited text that has another value than expected, with the pointer in the source.
fn wrong_value(
    document: &Document,
    edited: &EditedText,
    parsed: &Document,
    pointer: &Pointer,
) -> EditError {
    let nearest = parsed.nearest_existing(pointer);
    let start = parsed.entry_start(&nearest).unwrap_or_default();
    let source = document.pointer_at(edited.source_offset(start));
    let Some(shared) = parsed.outermost_shared(&nearest) else {
        return EditError::WrongValue(source);
    };
    let node = parsed
        .resolve(&shared)
        .map(|resolved| parsed.node(resolved.node));
    match node {
        Some(node) if matches!(node.kind, NodeKind::Alias(_)) => EditError::Alias {
            pointer: source,
            text: parsed.text()[node.start..node.end].into(),
        },
        _ => {
            let below = nearest.without_prefix(shared.segments().len());
            EditError::MergeKey(source.join(below.segments()))
        }
    }
}

fn has_saved_text(edit: &Edit) -> bool {
    match &edit.op {
        Op::Replace(new) | Op::Add(new) => new.text.is_some(),
        Op::Rename { text, .. } => text.is_some(),
        Op::Remove => false,
    }
}

/// Removes the saved text from an edit. Returns whether it had one.
fn drop_saved_text(edit: &mut Cow<'_, Edit>) -> bool {
    if !has_saved_text(edit) {
        return false;
    }
    match &mut edit.to_mut().op {
        Op::Replace(new) | Op::Add(new) => new.text = None,
        Op::Rename { text, .. } => *text = None,
        Op::Remove => {}
    }
    true
}

/// The indexes of the edits whose text does not parse to the expected value.
fn mismatched_edits(edited: &EditedText, expected: &Value) -> BTreeSet<usize> {
    let parsed = match Document::parse_edited(&edited.text, UnresolvedAliases::Accept) {
        Ok(parsed) => parsed,
        Err(error) => {
            let edit = edited.edit_at(error.offset(&edited.text));
            return edit.into_iter().collect();
        }
    };
    let nodes = parsed.tree.nodes.iter();
    let unresolved = nodes.filter(|node| matches!(node.kind, NodeKind::Alias(None)));
    let unresolved = unresolved.map(|alias| alias.start);
    let different = differences(parsed.value(), expected);
    let different = different
        .iter()
        .filter_map(|pointer| parsed.value_start(&parsed.nearest_existing(pointer)));
    unresolved
        .chain(different)
        .filter_map(|offset| edited.edit_at(offset))
        .collect()
}

/// Drops edits below a node that another edit replaces or removes.
fn without_overwritten(mut edits: Vec<Cow<'_, Edit>>) -> Vec<Cow<'_, Edit>> {
    let overwrites = |edit: &Edit| match edit.op {
        Op::Replace(_) | Op::Remove => true,
        Op::Add(_) | Op::Rename { .. } => false,
    };
    let overwritten: BTreeSet<Pointer> = edits
        .iter()
        .filter(|edit| overwrites(edit))
        .map(|edit| edit.pointer.clone())
        .collect();
    edits.retain(|edit| {
        let mut ancestors = 0..edit.pointer.segments().len();
        !ancestors.any(|len| overwritten.contains(&edit.pointer.prefix(len)))
    });
    edits
}

/// Replaces the edits below a shared node by one edit that writes out the node with its edited value.
fn expand_shared<'e>(
    document: &Document,
    edits: Vec<Cow<'e, Edit>>,
) -> Result<Vec<Cow<'e, Edit>>, EditError> {
    let shared: BTreeSet<Pointer> = edits
        .iter()
        .filter_map(|edit| shared_ancestor(document, edit))
        .collect();
    let mut expanded: BTreeMap<Pointer, Vec<Edit>> = BTreeMap::new();
    let mut direct = Vec::with_capacity(edits.len());
    for edit in edits {
        // Includes edits of entries that the shared mapping itself has.
        let mut ancestors = 0..edit.pointer.segments().len();
        match ancestors.find(|len| shared.contains(&edit.pointer.prefix(*len))) {
            Some(len) => {
                let mut edit = edit.into_owned();
                let ancestor = edit.pointer.prefix(len);
                edit.pointer = edit.pointer.without_prefix(len);
                expanded.entry(ancestor).or_default().push(edit);
            }
            None => direct.push(edit),
        }
    }
    for (pointer, edits) in expanded {
        let mut value = pointer
            .resolve(document.value())
            .cloned()
            .unwrap_or_default();
        apply(&mut value, &edits)?;
        let op = Op::Replace(value.into());
        direct.push(Cow::Owned(Edit { pointer, op }));
    }
    Ok(direct)
}

/// The shared node that an edit is below. An edit of the shared node itself is not below it.
fn shared_ancestor(document: &Document, edit: &Edit) -> Option<Pointer> {
    let shared = match &edit.op {
        Op::Add(_) => document.outermost_shared(&edit.pointer.split_last()?.0),
        Op::Replace(_) | Op::Remove | Op::Rename { .. } => document.outermost_shared(&edit.pointer),
    };
    shared.filter(|shared| *shared != edit.pointer)
}
