//! Parsing and editing of documents.

mod edits;
mod parsing;
mod properties;
mod random;
mod rendering;
mod short_texts;
mod stream;

use super::*;
use serde_json::{Value, json};

/// The pointer `/spec/containers/0`.
fn pointer(path: &str) -> Pointer {
    let segments = path.split('/').skip(1);
    segments.fold(Pointer::root(), |pointer, segment| match segment.parse() {
        Ok(index) => pointer.join_index(index),
        Err(_) => pointer.join_key(segment),
    })
}

fn edit(path: &str, op: Op) -> Edit {
    let pointer = pointer(path);
    Edit { pointer, op }
}

fn replace(path: &str, value: Value) -> Edit {
    edit(path, Op::Replace(value.into()))
}

/// Replaces a value by one with a saved source text.
fn restore(path: &str, value: Value, text: &str) -> Edit {
    let text = Some(text.into());
    edit(path, Op::Replace(NewValue { value, text }))
}

fn add(path: &str, value: Value) -> Edit {
    edit(path, Op::Add(value.into()))
}

fn remove(path: &str) -> Edit {
    edit(path, Op::Remove)
}

fn rename(path: &str, key: &str) -> Edit {
    let key = key.into();
    edit(path, Op::Rename { key, text: None })
}

fn parsed(text: &str) -> Document {
    Document::parse(text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}

#[track_caller]
fn edited(text: &str, edits: &[Edit]) -> String {
    parsed(text)
        .edit(edits)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Asserts the edited text, and that the inverse edits restore the source.
#[track_caller]
fn round_trip(text: &str, edits: &[Edit], expected: &str) {
    let document = parsed(text);
    let new = edited(text, edits);
    assert_eq!(new, expected);
    let inverse = random::inverse(&document, edits).expect("an inverse");
    assert_eq!(edited(&new, &inverse), text);
}
