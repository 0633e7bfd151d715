//! Manifests: no text makes the reader or the splitter panic, edits come out as they do on the value, and
//! their inverses bring every byte back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::manifest::{Op, Document, Edit, Pointer, Source, Segment, Stream, NewValue, apply};
use serde_json::{Value, json};
use std::io::BufReader;

fuzz_target!(|text: &str| {
    let size = 1 + text.len() % 7;
    let pieces = Stream::new(BufReader::with_capacity(size, text.as_bytes()));
    let pieces: Vec<String> = pieces.map(|piece| piece.unwrap().text).collect();
    assert_eq!(pieces.concat(), text);
    for piece in &pieces {
        match Document::parse(piece) {
            Ok(document) => edited(&document, text.len()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

/// One edit of each kind, in a place that the text's length picks.
fn edited(document: &Document, pick: usize) {
    let mut places = Vec::new();
    gather(document.value(), Pointer::root(), &mut places);
    let at = &places[pick % places.len()];
    document.shared_ancestor(at);
    let value = [
        json!("yes"),
        json!([{"name": "x", "args": [" #"]}]),
        json!(15020),
    ][pick % 3]
        .clone();
    there_and_back(document, set(at, value.clone()), back(document, at));
    let change = Op::Add(value.into());
    let added = match at.find(document.value()) {
        Some(Value::Object(map)) if !map.contains_key("added") => at.key("added"),
        Some(Value::Array(_)) => at.item(0),
        _ => return,
    };
    let gone = Edit {
        at: added.clone(),
        change: Op::Remove,
    };
    there_and_back(document, Edit { at: added, change }, Some(gone));
}

fn gather(value: &Value, at: Pointer, places: &mut Vec<Pointer>) {
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| gather(value, at.key(key), places)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| gather(value, at.item(index), places)),
        _ => {}
    }
    places.push(at);
}

fn set(at: &Pointer, value: Value) -> Edit {
    let change = Op::Replace(value.into());
    Edit {
        at: at.clone(),
        change,
    }
}

fn back(document: &Document, at: &Pointer) -> Option<Edit> {
    // What is written elsewhere is replaced as a whole.
    let at = document.shared_ancestor(at).unwrap_or_else(|| at.clone());
    let value = at.find(document.value())?.clone();
    let text = Some(document.value_text(&at)?);
    let change = Op::Replace(NewValue { value, text });
    Some(Edit { at, change })
}

/// An edit may be refused, and so may its inverse; what is written has to be right. Values of several styles
/// that stand on one line with their dash, and tags, may come back in other words.
fn there_and_back(document: &Document, edit: Edit, inverse: Option<Edit>) {
    let text = match document.edit(core::slice::from_ref(&edit)) {
        Ok(text) => text,
        Err(error) => {
            error.at().map(|at| document.line(at));
            return assert!(!error.to_string().is_empty());
        }
    };
    let new = Document::parse(&text).expect("what was written is read");
    let mut expected = document.value().clone();
    apply(&mut expected, core::slice::from_ref(&edit)).expect("the edit fits");
    assert_eq!(*new.value(), expected);
    let Some(inverse) = inverse else { return };
    if let Ok(text) = new.edit(&[inverse]) {
        let back = Document::parse(&text).expect("what was written is read");
        assert_eq!(back.value(), document.value());
        if ordinary(document.text(), &edit) {
            assert_eq!(text, document.text());
        }
    }
}

/// Whether a text is written as manifests are: no anchors, tags, directives, explicit keys.
fn ordinary(text: &str, edit: &Edit) -> bool {
    let keys = edit.at.steps().iter().all(|step| match step {
        Segment::Key(key) => !key.is_empty(),
        Segment::Index(_) => true,
    });
    keys && !text.contains(['&', '*', '!', '?', '%', '\t', '\r', '<', '{', '['])
}
