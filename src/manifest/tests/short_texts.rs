//! Parses and edits every short text of YAML indicators: no panic, the intended value, and every byte restored.

use super::random::{inverse, pointers};
use super::*;

/// Indicators and scalars, so that anchors are in every position.
const TOKENS: [&str; 18] = [
    "&a ", "&b\n", "*a", "!t ", "- ", "-\n", "? ", ": ", ":\n", "x", "\n", "\r", "\r\n", " ", "{",
    "}", "[", ", ",
];

/// Block style, comments and blanks, as people write them.
const BLOCK_TOKENS: [&str; 12] = [
    "k:", "-", "x", "'y'", "|", "+", "#", " ", "\t", "\n", "\r\n", "---",
];

#[test]
fn every_short_text_is_parsed_and_edited_without_a_panic() {
    let mut parsed = 0;
    extend(&mut String::new(), &TOKENS, depth(3), &mut |document| {
        parsed += 1;
        look_up_and_edit(document);
    });
    assert!(parsed > 200, "{parsed}");
}

#[test]
fn every_short_text_in_block_style_is_restored() {
    let mut restored = 0;
    for start in ["", "k:", "- ", "k:\n  ", "k: |\n "] {
        let depth = depth(2);
        extend(
            &mut start.to_owned(),
            &BLOCK_TOKENS,
            depth,
            &mut |document| {
                look_up_and_edit(document);
                restored += edit_and_restore(document);
            },
        );
    }
    assert!(restored > 500, "{restored}");
}

fn depth(default: usize) -> usize {
    let depth = std::env::var("PROBELET_TEST_DEPTH");
    depth.map_or(default, |depth| depth.parse().expect("a number"))
}

/// Calls `check` with each document that starts with a text and continues with up to `depth` tokens.
fn extend(text: &mut String, tokens: &[&str], depth: usize, check: &mut impl FnMut(&Document)) {
    if let Ok(document) = Document::parse(text) {
        check(&document);
    }
    if depth == 0 {
        return;
    }
    for token in tokens {
        let length = text.len();
        text.push_str(token);
        extend(text, tokens, depth - 1, check);
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

/// Replaces each value and adds one next to it. Asserts that the inverse edit restores every byte. Returns the number of
/// restored edits.
fn edit_and_restore(document: &Document) -> usize {
    let mut restored = 0;
    for pointer in pointers(document.value()) {
        for value in [json!("yes"), json!([{"name": "x"}])] {
            let mut edits = vec![Edit {
                pointer: pointer.clone(),
                op: Op::Replace(value.clone().into()),
            }];
            let added = match pointer.resolve(document.value()) {
                Some(Value::Object(_)) => Some(pointer.join_key("added")),
                Some(Value::Array(_)) => Some(pointer.join_index(0)),
                _ => None,
            };
            edits.extend(added.map(|pointer| Edit {
                pointer,
                op: Op::Add(value.into()),
            }));
            for edit in edits {
                let edit = core::slice::from_ref(&edit);
                let Ok(new) = document.edit(edit) else {
                    continue;
                };
                let inverse = inverse(document, edit).expect("an inverse");
                let Ok(text) = super::parsed(&new).edit(&inverse) else {
                    continue;
                };
                assert_eq!(text, document.text(), "{new:?} {edit:?}");
                restored += 1;
            }
        }
    }
    restored
}
