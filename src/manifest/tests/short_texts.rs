//! Parses and edits every short text of YAML indicators, without a panic.

use super::random::pointers;
use super::*;

/// Indicators and scalars, so that anchors are in every position.
const TOKENS: [&str; 18] = [
    "&a ", "&b\n", "*a", "!t ", "- ", "-\n", "? ", ": ", ":\n", "x", "\n", "\r", "\r\n", " ", "{",
    "}", "[", ", ",
];

#[test]
fn every_short_text_is_parsed_and_edited_without_a_panic() {
    let depth = std::env::var("PROBELET_TEST_DEPTH");
    let depth = depth.map_or(3, |depth| depth.parse().expect("a number"));
    let mut parsed = 0;
    extend(&mut String::new(), depth, &mut parsed);
    assert!(parsed > 200, "{parsed}");
}

fn extend(text: &mut String, depth: usize, parsed: &mut usize) {
    if let Ok(document) = Document::parse(text) {
        *parsed += 1;
        look_up_and_edit(&document);
    }
    if depth == 0 {
        return;
    }
    for token in TOKENS {
        let length = text.len();
        text.push_str(token);
        extend(text, depth - 1, parsed);
        text.truncate(length);
    }
}

/// Asserts that spans are in order, and that a successful edit yields the expected value.
fn look_up_and_edit(document: &Document) {
    for node in &document.tree.nodes {
        let ordered = node.after_indicator <= node.start && node.start <= node.end;
        assert!(ordered, "{:?}: {node:?}", document.text());
    }
    for pointer in pointers(document.value()) {
        document.value_text(&pointer);
        document.key_text(&pointer);
        document.outermost_shared(&pointer);
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
