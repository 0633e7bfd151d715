//! Fragments: source texts of values and keys that were saved from an earlier document. Checks whether a fragment still
//! parses to the same value at the position where it is restored.

use super::difference::difference;
use super::document::Document;
use super::parser::UnresolvedAliases;
use super::render::Context;
use super::tree::NodeKind;
use crate::limits;
use serde_json::Value;

/// The value of a fragment that [`super::SourceText::value_text`] returned; `None` if it has aliases without an anchor,
/// or more than `limits::FRAGMENT_VALUES`.
pub fn fragment_value(text: &str) -> Option<Value> {
    if let Some(value) = simple_scalar(text) {
        return Some(value);
    }
    let separators = text.bytes().filter(|byte| b",[{\n".contains(byte));
    if separators.count() >= limits::FRAGMENT_VALUES {
        return None;
    }
    parse_anywhere(text)
        .filter(|parsed| !parsed.has_unresolved_aliases)
        .map(|parsed| parsed.value)
}

/// Whether a fragment is an alias or a mapping with a merge key: an edit below it replaces all of it
/// ([`super::SourceText::outermost_shared`]).
pub fn is_shared_fragment(text: &str) -> bool {
    text.contains(['*', '<']) && parse_anywhere(text).is_some_and(|parsed| parsed.is_shared)
}

/// Whether a fragment can parse to a value in a context. One with unresolved aliases is accepted: only the whole document
/// has their values.
pub(super) fn may_parse_to(text: &str, context: Context, value: &Value) -> bool {
    // A block scalar ends with a line break, or without one at the end of the document.
    ["\n", ""]
        .into_iter()
        .any(|end| match parse(text, context, end) {
            Some(parsed) => {
                parsed.has_unresolved_aliases || difference(&parsed.value, value).is_none()
            }
            None => false,
        })
}

/// A scalar as nearly all fragments are, without the parser: a decimal number, or a string in double quotes without
/// escapes.
fn simple_scalar(text: &str) -> Option<Value> {
    let bytes = text.as_bytes();
    match bytes {
        [b'1'..=b'9', ..] if bytes.len() < 10 && bytes.iter().all(u8::is_ascii_digit) => {
            text.parse::<u64>().ok().map(Value::from)
        }
        [b'"', content @ .., b'"'] => {
            let is_simple = |byte: &u8| matches!(byte, b' '..=b'~') && !b"\"\\".contains(byte);
            let text = &text[1..text.len() - 1];
            content.iter().all(is_simple).then(|| text.into())
        }
        _ => None,
    }
}

/// A parsed fragment.
struct Fragment {
    value: Value,
    has_unresolved_aliases: bool,
    /// Whether it is an alias or a mapping with a merge key.
    is_shared: bool,
}

/// Parses a fragment by itself, as it would be parsed in a context.
fn parse(text: &str, context: Context, end: &str) -> Option<Fragment> {
    let gap = if needs_space_before(text) { " " } else { "" };
    let document = match context {
        Context::MappingValue(column) => format!("{:column$}k:{gap}{text}{end}", ""),
        Context::SequenceItem(column) => format!("{:column$}-{gap}{text}{end}", ""),
        Context::Flow => format!("{{\"k\":{gap}{text}\n}}"),
    };
    let document = Document::parse_with(&document, UnresolvedAliases::Accept).ok()?;
    let root = document.tree.root?;
    let (inner, value) = match (document.entries(root), document.items(root)) {
        ([entry], []) => (entry.value, document.value().get("k")?.clone()),
        ([], [item]) => (item.value, document.value().get(0)?.clone()),
        _ => return None,
    };
    let is_alias = matches!(document.node(inner).kind, NodeKind::Alias(_));
    let mut entries = document.entries(inner).iter();
    Some(Fragment {
        value,
        has_unresolved_aliases: document.tree.has_unresolved_aliases,
        is_shared: is_alias || entries.any(|entry| entry.name.is_none()),
    })
}

/// Whether a space goes before a fragment: it is not empty and does not start with white space.
pub(super) fn needs_space_before(text: &str) -> bool {
    !text.is_empty() && !text.starts_with([' ', '\t', '\r', '\n'])
}

/// Parses a fragment in the first context in which it is valid. The column follows from the indentation of its lines.
fn parse_anywhere(text: &str) -> Option<Fragment> {
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let lines = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    let column = lines.map(indentation).min().unwrap_or_default();
    let item = Context::SequenceItem(column.saturating_sub(2));
    let value = Context::MappingValue(0);
    let contexts = if needs_space_before(text) {
        [item, value]
    } else {
        [value, item]
    };
    contexts
        .into_iter()
        .find_map(|context| parse(text, context, "\n"))
}

/// Whether a fragment parses to this key.
pub(super) fn parses_to_key(text: &str, name: &str) -> bool {
    match Document::parse_with(&format!("{text}: 1\n"), UnresolvedAliases::Accept) {
        Ok(document) => {
            let value = document.value();
            let map = value.as_object().filter(|map| map.len() == 1);
            map.is_some_and(|map| map.contains_key(name)) && !text.starts_with(['&', '*', '?'])
        }
        Err(_) => false,
    }
}
