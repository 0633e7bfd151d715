//! Reads the members of objects in the probers' JSON, with errors that name the member.

use super::json::{self, Container, Kind, Reader};
use super::{Problem, Rule};
use crate::limits;
use core::marker::PhantomData;
use core::time::Duration;
use std::borrow::Cow;

/// Why reading an entry stopped; boxed, because every function returns it.
pub(super) struct Stop(pub(super) Box<Cause>);

pub(super) enum Cause {
    /// The text is not JSON.
    Syntax(json::Error),
    /// The entry is not valid.
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

/// Declares the known members of an object as an enum, with the names that errors use: dotted, and compared by their
/// last part.
macro_rules! members {
    ($(#[$doc:meta])* $members:ident: $($member:ident = $name:expr,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum $members {
            $($member,)*
        }

        impl $crate::config::members::Member for $members {
            const NAMES: &[&str] = &[$($name),*];
            const ALL: &[Self] = &[$($members::$member),*];
        }

        impl $members {
            fn name(self) -> &'static str {
                <Self as $crate::config::members::Member>::NAMES[self as usize]
            }
        }
    };
}
pub(super) use members;

/// The known members of an object; made by [`members!`].
pub(super) trait Member: Copy + 'static {
    /// The names of the members.
    const NAMES: &[&str];
    /// The members, in the order of their names.
    const ALL: &[Self];
}

/// The members of one object that are known, in the order of the text.
pub(super) struct Members<M> {
    seen: SeenMembers,
    members: PhantomData<M>,
}

/// The part of [`Members`] that does not depend on the kind of object.
struct SeenMembers {
    /// A bit for each known member that was read.
    known: u8,
    object: Container,
}

impl<M: Member> Members<M> {
    /// Enters the object that must be next.
    pub(super) fn of(
        reader: &mut Reader<'_>,
        field: &'static str,
        rule: Rule,
    ) -> Result<Self, Stop> {
        if reader.kind()? != Kind::Object {
            return Err(invalid_value(reader.clone(), field, rule));
        }
        let object = reader.enter()?;
        Ok(Members {
            seen: SeenMembers { known: 0, object },
            members: PhantomData,
        })
    }

    /// The next member that is known and not null.
    pub(super) fn next(&mut self, reader: &mut Reader<'_>) -> Result<Option<M>, Stop> {
        let index = self.seen.next(reader, M::NAMES)?;
        Ok(index.map(|index| M::ALL[index]))
    }
}

impl SeenMembers {
    fn next(
        &mut self,
        reader: &mut Reader<'_>,
        names: &'static [&'static str],
    ) -> Result<Option<usize>, Stop> {
        while let Some(key) = self.object.next_key(reader)? {
            let is_key = |name: &&str| {
                name.rsplit('.')
                    .next()
                    .is_some_and(|last| last.eq_ignore_ascii_case(&key))
            };
            let Some(index) = names.iter().position(is_key) else {
                reader.raw_value()?;
                continue;
            };
            if self.known & 1 << index != 0 {
                return Err(Problem::Repeated(names[index]).into());
            }
            self.known |= 1 << index;
            if reader.kind()? != Kind::Null {
                return Ok(Some(index));
            }
            reader.raw_value()?;
        }
        Ok(None)
    }
}

/// A port: a whole number, as Go decodes it into an integer.
pub(super) fn read_port(reader: &mut Reader<'_>, field: &'static str) -> Result<u16, Stop> {
    let before = reader.clone();
    match reader.raw_value()?.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(invalid_value(before, field, Rule::Port)),
    }
}

/// `timeoutSeconds`: 0 means the default, as for the API server.
pub(super) fn read_timeout(reader: &mut Reader<'_>) -> Result<Duration, Stop> {
    let before = reader.clone();
    let raw = reader.raw_value()?;
    let is_whole = raw.bytes().all(|b| b.is_ascii_digit());
    match raw.parse::<u64>() {
        _ if !is_whole => Err(invalid_value(before, "timeoutSeconds", Rule::Timeout)),
        Ok(0) => Ok(limits::DEFAULT_PROBE_TIMEOUT),
        Ok(seconds) => Ok(Duration::from_secs(seconds).min(limits::PROBE_TIMEOUT_MAX)),
        Err(_) => Ok(limits::PROBE_TIMEOUT_MAX),
    }
}

pub(super) fn read_string<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<Cow<'a, str>, Stop> {
    match reader.kind()? {
        Kind::String => Ok(reader.string()?),
        _ => Err(invalid_value(reader.clone(), field, Rule::Text)),
    }
}

pub(super) fn one_of<T: Copy>(
    reader: &mut Reader<'_>,
    field: &'static str,
    rule: Rule,
    words: &[(&str, T)],
) -> Result<T, Stop> {
    let before = reader.clone();
    let found = read_string(reader, field)?;
    let word = words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(&found));
    word.map(|&(_, value)| value)
        .ok_or_else(|| invalid_value(before, field, rule))
}

/// The error about the next value, which it quotes as it is written.
pub(super) fn invalid_value(mut before: Reader<'_>, field: &'static str, rule: Rule) -> Stop {
    let found = match (before.kind(), before.raw_value()) {
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
