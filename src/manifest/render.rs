//! Renders new values as YAML in block or flow style, or as JSON.

use super::scalar;
use serde_json::{Map, Value};

/// Keys that come first in a new mapping: people expect a container to start with its name. The others follow in
/// alphabetical order.
const LEADING_KEYS: [&str; 9] = [
    "name",
    "image",
    "imagePullPolicy",
    "restartPolicy",
    "args",
    "env",
    "ports",
    "value",
    "valueFrom",
];

/// The style of a document.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub line_break: &'static str,
    /// The indentation of a sequence's dashes, relative to its key.
    pub dash_indentation: usize,
    pub is_json: bool,
    /// The text after a colon or a comma in flow style: a space, or nothing.
    pub separator: &'static str,
}

/// The context of a value.
#[derive(Clone, Copy)]
pub(super) enum Context {
    /// The value of a block mapping whose keys are in this column.
    MappingValue(usize),
    /// An item of a block sequence whose dashes are in this column.
    SequenceItem(usize),
    /// Inside a flow collection.
    Flow,
}

/// The quotes of a string.
#[derive(Clone, Copy)]
pub(super) enum Quotes {
    Single,
    Double,
}

/// The quotes of a scalar's source text.
pub(super) fn quotes(text: &str) -> Option<Quotes> {
    match text.as_bytes().first()? {
        b'\'' => Some(Quotes::Single),
        b'"' => Some(Quotes::Double),
        _ => None,
    }
}

impl Style {
    /// A string in quotes: in double quotes if it needs escapes, or in JSON.
    pub fn quoted(&self, text: &str, quotes: Quotes) -> String {
        match quotes {
            Quotes::Single if !self.is_json => single_quoted(text),
            Quotes::Single | Quotes::Double => double_quoted(text),
        }
    }

    /// A value. In block style, it starts with the space or the line break after the colon or dash.
    pub fn value(&self, value: &Value, context: Context) -> String {
        match (value, context) {
            (_, Context::Flow) => self.flow(value),
            (Value::Object(map), Context::MappingValue(column)) if !map.is_empty() => {
                let column = column + 2;
                let line_start = self.new_line(column);
                line_start.clone() + &self.entries(map, column).join(&line_start)
            }
            (Value::Object(map), Context::SequenceItem(column)) if !map.is_empty() => {
                let column = column + 2;
                format!(
                    " {}",
                    self.entries(map, column).join(&self.new_line(column))
                )
            }
            (Value::Array(items), Context::MappingValue(column)) if !items.is_empty() => {
                let column = column + self.dash_indentation;
                let line_start = self.new_line(column);
                line_start.clone() + &self.items(items, column).join(&line_start)
            }
            (Value::Array(items), Context::SequenceItem(column)) if !items.is_empty() => {
                let column = column + 2;
                format!(
                    " {}",
                    self.items(items, column).join(&self.new_line(column))
                )
            }
            _ => format!(" {}", self.scalar(value, false)),
        }
    }

    fn entries(&self, map: &Map<String, Value>, column: usize) -> Vec<String> {
        let context = Context::MappingValue(column);
        let entries = in_order(map).into_iter();
        entries
            .map(|(key, value)| self.entry(key, value, context))
            .collect()
    }

    fn items(&self, items: &[Value], column: usize) -> Vec<String> {
        let item = |item| format!("-{}", self.value(item, Context::SequenceItem(column)));
        items.iter().map(item).collect()
    }

    fn entry(&self, key: &str, value: &Value, context: Context) -> String {
        let is_flow = matches!(context, Context::Flow);
        let separator = if is_flow { self.separator } else { "" };
        format!(
            "{}:{separator}{}",
            self.key(key, is_flow),
            self.value(value, context)
        )
    }

    /// A key.
    pub fn key(&self, key: &str, is_flow: bool) -> String {
        self.scalar(&key.into(), is_flow)
    }

    /// A line break and the indentation up to a column.
    pub fn new_line(&self, column: usize) -> String {
        format!("{}{:column$}", self.line_break, "")
    }

    fn flow(&self, value: &Value) -> String {
        let comma = format!(",{}", self.separator);
        match value {
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.flow(item)).collect();
                format!("[{}]", items.join(&comma))
            }
            Value::Object(map) => {
                let entries = in_order(map).into_iter();
                let entries: Vec<_> = entries
                    .map(|(key, value)| self.entry(key, value, Context::Flow))
                    .collect();
                format!("{{{}}}", entries.join(&comma))
            }
            _ => self.scalar(value, true),
        }
    }

    /// A scalar or an empty collection.
    fn scalar(&self, value: &Value, is_flow: bool) -> String {
        match value {
            Value::String(text) if self.is_json => double_quoted(text),
            Value::String(text) if is_plain(text, is_flow) => text.into(),
            Value::String(text) => single_quoted(text),
            _ => value.to_string(),
        }
    }
}

/// The entries in the order in which they are written.
fn in_order(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let rank = |key: &str| LEADING_KEYS.iter().position(|leading| *leading == key);
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| (rank(key).unwrap_or(LEADING_KEYS.len()), *key));
    entries
}

/// In single quotes; in double quotes if the text needs escapes, which single quotes do not have.
fn single_quoted(text: &str) -> String {
    match text.chars().any(needs_escape) {
        true => double_quoted(text),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

/// Whether a character is valid only as an escape.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

/// In double quotes with JSON's escapes, which YAML has too.
fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if needs_escape(c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Whether the text without quotes is this string for readers of YAML 1.1 and of YAML 1.2.
fn is_plain(text: &str, is_flow: bool) -> bool {
    let is_valid_start = match text.as_bytes() {
        [b'-', next, ..] => next.is_ascii_alphabetic() || *next == b'-' && text.len() > 3,
        [first, ..] => first.is_ascii_alphanumeric() || b"/._$".contains(first),
        [] => false,
    };
    let is_allowed = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || b"-_./@+=$%()".contains(&byte)
            || !is_flow && b" ,:*[]{}".contains(&byte)
    };
    is_valid_start
        && text.bytes().all(is_allowed)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.starts_with("---")
        && !is_numeric(text)
        && !is_reserved_word(text)
        && scalar::parse_plain(text).is_string()
}

/// Whether some reader may parse the text as a number. Includes base 60, timestamps and Ruby's `1,000`.
fn is_numeric(text: &str) -> bool {
    let body = text.trim_start_matches(['+', '-']);
    body.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && body
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || b"xXoO_,.:+-TtZz ".contains(&byte))
}

/// Whether some reader may parse the text as a boolean, null or a float, in any case.
fn is_reserved_word(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "y", "yes", "n", "no", "true", "false", "on", "off", "null", ".inf", ".nan", "=",
    ];
    let body = text.trim_start_matches(['+', '-']);
    WORDS.iter().any(|word| body.eq_ignore_ascii_case(word))
}
