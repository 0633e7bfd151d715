//! A strict reader of Prometheus' text format, version 0.0.4: one wrong line fails the test.

use std::collections::{BTreeMap, HashMap};

/// A page of metrics: every sample by its name and its labels, sorted.
#[derive(Debug)]
pub struct Page {
    samples: BTreeMap<Key, f64>,
}

type Key = (String, Vec<(String, String)>);

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// The first line that does not follow the format.
    pub fn parse(text: &str) -> Result<Page, String> {
        let (mut types, mut samples) = (HashMap::new(), BTreeMap::new());
        if !text.ends_with('\n') {
            return Err("the last line does not end".into());
        }
        for line in text.lines() {
            let is_right = match line.strip_prefix("# ") {
                Some(comment) => declare(comment, &mut types).is_some(),
                None => sample(line).is_some_and(|(key, value)| {
                    let declared = types.contains_key(family(&key.0, &types));
                    declared && samples.insert(key, value).is_none()
                }),
            };
            if !is_right {
                return Err(line.into());
            }
        }
        Ok(Page { samples })
    }

    /// The value of one sample.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut labels: Vec<_> = labels
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        labels.sort();
        self.samples.get(&(name.to_string(), labels)).copied()
    }

    /// All samples of a name: their labels and value.
    pub fn all(&self, name: &str) -> Vec<(&[(String, String)], f64)> {
        let named = self.samples.iter().filter(|((n, _), _)| n == name);
        named
            .map(|((_, labels), value)| (labels.as_slice(), *value))
            .collect()
    }

    /// The samples of a name that differ in one label only, by that label.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let value_of = |labels: &[(String, String)]| {
            labels
                .iter()
                .find(|(k, _)| k == label)
                .map(|(_, v)| v.clone())
        };
        self.all(name)
            .into_iter()
            .filter_map(|(labels, v)| Some((value_of(labels)?, v)))
            .collect()
    }
}

/// `HELP name text` or `TYPE name kind`, the latter once for each name and before its samples.
fn declare(comment: &str, types: &mut HashMap<String, String>) -> Option<()> {
    let (word, rest) = comment.split_once(' ')?;
    let (name, text) = rest
        .split_once(' ')
        .filter(|(name, _)| is_name(name, true))?;
    let is_right = match word {
        "HELP" => !text.is_empty(),
        "TYPE" => {
            let known = ["counter", "gauge", "histogram"].contains(&text);
            known && types.insert(name.into(), text.into()).is_none()
        }
        _ => false,
    };
    is_right.then_some(())
}

/// The declared name; for samples of a histogram, without the suffix.
fn family<'a>(name: &'a str, types: &HashMap<String, String>) -> &'a str {
    let is_histogram = |base: &&str| types.get(*base).is_some_and(|kind| kind == "histogram");
    let suffixes = ["_bucket", "_sum", "_count"].into_iter();
    let base = suffixes
        .filter_map(|suffix| name.strip_suffix(suffix))
        .find(is_histogram);
    base.unwrap_or(name)
}

/// `name{label="value",...} number`
fn sample(line: &str) -> Option<(Key, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, mut rest) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquote(quoted)?;
        is_name(label, false).then(|| labels.push((label.to_string(), value)))?;
        rest = if after.is_empty() {
            after
        } else {
            after.strip_prefix(',').filter(|r| !r.is_empty())?
        };
    }
    labels.sort();
    is_name(name, true).then_some(((name.to_string(), labels), number(value)?))
}

/// The text up to the closing quote, and the rest.
fn unquote(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

/// A float of Go's `ParseFloat`, as far as integers and decimals.
fn number(text: &str) -> Option<f64> {
    let legal = text
        .chars()
        .all(|c| c.is_ascii_digit() || ".e+-".contains(c));
    legal.then(|| text.parse().ok())?
}

fn is_name(name: &str, colon: bool) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || colon && c == ':';
    name.chars().all(legal) && name.starts_with(|c: char| !c.is_ascii_digit())
}
