//! Edits of a document, and what they come to on its value and as JSON Patch (RFC 6902).

use super::{Pointer, Step};
use serde_json::{Map, Value, json};

/// One edit. All places of a list of edits are those of the document as it was; what lies deeper or further
/// back comes first (`in_order`), so that the edits can be done one after the other as well.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// What is edited; for `Add`, where it will be.
    pub at: Pointer,
    /// How.
    pub change: Change,
}

/// What an edit does.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Another value in the place of the one there.
    Set(Written),
    /// A new entry of a mapping, or a new item before the one that has this index.
    Add(Written),
    /// The entry or item goes.
    Remove,
    /// The entry stays where it is, under another key, which the mapping must not have.
    Rename {
        /// The new key.
        key: Box<str>,
        /// How the key was written once, quotes and all; else as it must be.
        text: Option<Box<str>>,
    },
}

/// A value, and how it was written once where it is put back.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The value.
    pub value: Value,
    /// Its source text, kept from an earlier document. What writes text takes it if it reads as the value.
    pub text: Option<Box<str>>,
}

impl From<Value> for Written {
    fn from(value: Value) -> Self {
        Self { value, text: None }
    }
}

/// An edit that the document has no place for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit(pub Pointer);

/// Sorts edits as [`Edit`] has them: deeper before higher, back before front; of one place in the order given.
pub fn in_order(edits: &mut [Edit]) {
    edits.sort_by(|a, b| {
        let (a, b) = (a.at.steps(), b.at.steps());
        match (a.starts_with(b), b.starts_with(a)) {
            (true, true) => core::cmp::Ordering::Equal,
            (true, false) => core::cmp::Ordering::Less,
            (false, true) => core::cmp::Ordering::Greater,
            (false, false) => b.cmp(a),
        }
    });
}

/// Does the edits, which are in order, on a value.
///
/// # Errors
/// The first that does not fit; the value is then half done.
pub fn apply(document: &mut Value, edits: &[Edit]) -> Result<(), Misfit> {
    edits
        .iter()
        .try_for_each(|edit| one(document, edit).ok_or_else(|| Misfit(edit.at.clone())))
}

fn one(document: &mut Value, Edit { at, change }: &Edit) -> Option<()> {
    if let Change::Set(written) = change {
        *at.find_mut(document)? = written.value.clone();
        return Some(());
    }
    let (above, last) = at.split()?;
    match (above.find_mut(document)?, last, change) {
        (Value::Object(map), Step::Key(key), change) => entry(map, key, change),
        (Value::Array(items), Step::Item(index), Change::Add(written)) if *index <= items.len() => {
            items.insert(*index, written.value.clone());
            Some(())
        }
        (Value::Array(items), Step::Item(index), Change::Remove) if *index < items.len() => {
            items.remove(*index);
            Some(())
        }
        _ => None,
    }
}

fn entry(map: &mut Map<String, Value>, key: &str, change: &Change) -> Option<()> {
    match change {
        Change::Add(written) if !map.contains_key(key) => {
            map.insert(key.into(), written.value.clone());
        }
        Change::Remove => {
            map.remove(key)?;
        }
        Change::Rename { key: new, .. } if !map.contains_key(&**new) => {
            let value = map.remove(key)?;
            map.insert((**new).into(), value);
        }
        _ => return None,
    }
    Some(())
}

/// The edits, which are in order, as JSON Patch.
pub fn json_patch(edits: &[Edit]) -> Value {
    edits.iter().map(operation).collect()
}

fn operation(Edit { at, change }: &Edit) -> Value {
    let path = at.to_string();
    match change {
        Change::Set(written) => json!({"op": "replace", "path": path, "value": written.value}),
        Change::Add(written) => json!({"op": "add", "path": path, "value": written.value}),
        Change::Remove => json!({"op": "remove", "path": path}),
        Change::Rename { key, .. } => {
            let to = at.split().map(|(above, _)| above.key(key));
            json!({"op": "move", "from": path, "path": to.unwrap_or_default().to_string()})
        }
    }
}
