//! Every short text made of YAML's indicators: none makes the reader or an edit panic.

use super::random::places;
use super::*;

/// Indicators and what they apply to, with anchors in every position.
const PIECES: [&str; 16] = [
    "&a ", "&b\n", "*a", "!t ", "- ", "-\n", "? ", ": ", ":\n", "x", "\n", " ", "{", "}", "[", ", ",
];

#[test]
fn every_short_text_has_its_source_text() {
    let depth = std::env::var("PROBELET_TEST_DEPTH");
    let depth = depth.map_or(3, |depth| depth.parse().expect("a number"));
    let mut parsed = 0;
    every(&mut String::new(), depth, &mut parsed);
    assert!(parsed > 200, "{parsed}");
}

fn every(text: &mut String, depth: usize, parsed: &mut usize) {
    if let Ok(document) = Document::parse(text) {
        *parsed += 1;
        read_and_edit(&document);
    }
    if depth == 0 {
        return;
    }
    for piece in PIECES {
        let length = text.len();
        text.push_str(piece);
        every(text, depth - 1, parsed);
        text.truncate(length);
    }
}

/// Nodes have their bytes in order, and an edit that succeeds yields the value that it should.
fn read_and_edit(document: &Document) {
    for node in &document.tree.nodes {
        let ordered = node.after_indicator <= node.start && node.start <= node.end;
        assert!(ordered, "{:?}: {node:?}", document.text());
    }
    for pointer in places(document.value()) {
        document.value_text(&pointer);
        document.key_text(&pointer);
        document.shared_ancestor(&pointer);
        document.line(&pointer);
        let value = json!([{"name": "x"}]);
        let edits = [Edit {
            pointer,
            op: Op::Replace(value.into()),
        }];
        if let Ok(text) = document.edit(&edits) {
            let mut expected = document.value().clone();
            apply(&mut expected, &edits).expect("the edit fits");
            assert_eq!(
                *super::parsed(&text).value(),
                expected,
                "{:?}",
                document.text()
            );
        }
    }
}
