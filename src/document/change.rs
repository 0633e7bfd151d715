//! Edits of a document's text: done as splices, then read again and held against the same edits done on its
//! value. What does not come to the same is refused.

use super::edit::{Change, Edit, Misfit, apply, in_order};
use super::error::DocumentError;
use super::pointer::{Pointer, Step};
use super::splice;
use super::tree::Kind;
use super::{Document, Source};
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
    Breaks(DocumentError),
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
                "{at} comes from a merge key (<<): write it out beside the <<"
            ),
            EditError::Reads(at) => write!(
                f,
                "{at} is written in such a way that it cannot be edited: write it one key a line, without \
                 '? ', anchors and tags"
            ),
            EditError::Breaks(error) => write!(
                f,
                "the document is written in such a way that it cannot be edited (it would come to this: \
                 {error}): write it one key a line, without '? ', anchors and tags"
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
    let edits = written_out(document, effective(edits))?;
    let spliced = attempt(document, &edits, &expected);
    let remembered = edits.iter().any(|edit| text(edit).is_some());
    match spliced {
        Err(EditError::Misfit(_) | EditError::Merged(_)) | Ok(_) => spliced,
        // A text that was kept may have lost what it rests on, such as the anchor of its alias.
        Err(_) if remembered => attempt(document, &forgetful(&edits), &expected),
        Err(_) => spliced,
    }
}

fn attempt(document: &Document, edits: &[Edit], expected: &Value) -> Result<String, EditError> {
    let text = splice::edited(document, edits)?;
    if splice::is_json(document) && serde_json::from_str::<Value>(&text).is_err() {
        return Err(EditError::Reads(Pointer::root()));
    }
    let read = Document::parse(&text).map_err(EditError::Breaks)?;
    match difference(read.value(), expected) {
        None => Ok(text),
        Some(at) => Err(shared(document, &at).unwrap_or(EditError::Reads(at))),
    }
}

fn text(edit: &Edit) -> Option<&str> {
    match &edit.change {
        Change::Set(written) | Change::Add(written) => written.text.as_deref(),
        Change::Rename { text, .. } => text.as_deref(),
        Change::Remove => None,
    }
}

fn forgetful(edits: &[Edit]) -> Vec<Edit> {
    let forget = |edit: &Edit| {
        let mut edit = edit.clone();
        match &mut edit.change {
            Change::Set(written) | Change::Add(written) => written.text = None,
            Change::Rename { text, .. } => *text = None,
            Change::Remove => {}
        }
        edit
    };
    edits.iter().map(forget).collect()
}

/// The alias through which a place is what it is.
fn shared(document: &Document, at: &Pointer) -> Option<EditError> {
    // What is new there is not in the document yet, but what it is in is.
    let there = (0..=at.steps().len()).rev();
    let at = there
        .map(|steps| at.up_to(steps))
        .find(|at| document.walk(at).is_some())?;
    let shared = document.shared_above(&at)?;
    let node = document.node(document.walk(&shared)?.node);
    let Kind::Alias(_) = node.kind else {
        return Some(EditError::Merged(at));
    };
    let alias = document.text()[node.start..node.end].into();
    Some(EditError::Alias { at: shared, alias })
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

/// The first place where two values differ; numbers are as big as they are, however they are kept.
pub(super) fn difference(one: &Value, other: &Value) -> Option<Pointer> {
    if one == other {
        return None;
    }
    let mut steps = Vec::new();
    differs(one, other, &mut steps).then(|| Pointer::from_steps(steps))
}

fn differs(one: &Value, other: &Value, steps: &mut Vec<Step>) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            let pair = |key: &String| (one.get(key), other.get(key));
            keys.into_iter()
                .any(|key| step(pair(key), || Step::Key(key.as_str().into()), steps))
        }
        (Value::Array(one), Value::Array(other)) => (0..one.len().max(other.len())).any(|index| {
            step(
                (one.get(index), other.get(index)),
                || Step::Item(index),
                steps,
            )
        }),
        (Value::Number(one), Value::Number(other)) => {
            one != other && one.as_f64() != other.as_f64()
        }
        _ => one != other,
    }
}

fn step(
    pair: (Option<&Value>, Option<&Value>),
    name: impl Fn() -> Step,
    steps: &mut Vec<Step>,
) -> bool {
    steps.push(name());
    let different = match pair {
        (Some(one), Some(other)) => differs(one, other, steps),
        _ => true,
    };
    if !different {
        steps.pop();
    }
    different
}
