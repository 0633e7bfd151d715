//! Source texts of values and keys that were kept from an earlier document: whether they still stand for the
//! same where they are put back.

use super::change;
use super::render::Place;
use super::tree::Kind;
use super::{Aliases, Document};
use serde_json::Value;

/// Whether a text stands for a value in a place. With an alias in it, which only the whole document can
/// tell, it is taken to.
pub(super) fn reads(text: &str, place: Place, value: &Value) -> bool {
    // A block scalar has a last line break or none, as the text goes on behind it or ends.
    ["\n", ""]
        .into_iter()
        .any(|end| match alone(text, place, end) {
            Some(read) => read.is_loose || change::difference(&read.value, value).is_none(),
            None => false,
        })
}

/// A text read by itself.
struct Alone {
    value: Value,
    /// Whether it has aliases whose anchors are elsewhere.
    is_loose: bool,
    /// Whether it is an alias or a mapping with a `<<`.
    is_shared: bool,
}

/// Reads a text by itself, as it would be read in a place.
fn alone(text: &str, place: Place, end: &str) -> Option<Alone> {
    let bare = text.is_empty() || text.starts_with([' ', '\t', '\r', '\n']);
    let gap = if bare { "" } else { " " };
    let around = match place {
        Place::Under(column) => format!("{:column$}k:{gap}{text}{end}", ""),
        Place::Item(column) => format!("{:column$}-{gap}{text}{end}", ""),
        Place::Flow => format!("{{\"k\":{gap}{text}\n}}"),
    };
    let document = Document::read(&around, Aliases::Loose).ok()?;
    let root = document.tree.root?;
    let (inner, value) = match (document.entries(root), document.items(root)) {
        ([entry], []) => (entry.value, document.value.get("k")?.clone()),
        ([], [item]) => (item.value, document.value.get(0)?.clone()),
        _ => return None,
    };
    let is_alias = matches!(document.node(inner).kind, Kind::Alias(_));
    let mut entries = document.entries(inner).iter();
    Some(Alone {
        value,
        is_loose: document.tree.loose,
        is_shared: is_alias || entries.any(|entry| entry.name.is_none()),
    })
}

/// The value of a text by itself; none if it rests on anchors elsewhere.
pub(super) fn read_text(text: &str) -> Option<Value> {
    somewhere(text)
        .filter(|read| !read.is_loose)
        .map(|read| read.value)
}

/// Whether a text is an alias or a mapping with a `<<`.
pub(super) fn is_shared(text: &str) -> bool {
    text.contains(['*', '<']) && somewhere(text).is_some_and(|read| read.is_shared)
}

/// Reads a text in the first place that takes it; the indentation of its lines gives the column.
fn somewhere(text: &str) -> Option<Alone> {
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let lines = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    let column = lines.map(indent).min().unwrap_or_default();
    let item = Place::Item(column.saturating_sub(2));
    let under = text.is_empty() || text.starts_with([' ', '\t', '\r', '\n']);
    let places = if under {
        [Place::Under(0), item]
    } else {
        [item, Place::Under(0)]
    };
    places
        .into_iter()
        .find_map(|place| alone(text, place, "\n"))
}

/// Whether a text reads as a key.
pub(super) fn is_key(text: &str, name: &str) -> bool {
    match Document::read(&format!("{text}: 1\n"), Aliases::Loose) {
        Ok(document) => {
            let value = document.value();
            let only = value.as_object().filter(|map| map.len() == 1);
            only.is_some_and(|map| map.contains_key(name)) && !text.starts_with(['&', '*', '?'])
        }
        Err(_) => false,
    }
}
