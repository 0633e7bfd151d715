//! Splits the text of a large List into its items, so that only one of them is in memory as values. Each item is a
//! document of its own: the text of the item between a head and an end that make it a List again.

use crate::limits;
use crate::manifest::Document;
use core::ops::Range;
use serde_json::Value;

/// A List that is split.
pub(super) struct ListItems {
    /// The text before an item that makes it a List.
    head: String,
    /// The text after it.
    end: &'static str,
    /// The spans of the items, one after the other in the text of the List, separators excluded.
    items: Vec<Range<usize>>,
}

impl ListItems {
    /// Splits the text of a List. `None` for texts that are small or cannot be split: other kinds, aliases of another
    /// item, rare styles.
    pub(super) fn split(text: &str) -> Option<Self> {
        if text.len() < limits::SPLIT_LIST_BYTES {
            return None;
        }
        let list = match text.trim_start().starts_with('{') {
            true => Self::split_json(text)?,
            false => Self::split_block(text)?,
        };
        let is_valid = |item: &Range<usize>| list.is_valid(&text[item.clone()]);
        list.items.iter().all(is_valid).then_some(list)
    }

    /// Splits JSON.
    fn split_json(text: &str) -> Option<Self> {
        let items = json_items(text)?;
        let (first, last) = (items.first()?.start, items.last()?.end);
        let rest = [&text[..first], &text[last..]].concat();
        let rest: Value = serde_json::from_str(&rest).ok()?;
        let kind = kind_of_list(&rest)?;
        let colon = memchr::memchr(b':', text.as_bytes())?;
        // New text has the same spaces as the document's first entry.
        let gap = match text[colon + 1..].starts_with([' ', '\n', '\r', '\t']) {
            true => " ",
            false => "",
        };
        Some(Self {
            head: format!("{{\"kind\":{gap}{},\"items\":{gap}[", Value::from(kind)),
            end: "]}",
            items,
        })
    }

    /// Splits a block sequence under a line `items:`.
    fn split_block(text: &str) -> Option<Self> {
        let items = block_items(text)?;
        let (first, last) = (items.first()?.start, items.last()?.end);
        let rest = [&text[..first], &text[last..]].concat();
        let rest = Document::parse(&rest).ok()?;
        let kind = kind_of_list(rest.value())?;
        let line_break = if text[..first].ends_with("\r\n") {
            "\r\n"
        } else {
            "\n"
        };
        let kind = Value::from(kind);
        Some(Self {
            head: format!("kind: {kind}{line_break}items:{line_break}"),
            end: "",
            items,
        })
    }

    /// Whether a text is one item, complete without the others.
    fn is_valid(&self, item: &str) -> bool {
        if !self.end.is_empty() && serde_json::from_str::<Value>(item).is_err() {
            return false;
        }
        Document::parse(&self.document_text(item)).is_ok_and(|document| {
            let items = document.value()["items"].as_array();
            items.is_some_and(|items| items.len() == 1)
        })
    }

    /// The spans of the items.
    pub(super) fn items(&self) -> &[Range<usize>] {
        &self.items
    }

    /// The text of the document that has one item.
    pub(super) fn document_text(&self, item: &str) -> String {
        [&*self.head, item, self.end].concat()
    }

    /// The number of lines before the item in that document.
    pub(super) fn head_lines(&self) -> usize {
        memchr::memchr_iter(b'\n', self.head.as_bytes()).count()
    }

    /// The item in the text of such a document, which may be edited.
    pub(super) fn item_text<'t>(&self, document_text: &'t str) -> Option<&'t str> {
        document_text
            .strip_prefix(&*self.head)?
            .strip_suffix(self.end)
    }
}

fn kind_of_list(rest: &Value) -> Option<&str> {
    let items = &rest["items"];
    let is_empty = items.is_null() || items.as_array().is_some_and(Vec::is_empty);
    let kind = rest["kind"].as_str()?;
    (is_empty && kind.ends_with("List")).then_some(kind)
}

/// The spans of the items of a List in JSON, each with the white space around it.
fn json_items(text: &str) -> Option<Vec<Range<usize>>> {
    const KEY: &str = "\"items\"";
    let mut items = Vec::new();
    let (mut depth, mut in_string, mut is_escaped, mut is_in_items) =
        (0_usize, false, false, false);
    let mut start = 0;
    for (offset, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                let before = text[..offset].trim_end();
                let before = before.strip_suffix(':').unwrap_or_default().trim_end();
                if depth == 1 && byte == b'[' && items.is_empty() && before.ends_with(KEY) {
                    is_in_items = true;
                    start = offset + 1;
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if is_in_items && depth == 1 {
                    items.push(start..offset);
                    is_in_items = false;
                }
            }
            b',' if is_in_items && depth == 2 => {
                items.push(start..offset);
                start = offset + 1;
            }
            _ => {}
        }
    }
    Some(items)
}

/// The spans of the items of a List in block style: from the line of one dash to that of the next.
fn block_items(text: &str) -> Option<Vec<Range<usize>>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    let (mut is_in_items, mut column) = (false, None);
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        if !is_in_items {
            // A second line `items:` cannot be one of this mapping, or the document is not valid.
            let key = line.split_once(" #").map_or(line, |(key, _)| key);
            is_in_items = items.is_empty() && key.trim_end() == "items:";
            continue;
        }
        let content = line.trim_start_matches(' ');
        let indentation = line.len() - content.len();
        let is_dash = content.starts_with("- ") || content.trim_end() == "-";
        if is_dash && column.is_none_or(|column| column == indentation) {
            column = Some(indentation);
            if let Some(last) = items.last_mut() {
                last.end = start;
            }
            items.push(start..text.len());
        } else if indentation == 0 && !content.starts_with(['#', '\r', '\n', '-']) {
            items.last_mut()?.end = start;
            is_in_items = false;
        } else if !content.trim_end().is_empty() && !content.starts_with('#') {
            // Part of the last item.
            items.last()?;
        }
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Option<Vec<&str>> {
        let spans = match text.trim_start().starts_with('{') {
            true => json_items(text),
            false => block_items(text),
        }?;
        Some(spans.into_iter().map(|span| &text[span]).collect())
    }

    /// A List in JSON with an item of this number of bytes.
    fn json_list(bytes: usize) -> String {
        format!(
            r#"{{"kind": "List", "items": [1, "{}"]}}"#,
            "x".repeat(bytes)
        )
    }

    #[test]
    fn a_block_list_is_split_at_its_dashes() {
        let text =
            "kind: List\nitems:\n- a: 1\n  b:\n  - c\n# x\n-\n  a: |\n   - a\n\nmetadata: {}\n";
        let split = items(text).expect("items");
        assert_eq!(
            split,
            ["- a: 1\n  b:\n  - c\n# x\n", "-\n  a: |\n   - a\n\n"]
        );
        let text = "items:\n  - a: 1\n    b:\n    - c\n  - b";
        assert_eq!(
            items(text).expect("items"),
            ["  - a: 1\n    b:\n    - c\n", "  - b"]
        );
        for start in [
            "items:\n# x\n",
            "items:\n\n  # x\n",
            "items: # x\n",
            "items:  \r\n\r\n",
        ] {
            let text = format!("{start}- a\n# y\n- b\n");
            assert_eq!(
                items(&text).expect("items"),
                ["- a\n# y\n", "- b\n"],
                "{start:?}"
            );
        }
        assert_eq!(items("items:\n# x\n  a\n- b\n"), None);
    }

    #[test]
    fn a_list_in_json_is_split_at_its_commas() {
        let text = r#"{"a": {"items": [0]}, "items": [{"a": "],\"["}, [1, 2] , {}], "b": [1]}"#;
        let split = items(text).expect("items");
        assert_eq!(split, [r#"{"a": "],\"["}"#, " [1, 2] ", " {}"]);
    }

    #[test]
    fn a_list_is_split_only_if_each_item_is_complete() {
        let padding = format!("# {}\n", "x".repeat(limits::SPLIT_LIST_BYTES));
        let split = |text: &str| ListItems::split(&format!("{padding}{text}"));
        let list = "kind: PodList\nitems:\n- a: 1\n- b: 2\n";
        let found = split(list).expect("items");
        assert_eq!(
            found.document_text("- b: 2\n"),
            "kind: \"PodList\"\nitems:\n- b: 2\n"
        );
        assert_eq!(
            found.item_text("kind: \"PodList\"\nitems:\n- c\n"),
            Some("- c\n")
        );
        let json = format!("\n {}", json_list(limits::SPLIT_LIST_BYTES));
        assert!(ListItems::split(&json).is_some(), "{json:.50}");
        for list in [
            "kind: List\nitems:\n# x\n\n- a: 1\n- b: 2\n",
            "kind: List\nitems: # x\n- a: 1\n- b: 2\n",
        ] {
            assert!(split(list).is_some(), "{list}");
        }
        for text in [
            "kind: ConfigMap\nitems:\n- a: 1\n",
            "kind: List\nitems:\n- a: &x 1\n- b: *x\n",
            "kind: List\nitems:\n- a: \"\n- b\"\n",
            "kind: List\nitems:\n- a: 1\n- b: [\n",
            "kind: List\nitems:\n- a: 1\nkind: List\n",
            "kind: List\nitems: []\n",
        ] {
            assert!(split(text).is_none(), "{text}");
        }
    }
}
