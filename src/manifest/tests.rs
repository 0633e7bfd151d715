//! What documents hold, and how edits leave them.

mod edits;
mod properties;
mod random;
mod reading;
mod rendering;
mod short;
mod stream;

use super::*;
use serde_json::json;

/// `/spec/containers/0`
fn at(path: &str) -> Pointer {
    path.split('/')
        .skip(1)
        .fold(Pointer::root(), |at, step| match step.parse() {
            Ok(index) => at.join_index(index),
            Err(_) => at.join_key(step),
        })
}

fn set(path: &str, value: Value) -> Edit {
    let change = Op::Replace(value.into());
    Edit {
        pointer: at(path),
        op: change,
    }
}

/// A value that is put back as it was written.
fn put_back(path: &str, value: Value, text: &str) -> Edit {
    let text = Some(text.into());
    let change = Op::Replace(NewValue { value, text });
    Edit {
        pointer: at(path),
        op: change,
    }
}

fn add(path: &str, value: Value) -> Edit {
    let change = Op::Add(value.into());
    Edit {
        pointer: at(path),
        op: change,
    }
}

fn remove(path: &str) -> Edit {
    let change = Op::Remove;
    Edit {
        pointer: at(path),
        op: change,
    }
}

fn rename(path: &str, key: &str) -> Edit {
    let change = Op::Rename {
        key: key.into(),
        text: None,
    };
    Edit {
        pointer: at(path),
        op: change,
    }
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

/// Edits, and that their inverses give the text back.
#[track_caller]
fn there_and_back(text: &str, edits: &[Edit], expected: &str) {
    let document = parsed(text);
    let new = edited(text, edits);
    assert_eq!(new, expected);
    let inverse = random::inverse(&document, edits).expect("an inverse");
    assert_eq!(edited(&new, &inverse), text);
}
