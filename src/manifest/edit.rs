//! Edits of a document, applied to its JSON value or written as a JSON Patch (RFC 6902).

use super::pointer::{Pointer, Segment};
use crate::limits;
use core::borrow::Borrow;
use core::fmt;
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

impl Edit {
    /// The estimated bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        let pointer = (self.pointer.segments().len() + 1) * limits::SEGMENT_BYTES;
        let new = match &self.op {
            Op::Replace(new) | Op::Add(new) => {
                value_bytes(&new.value) + new.text.as_ref().map_or(0, |text| text.len())
            }
            Op::Rename { key, .. } => key.len(),
            Op::Remove => 0,
        };
        pointer + new
    }
}

/// The estimated bytes of memory of a value, by the same figures as those of a document.
fn value_bytes(value: &Value) -> usize {
    let collection = limits::DOCUMENT_NODE_BYTES + limits::DOCUMENT_COLLECTION_BYTES;
    match value {
        Value::Array(items) => collection + items.iter().map(value_bytes).sum::<usize>(),
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| {
                key.len() + limits::DOCUMENT_NODE_BYTES + value_bytes(value)
            };
            collection + members.iter().map(member).sum::<usize>()
        }
        Value::String(text) => limits::DOCUMENT_NODE_BYTES + text.len(),
        _ => limits::DOCUMENT_NODE_BYTES,
    }
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
    /// Changes the key of an entry without moving it. The mapping must not have the new key.
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

/// Why an edit does not apply to a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// The node to edit, or the collection to add it to, is missing.
    Missing(Pointer),
    /// The entry to add, or the new key of an entry, exists already.
    AlreadyExists(Pointer),
}

impl TargetError {
    /// The node that is missing or exists already.
    pub fn pointer(&self) -> &Pointer {
        match self {
            TargetError::Missing(pointer) | TargetError::AlreadyExists(pointer) => pointer,
        }
    }
}

impl core::error::Error for TargetError {}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.pointer().describe();
        match self {
            TargetError::Missing(_) => write!(f, "{node} is missing: add it to the manifest"),
            TargetError::AlreadyExists(_) => {
                write!(f, "{node} exists already: remove it from the manifest")
            }
        }
    }
}

/// Sorts edits: descendants before ancestors, later siblings before earlier ones. Edits of one node keep their order.
pub fn sort_edits<E: Borrow<Edit>>(edits: &mut [E]) {
    edits.sort_by(|a, b| {
        let (a, b) = (&a.borrow().pointer, &b.borrow().pointer);
        let (a, b) = (a.segments(), b.segments());
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
/// The target of the first edit that does not apply. The edits before it are applied.
pub fn apply<E: Borrow<Edit>>(document: &mut Value, edits: &[E]) -> Result<(), TargetError> {
    let mut edits = edits.iter();
    edits.try_for_each(|edit| apply_one(document, edit.borrow()))
}

fn apply_one(document: &mut Value, Edit { pointer, op }: &Edit) -> Result<(), TargetError> {
    let missing = || TargetError::Missing(pointer.clone());
    if let Op::Replace(new) = op {
        *pointer.resolve_mut(document).ok_or_else(missing)? = new.value.clone();
        return Ok(());
    }
    let (parent, last) = pointer.split_last().ok_or_else(missing)?;
    match (parent.resolve_mut(document), last, op) {
        (Some(Value::Object(map)), Segment::Key(key), op) => apply_to_entry(map, &parent, key, op),
        (Some(Value::Array(items)), Segment::Index(index), Op::Add(new))
            if *index <= items.len() =>
        {
            items.insert(*index, new.value.clone());
            Ok(())
        }
        (Some(Value::Array(items)), Segment::Index(index), Op::Remove) if *index < items.len() => {
            items.remove(*index);
            Ok(())
        }
        _ => Err(missing()),
    }
}

fn apply_to_entry(
    map: &mut Map<String, Value>,
    parent: &Pointer,
    key: &str,
    op: &Op,
) -> Result<(), TargetError> {
    let missing = || TargetError::Missing(parent.join_key(key));
    let check_absent = |map: &Map<String, Value>, key: &str| match map.contains_key(key) {
        true => Err(TargetError::AlreadyExists(parent.join_key(key))),
        false => Ok(()),
    };
    match op {
        Op::Add(new) => {
            check_absent(map, key)?;
            map.insert(key.into(), new.value.clone());
        }
        Op::Replace(new) => *map.get_mut(key).ok_or_else(missing)? = new.value.clone(),
        Op::Remove => drop(map.remove(key).ok_or_else(missing)?),
        Op::Rename { key: new, .. } => {
            check_absent(map, new)?;
            let value = map.remove(key).ok_or_else(missing)?;
            map.insert((**new).into(), value);
        }
    }
    Ok(())
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
