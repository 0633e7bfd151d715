//! The paths at which two values differ, for a failing test's message.

use serde_json::Value;
use std::collections::BTreeSet;

/// How many differences are printed.
const MOST: usize = 6;
/// How many characters of a value are printed.
const LONGEST: usize = 160;

/// The first differences, a line each: path, left, right.
pub fn diff(left: &Value, right: &Value) -> String {
    let mut lines = Vec::new();
    collect(Some(left), Some(right), "", &mut lines);
    let more = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines.join("\n")
}

fn collect(left: Option<&Value>, right: Option<&Value>, path: &str, lines: &mut Vec<String>) {
    match (left, right) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                collect(
                    one.get(key),
                    other.get(key),
                    &format!("{path}/{key}"),
                    lines,
                );
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            for index in 0..one.len().max(other.len()) {
                let path = format!("{path}/{index}");
                collect(one.get(index), other.get(index), &path, lines);
            }
        }
        _ if left == right => {}
        _ => lines.push(format!("  {path}: {} | {}", short(left), short(right))),
    }
}

fn short(value: Option<&Value>) -> String {
    let text = value.map_or("(absent)".into(), Value::to_string);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
