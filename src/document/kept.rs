//! Source texts of values and keys that were kept from an earlier document: whether they still stand for the
//! same where they are put back.

use super::change;
use super::render::Place;
use super::{Aliases, Document};
use serde_json::Value;

/// Whether a text stands for a value in a place. With an alias in it, which only the whole document can
/// tell, it is taken to.
pub(super) fn reads(text: &str, place: Place, value: &Value) -> bool {
    // A block scalar has a last line break or none, as the text goes on behind it or ends.
    ["\n", ""]
        .into_iter()
        .any(|end| match alone(text, place, end) {
            Some((read, loose)) => loose || change::difference(&read, value).is_none(),
            None => false,
        })
}

/// What a text stands for in a place, and whether that rests on aliases.
fn alone(text: &str, place: Place, end: &str) -> Option<(Value, bool)> {
    let bare = text.is_empty() || text.starts_with([' ', '\t', '\r', '\n']);
    let gap = if bare { "" } else { " " };
    let around = match place {
        Place::Under(column) => format!("{:column$}k:{gap}{text}{end}", ""),
        Place::Item(column) => format!("{:column$}-{gap}{text}{end}", ""),
        Place::Flow => format!("{{\"k\":{gap}{text}\n}}"),
    };
    let document = Document::read(&around, Aliases::Loose).ok()?;
    let mut value = document.value;
    let inner = match &mut value {
        Value::Object(map) if map.len() == 1 => map.get_mut("k")?.take(),
        Value::Array(items) if items.len() == 1 => items[0].take(),
        _ => return None,
    };
    Some((inner, document.tree.loose))
}

/// What a text stands for by itself; its lines tell how far in it was.
pub(super) fn read_text(text: &str) -> Option<Value> {
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
    let read = places
        .into_iter()
        .find_map(|place| alone(text, place, "\n"));
    read.filter(|(_, loose)| !loose).map(|(value, _)| value)
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
