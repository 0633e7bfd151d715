//! Edits of a document, applied to its JSON value or written as a JSON Patch (RFC 6902).

use super::pointer::{Pointer, Segment};
use serde_json::{Map, Value, json};

/// One edit. All pointers of a list of edits refer to the document before the first edit. [`sort_edits`] puts the
/// list in an order in which the edits can also be applied one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The node to edit. For [`Op::Add`], where the new node will be.
    pub pointer: Pointer,
    /// The operation.
    pub op: Op,
}

/// The operation of an edit.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Replaces the value.
    Replace(NewValue),
    /// Adds an entry to a mapping, or inserts an item before the one that has this index.
    Add(NewValue),
    /// Removes the entry or item.
    Remove,
    /// Changes the key of an entry, which keeps its position. The mapping must not have the new key.
    Rename {
        /// The new key.
        key: Box<str>,
        /// Source text of the key, quotes included, saved from an earlier document.
        text: Option<Box<str>>,
    },
}

/// A value to write.
#[derive(Clone, Debug, PartialEq)]
pub struct NewValue {
    /// The value.
    pub value: Value,
    /// Source text of the value, saved from an earlier document. It is written if it parses to `value`.
    pub text: Option<Box<str>>,
}

impl From<Value> for NewValue {
    fn from(value: Value) -> Self {
        Self { value, text: None }
    }
}

/// The pointer of an edit that does not apply: the node is missing, or exists already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPointer(pub Pointer);

/// Sorts edits: descendants before ancestors, later siblings before earlier ones. Edits of one node keep their order.
pub fn sort_edits(edits: &mut [Edit]) {
    edits.sort_by(|a, b| {
        let (a, b) = (a.pointer.segments(), b.pointer.segments());
        match (a.starts_with(b), b.starts_with(a)) {
            (true, true) => core::cmp::Ordering::Equal,
            (true, false) => core::cmp::Ordering::Less,
            (false, true) => core::cmp::Ordering::Greater,
            (false, false) => b.cmp(a),
        }
    });
}

/// Applies sorted edits to a value.
///
/// # Errors
/// The pointer of the first edit that does not apply. The edits before it are applied.
pub fn apply(document: &mut Value, edits: &[Edit]) -> Result<(), InvalidPointer> {
    edits.iter().try_for_each(|edit| {
        apply_one(document, edit).ok_or_else(|| InvalidPointer(edit.pointer.clone()))
    })
}

fn apply_one(document: &mut Value, Edit { pointer, op }: &Edit) -> Option<()> {
    if let Op::Replace(new) = op {
        *pointer.resolve_mut(document)? = new.value.clone();
        return Some(());
    }
    let (parent, last) = pointer.split_last()?;
    match (parent.resolve_mut(document)?, last, op) {
        (Value::Object(map), Segment::Key(key), op) => apply_to_entry(map, key, op),
        (Value::Array(items), Segment::Index(index), Op::Add(new)) if *index <= items.len() => {
            items.insert(*index, new.value.clone());
            Some(())
        }
        (Value::Array(items), Segment::Index(index), Op::Remove) if *index < items.len() => {
            items.remove(*index);
            Some(())
        }
        _ => None,
    }
}

fn apply_to_entry(map: &mut Map<String, Value>, key: &str, op: &Op) -> Option<()> {
    match op {
        Op::Add(new) if !map.contains_key(key) => {
            map.insert(key.into(), new.value.clone());
        }
        Op::Remove => {
            map.remove(key)?;
        }
        Op::Rename { key: new, .. } if !map.contains_key(&**new) => {
            let value = map.remove(key)?;
            map.insert((**new).into(), value);
        }
        Op::Add(_) | Op::Rename { .. } | Op::Replace(_) => return None,
    }
    Some(())
}

/// Sorted edits as a JSON Patch.
pub fn json_patch(edits: &[Edit]) -> Value {
    edits.iter().map(patch_operation).collect()
}

fn patch_operation(Edit { pointer, op }: &Edit) -> Value {
    let path = pointer.to_string();
    match op {
        Op::Replace(new) => json!({"op": "replace", "path": path, "value": new.value}),
        Op::Add(new) => json!({"op": "add", "path": path, "value": new.value}),
        Op::Remove => json!({"op": "remove", "path": path}),
        Op::Rename { key, .. } => {
            let to = pointer.split_last().map(|(parent, _)| parent.join_key(key));
            json!({"op": "move", "from": path, "path": to.unwrap_or_default().to_string()})
        }
    }
}
