//! The differences between two JSON values.

use super::pointer::Pointer;
use serde_json::Value;
use std::collections::BTreeSet;

/// A pointer to the first difference. Numbers are equal if their values are, even if one is an integer and the other a
/// float.
pub(super) fn difference(one: &Value, other: &Value) -> Option<Pointer> {
    differences(one, other).into_iter().next()
}

/// Pointers to all differences, each to the deepest node that has it.
pub(super) fn differences(one: &Value, other: &Value) -> Vec<Pointer> {
    let mut found = Vec::new();
    if one != other {
        compare(Some(one), Some(other), &Pointer::root(), &mut found);
    }
    found
}

fn compare(
    one: Option<&Value>,
    other: Option<&Value>,
    pointer: &Pointer,
    found: &mut Vec<Pointer>,
) {
    match (one, other) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let (one, other) = (one.get(key), other.get(key));
                if one != other {
                    compare(one, other, &pointer.join_key(key), found);
                }
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            for index in 0..one.len().max(other.len()) {
                let (one, other) = (one.get(index), other.get(index));
                if one != other {
                    compare(one, other, &pointer.join_index(index), found);
                }
            }
        }
        (Some(Value::Number(one)), Some(Value::Number(other)))
            if one == other || one.as_f64() == other.as_f64() => {}
        _ => found.push(pointer.clone()),
    }
}
