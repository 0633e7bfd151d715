//! Edits of a document's text: done as splices, then read again and held against the same edits done on its
//! value. What does not come to the same is refused.

use super::edit::{Change, Edit, Misfit, apply, in_order};
use super::error::Problem;
use super::pointer::Pointer;
use super::splice::{self, Spliced};
use super::tree::{Kind, Node};
use super::{Aliases, Document, Source};
use crate::limits;
use core::fmt;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Why edits are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// The document has no such place, or has one where there should be none.
    Misfit(Pointer),
    /// The place shares its value with others.
    Alias {
        /// The place that would change as well.
        at: Pointer,
        /// `*probe`
        alias: Box<str>,
    },
    /// The place is there only because a `<<` brings it.
    Merged(Pointer),
    /// The place is written such that the text would read as something else.
    Reads(Pointer),
    /// The place is written such that the text would not be YAML any more.
    Breaks {
        /// The place, or the nearest one above.
        at: Pointer,
        /// The problem that the text would have.
        problem: Problem,
    },
}

impl EditError {
    /// The place in the document that it is about.
    pub fn at(&self) -> Option<&Pointer> {
        match self {
            EditError::Misfit(at)
            | EditError::Alias { at, .. }
            | EditError::Merged(at)
            | EditError::Reads(at)
            | EditError::Breaks { at, .. } => Some(at),
        }
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditError::Misfit(at) => write!(
                f,
                "{at} is not there to be edited, or is there already: write the manifest without it or with it"
            ),
            EditError::Alias { at, alias } => write!(
                f,
                "{at} is an alias ({alias}), and would change together with what it stands for: write its \
                 value out in its place"
            ),
            EditError::Merged(at) => write!(
                f,
                "{at} comes from a merge key (<<), and would change together with what it merges: write it out \
                 beside the <<"
            ),
            EditError::Reads(at) => write!(
                f,
                "{at} is written in such a way that it cannot be edited: write it one key a line, without \
                 '? ', anchors and tags"
            ),
            // The problem is one of the new text, which the reader does not have.
            EditError::Breaks { at, .. } => write!(
                f,
                "{at} is written in such a way that it cannot be edited: write it one key a line, without '? ', \
                 anchors and tags"
            ),
        }
    }
}

impl From<Misfit> for EditError {
    fn from(Misfit(at): Misfit) -> Self {
        EditError::Misfit(at)
    }
}

pub(super) fn edit(document: &Document, edits: &[Edit]) -> Result<String, EditError> {
    if edits.is_empty() {
        return Ok(document.text().into());
    }
    let mut edits = edits.to_vec();
    in_order(&mut edits);
    let mut expected = document.value().clone();
    apply(&mut expected, &edits)?;
    let mut edits = written_out(document, effective(edits))?;
    for _ in 0..limits::RESTORE_ATTEMPTS {
        let spliced = splice::edited(document, &edits)?;
        let Err(error) = verify(document, &spliced, &expected) else {
            return Ok(spliced.text);
        };
        if !edits.iter().any(has_text) {
            return Err(error);
        }
        // A kept text may rest on an anchor that is gone, or has another value now.
        let unreadable = unreadable(&spliced, &expected);
        let forgotten = unreadable
            .into_iter()
            .filter(|index| forget(&mut edits[*index]));
        if forgotten.count() == 0 {
            break;
        }
    }
    for edit in &mut edits {
        forget(edit);
    }
    let spliced = splice::edited(document, &edits)?;
    verify(document, &spliced, &expected)?;
    Ok(spliced.text)
}

/// Reads the new text again and compares its value.
fn verify(document: &Document, spliced: &Spliced, expected: &Value) -> Result<(), EditError> {
    let text = &spliced.text;
    if splice::is_json(document) && serde_json::from_str::<Value>(text).is_err() {
        return Err(EditError::Reads(Pointer::root()));
    }
    let read = match Document::parse(text) {
        Ok(read) => read,
        Err(error) => {
            let at = document.place_at(spliced.source_offset(error.offset(text)));
            return Err(match error.problem {
                // The line of the other key would be one of the new text.
                Problem::Duplicate { .. } => EditError::Reads(at),
                problem => EditError::Breaks { at, problem },
            });
        }
    };
    match difference(read.value(), expected) {
        None => Ok(()),
        Some(at) => Err(misread(document, spliced, &read, &at)),
    }
}

/// The error for a place of the new text that has another value than expected. It names the place in the source.
fn misread(document: &Document, spliced: &Spliced, read: &Document, at: &Pointer) -> EditError {
    let nearest = read.nearest(at);
    let start = read.entry_start(&nearest).unwrap_or_default();
    let source = document.place_at(spliced.source_offset(start));
    let Some(shared) = read.shared_above(&nearest) else {
        return EditError::Reads(source);
    };
    let node = read.walk(&shared).map(|walk| read.node(walk.node));
    match node {
        Some(node) if matches!(node.kind, Kind::Alias(_)) => EditError::Alias {
            at: source,
            alias: read.text()[node.start..node.end].into(),
        },
        _ => EditError::Merged(source.down(nearest.below(shared.steps().len()).steps())),
    }
}

fn has_text(edit: &Edit) -> bool {
    match &edit.change {
        Change::Set(written) | Change::Add(written) => written.text.is_some(),
        Change::Rename { text, .. } => text.is_some(),
        Change::Remove => false,
    }
}

/// Drops the kept text of an edit. Returns whether there was one.
fn forget(edit: &mut Edit) -> bool {
    match &mut edit.change {
        Change::Set(written) | Change::Add(written) => written.text.take().is_some(),
        Change::Rename { text, .. } => text.take().is_some(),
        Change::Remove => false,
    }
}

/// The edits that wrote what does not read as expected, by their indexes.
fn unreadable(spliced: &Spliced, expected: &Value) -> BTreeSet<usize> {
    let read = match Document::read(&spliced.text, Aliases::Loose) {
        Ok(read) => read,
        Err(error) => {
            let edit = spliced.edit_at(error.offset(&spliced.text));
            return edit.into_iter().collect();
        }
    };
    let is_loose = |node: &&Node| matches!(node.kind, Kind::Alias(None));
    let loose = read.tree.nodes.iter().filter(is_loose);
    let loose = loose.map(|alias| alias.start);
    let differ = differences(read.value(), expected);
    let differ = differ
        .iter()
        .filter_map(|at| read.value_start(&read.nearest(at)));
    loose
        .chain(differ)
        .filter_map(|start| spliced.edit_at(start))
        .collect()
}

/// The edits without those of values that another one replaces or removes as a whole.
fn effective(mut edits: Vec<Edit>) -> Vec<Edit> {
    let whole = |edit: &Edit| matches!(edit.change, Change::Set(_) | Change::Remove);
    let gone: BTreeSet<Pointer> = edits
        .iter()
        .filter(|edit| whole(edit))
        .map(|edit| edit.at.clone())
        .collect();
    edits.retain(|edit| {
        let above = 0..edit.at.steps().len();
        !above
            .into_iter()
            .any(|steps| gone.contains(&edit.at.up_to(steps)))
    });
    edits
}

/// Edits below a shared place become one of that place, which gets its edited value written out.
fn written_out(document: &Document, edits: Vec<Edit>) -> Result<Vec<Edit>, EditError> {
    let shared: BTreeSet<Pointer> = edits
        .iter()
        .filter_map(|edit| shared_above(document, edit))
        .collect();
    let mut replaced: BTreeMap<Pointer, Vec<Edit>> = BTreeMap::new();
    let mut direct = Vec::with_capacity(edits.len());
    for mut edit in edits {
        // A mapping that is replaced takes the edits of its own entries along.
        let steps =
            (0..edit.at.steps().len()).find(|steps| shared.contains(&edit.at.up_to(*steps)));
        match steps {
            Some(steps) => {
                let place = edit.at.up_to(steps);
                edit.at = edit.at.below(steps);
                replaced.entry(place).or_default().push(edit);
            }
            None => direct.push(edit),
        }
    }
    for (at, edits) in replaced {
        let mut value = at.find(document.value()).cloned().unwrap_or_default();
        apply(&mut value, &edits)?;
        let change = Change::Set(value.into());
        direct.push(Edit { at, change });
    }
    Ok(direct)
}

/// The shared place that an edit is below; an edit of the place itself is below none.
fn shared_above(document: &Document, edit: &Edit) -> Option<Pointer> {
    let shared = match &edit.change {
        Change::Add(_) => document.shared_above(&edit.at.split()?.0),
        Change::Set(_) | Change::Remove | Change::Rename { .. } => document.shared_above(&edit.at),
    };
    shared.filter(|shared| *shared != edit.at)
}

/// The first place where two values differ; numbers are compared by size, whatever their type.
pub(super) fn difference(one: &Value, other: &Value) -> Option<Pointer> {
    differences(one, other).into_iter().next()
}

/// The places where two values differ, each as deep as can be.
fn differences(one: &Value, other: &Value) -> Vec<Pointer> {
    let mut found = Vec::new();
    if one != other {
        compare(Some(one), Some(other), &Pointer::root(), &mut found);
    }
    found
}

fn compare(one: Option<&Value>, other: Option<&Value>, at: &Pointer, found: &mut Vec<Pointer>) {
    match (one, other) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let pair = (one.get(key), other.get(key));
                if pair.0 != pair.1 {
                    compare(pair.0, pair.1, &at.key(key), found);
                }
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            for index in 0..one.len().max(other.len()) {
                let pair = (one.get(index), other.get(index));
                if pair.0 != pair.1 {
                    compare(pair.0, pair.1, &at.item(index), found);
                }
            }
        }
        (Some(Value::Number(one)), Some(Value::Number(other)))
            if one == other || one.as_f64() == other.as_f64() => {}
        _ => found.push(at.clone()),
    }
}
