//! Members of the probers' JSON one by one, read into the few kinds of values there are, and refused
//! by name.

use super::json::{self, Kind, Reader};
use super::{Problem, Rule};
use crate::limits;
use core::time::Duration;
use std::borrow::Cow;

/// What stops the reading of one entry; boxed, since every reader hands it up.
pub(super) struct Stop(pub(super) Box<Cause>);

pub(super) enum Cause {
    /// The text is not JSON.
    Syntax(json::Error),
    /// The entry is refused.
    Problem(Problem),
}

impl From<json::Error> for Stop {
    fn from(error: json::Error) -> Self {
        Stop(Box::new(Cause::Syntax(error)))
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Stop(Box::new(Cause::Problem(problem)))
    }
}

/// The members of one object that are known, in the order of the text.
pub(super) struct Members {
    names: &'static [&'static str],
    met: u8,
    seen: bool,
}

impl Members {
    /// Goes into the object that must be next.
    pub(super) fn of(
        reader: &mut Reader<'_>,
        field: &'static str,
        rule: Rule,
        names: &'static [&'static str],
    ) -> Result<Self, Stop> {
        if reader.kind()? != Kind::Object {
            return Err(refuse(reader.clone(), field, rule));
        }
        reader.enter()?;
        Ok(Members {
            names,
            met: 0,
            seen: false,
        })
    }

    /// The name of the next member that is known and not null.
    pub(super) fn next(&mut self, reader: &mut Reader<'_>) -> Result<Option<&'static str>, Stop> {
        while let Some(key) = reader.key(&mut self.seen)? {
            let is_key = |name: &&str| {
                name.rsplit('.')
                    .next()
                    .is_some_and(|last| last.eq_ignore_ascii_case(&key))
            };
            let Some(index) = self.names.iter().position(is_key) else {
                reader.skip()?;
                continue;
            };
            if self.met & 1 << index != 0 {
                return Err(Problem::Repeated(self.names[index]).into());
            }
            self.met |= 1 << index;
            if reader.kind()? != Kind::Null {
                return Ok(Some(self.names[index]));
            }
            reader.skip()?;
        }
        Ok(None)
    }
}

/// A port: a whole number, as Go reads one into an integer.
pub(super) fn number(reader: &mut Reader<'_>, field: &'static str) -> Result<u16, Stop> {
    let before = reader.clone();
    match reader.skip()?.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(refuse(before, field, Rule::Port)),
    }
}

/// `timeoutSeconds`: 0 is the default, as the API server has it.
pub(super) fn seconds(reader: &mut Reader<'_>) -> Result<Duration, Stop> {
    let before = reader.clone();
    let raw = reader.skip()?;
    let is_whole = raw.bytes().all(|b| b.is_ascii_digit());
    match raw.parse::<u64>() {
        _ if !is_whole => Err(refuse(before, "timeoutSeconds", Rule::Timeout)),
        Ok(0) => Ok(limits::PROBE_TIMEOUT),
        Ok(seconds) => Ok(Duration::from_secs(seconds).min(limits::PROBE_TIMEOUT_MAX)),
        Err(_) => Ok(limits::PROBE_TIMEOUT_MAX),
    }
}

pub(super) fn text<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<Cow<'a, str>, Stop> {
    match reader.kind()? {
        Kind::String => Ok(reader.string()?),
        _ => Err(refuse(reader.clone(), field, Rule::Text)),
    }
}

pub(super) fn one_of<T: Copy>(
    reader: &mut Reader<'_>,
    field: &'static str,
    rule: Rule,
    words: &[(&str, T)],
) -> Result<T, Stop> {
    let before = reader.clone();
    let found = text(reader, field)?;
    let word = words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(&found));
    word.map(|&(_, value)| value)
        .ok_or_else(|| refuse(before, field, rule))
}

/// Names the value that is next, as it is written.
pub(super) fn refuse(mut before: Reader<'_>, field: &'static str, rule: Rule) -> Stop {
    let found = match (before.kind(), before.skip()) {
        (Err(error), _) | (_, Err(error)) => return error.into(),
        (Ok(Kind::Object), _) => "an object",
        (Ok(Kind::Array), _) => "a list",
        (_, Ok(raw)) => {
            return Problem::Value {
                field,
                found: shorten(raw),
                rule,
            }
            .into();
        }
    };
    Problem::Value {
        field,
        found: found.into(),
        rule,
    }
    .into()
}

pub(super) fn missing(field: &'static str, rule: Rule) -> Stop {
    Problem::Value {
        field,
        found: "missing".into(),
        rule,
    }
    .into()
}

pub(super) fn missing_port(field: &'static str) -> Stop {
    missing(field, Rule::Port)
}

fn shorten(raw: &str) -> Box<str> {
    const CHARS: usize = 60;
    match raw.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}...", &raw[..end]).into(),
        None => raw.into(),
    }
}
