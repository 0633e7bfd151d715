//! New values as text: in block style among lines, in flow style or JSON inside brackets.

use super::scalar;
use serde_json::{Map, Value};

/// The keys that stand first where they are in a new mapping. People read manifests: a container begins with
/// its name; the others follow in the order of the alphabet.
const FIRST: [&str; 9] = [
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

/// How a document is written.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// Its line break.
    pub newline: &'static str,
    /// How much further in than their key the dashes of a sequence are.
    pub dashes: usize,
    /// Whether it is JSON.
    pub json: bool,
    /// What is between the colon and the value, and behind a comma, inside brackets.
    pub gap: &'static str,
}

/// Where a value will be.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Behind a key in this column, on lines of its own.
    Under(usize),
    /// Behind a dash in this column.
    Item(usize),
    /// Inside brackets.
    Flow,
}

/// The quotes of a string.
#[derive(Clone, Copy)]
pub(super) enum Quotes {
    /// `'`
    Single,
    /// `"`
    Double,
}

/// The quotes that a value is written in.
pub(super) fn quotes(text: &str) -> Option<Quotes> {
    match text.as_bytes().first()? {
        b'\'' => Some(Quotes::Single),
        b'"' => Some(Quotes::Double),
        _ => None,
    }
}

impl Style {
    /// A string in these quotes, if it can be.
    pub fn quoted(&self, text: &str, quotes: Quotes) -> String {
        match quotes {
            Quotes::Single if !self.json => single(text),
            _ => double(text),
        }
    }

    /// A value as it stands behind its colon or dash; in block style what there is in front of it belongs to it.
    pub fn value(&self, value: &Value, place: Place) -> String {
        match (value, place) {
            (_, Place::Flow) => self.flow(value),
            (Value::Object(map), Place::Under(column)) if !map.is_empty() => {
                let column = column + 2;
                let begin = self.line(column);
                begin.clone() + &self.entries(map, column).join(&begin)
            }
            (Value::Object(map), Place::Item(column)) if !map.is_empty() => {
                let column = column + 2;
                format!(" {}", self.entries(map, column).join(&self.line(column)))
            }
            (Value::Array(items), Place::Under(column)) if !items.is_empty() => {
                let column = column + self.dashes;
                let begin = self.line(column);
                begin.clone() + &self.items(items, column).join(&begin)
            }
            (Value::Array(items), Place::Item(column)) if !items.is_empty() => {
                let column = column + 2;
                format!(" {}", self.items(items, column).join(&self.line(column)))
            }
            _ => format!(" {}", self.word(value, false)),
        }
    }

    fn entries(&self, map: &Map<String, Value>, column: usize) -> Vec<String> {
        let entry = |(key, value): (&String, &Value)| self.entry(key, value, Place::Under(column));
        ordered(map).into_iter().map(entry).collect()
    }

    fn items(&self, items: &[Value], column: usize) -> Vec<String> {
        let item = |item| format!("-{}", self.value(item, Place::Item(column)));
        items.iter().map(item).collect()
    }

    /// An entry of a mapping.
    pub fn entry(&self, key: &str, value: &Value, place: Place) -> String {
        let flow = matches!(place, Place::Flow);
        let gap = if flow { self.gap } else { "" };
        format!("{}:{gap}{}", self.key(key, flow), self.value(value, place))
    }

    /// A key.
    pub fn key(&self, key: &str, flow: bool) -> String {
        self.word(&key.into(), flow)
    }

    /// A new line that begins in this column.
    pub fn line(&self, column: usize) -> String {
        format!("{}{:column$}", self.newline, "")
    }

    fn flow(&self, value: &Value) -> String {
        let comma = format!(",{}", self.gap);
        match value {
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.flow(item)).collect();
                format!("[{}]", items.join(&comma))
            }
            Value::Object(map) => {
                let entry = |(key, value): (&String, &Value)| self.entry(key, value, Place::Flow);
                let entries: Vec<_> = ordered(map).into_iter().map(entry).collect();
                format!("{{{}}}", entries.join(&comma))
            }
            _ => self.word(value, true),
        }
    }

    /// A scalar, or an empty collection.
    fn word(&self, value: &Value, flow: bool) -> String {
        match value {
            Value::String(text) if self.json => double(text),
            Value::String(text) => string(text, flow),
            _ => value.to_string(),
        }
    }
}

fn ordered(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let rank = |key: &str| FIRST.iter().position(|first| *first == key);
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| (rank(key).unwrap_or(FIRST.len()), *key));
    entries
}

fn string(text: &str, flow: bool) -> String {
    match is_plain(text, flow) {
        true => text.into(),
        false => single(text),
    }
}

/// In single quotes, which have no escapes, unless one is needed.
fn single(text: &str) -> String {
    match text.chars().any(special) {
        true => double(text),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

/// What no reader takes but as an escape.
fn special(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

/// In double quotes, with JSON's escapes, which YAML has as well.
fn double(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if special(c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Whether readers of YAML 1.1 and of 1.2 alike take the bare text for this string.
fn is_plain(text: &str, flow: bool) -> bool {
    let begins = match text.as_bytes() {
        [b'-', next, ..] => next.is_ascii_alphabetic() || *next == b'-' && text.len() > 3,
        [first, ..] => first.is_ascii_alphanumeric() || b"/._$".contains(first),
        [] => false,
    };
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || b"-_./@+=$%()".contains(&byte)
            || !flow && b" ,:*[]{}".contains(&byte)
    };
    begins
        && text.bytes().all(allowed)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.starts_with("---")
        && !numeric(text)
        && !word(text)
        && scalar::plain(text).is_string()
}

/// Numbers of some reader, base 60, timestamps and lists with commas (Ruby's `1,000`) among them.
fn numeric(text: &str) -> bool {
    let body = text.trim_start_matches(['+', '-']);
    body.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && body
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || b"xXoO_,.:+-TtZz ".contains(&byte))
}

/// What some reader takes for a boolean, null or a float, however it is capitalised.
fn word(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "y", "yes", "n", "no", "true", "false", "on", "off", "null", ".inf", ".nan", "=",
    ];
    let body = text.trim_start_matches(['+', '-']);
    WORDS.iter().any(|word| body.eq_ignore_ascii_case(word))
}
