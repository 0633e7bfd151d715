//! Manifests: no text makes the parser or the splitter panic, edits yield the same value as on JSON, and inverse edits
//! restore every byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::manifest::{
    Document, Edit, NewValue, Op, Pointer, Segment, SourceText, Stream, apply,
};
use serde_json::{Value, json};
use std::io::BufReader;

fuzz_target!(|text: &str| {
    let size = 1 + text.len() % 7;
    let stream = Stream::new(BufReader::with_capacity(size, text.as_bytes()));
    let texts: Vec<String> = stream.map(|document| document.unwrap().text).collect();
    assert_eq!(texts.concat(), text);
    for document in &texts {
        match Document::parse(document) {
            Ok(document) => edit(&document, text.len()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

/// Replaces and adds a value at a node that `seed` selects.
fn edit(document: &Document, seed: usize) {
    let mut pointers = Vec::new();
    collect(document.value(), Pointer::root(), &mut pointers);
    let pointer = &pointers[seed % pointers.len()];
    document.outermost_shared(pointer);
    let values = [
        json!("yes"),
        json!([{"name": "x", "args": [" #"]}]),
        json!(15020),
    ];
    let value = values[seed % values.len()].clone();
    let replace = Edit {
        pointer: pointer.clone(),
        op: Op::Replace(value.clone().into()),
    };
    round_trip(document, replace, restore(document, pointer));
    let op = Op::Add(value.into());
    let pointer = match pointer.resolve(document.value()) {
        Some(Value::Object(map)) if !map.contains_key("added") => pointer.join_key("added"),
        Some(Value::Array(_)) => pointer.join_index(0),
        _ => return,
    };
    let remove = Edit {
        pointer: pointer.clone(),
        op: Op::Remove,
    };
    round_trip(document, Edit { pointer, op }, Some(remove));
}

fn collect(value: &Value, pointer: Pointer, pointers: &mut Vec<Pointer>) {
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| collect(value, pointer.join_key(key), pointers)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| collect(value, pointer.join_index(index), pointers)),
        _ => {}
    }
    pointers.push(pointer);
}

/// The edit that restores a value. A shared value is restored as a whole.
fn restore(document: &Document, pointer: &Pointer) -> Option<Edit> {
    let pointer = document
        .outermost_shared(pointer)
        .unwrap_or_else(|| pointer.clone());
    let value = pointer.resolve(document.value())?.clone();
    let text = Some(document.value_text(&pointer)?);
    let op = Op::Replace(NewValue { value, text });
    Some(Edit { pointer, op })
}

/// An edit and its inverse may fail, but a successful edit has to yield the expected value. Values in a rare style may be
/// restored with other bytes.
fn round_trip(document: &Document, edit: Edit, inverse: Option<Edit>) {
    let text = match document.edit(core::slice::from_ref(&edit)) {
        Ok(text) => text,
        Err(error) => {
            document.line(error.pointer());
            return assert!(!error.to_string().is_empty());
        }
    };
    let new = Document::parse(&text).expect("the edited text parses");
    let mut expected = document.value().clone();
    apply(&mut expected, core::slice::from_ref(&edit)).expect("the edit applies");
    assert_eq!(*new.value(), expected);
    let Some(inverse) = inverse else { return };
    if let Ok(text) = new.edit(&[inverse]) {
        let restored = Document::parse(&text).expect("the edited text parses");
        assert_eq!(restored.value(), document.value());
        if is_common_style(document.text(), &edit) {
            assert_eq!(text, document.text());
        }
    }
}

/// Whether a text has no anchors, tags, directives, explicit keys and flow collections, which may be restored with other
/// bytes.
fn is_common_style(text: &str, edit: &Edit) -> bool {
    let mut segments = edit.pointer.segments().iter();
    let has_keys = segments.all(|segment| match segment {
        Segment::Key(key) => !key.is_empty(),
        Segment::Index(_) => true,
    });
    has_keys && !text.contains(['&', '*', '!', '?', '%', '\t', '<', '{', '['])
}
