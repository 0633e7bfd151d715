//! Reads values of the probers' JSON. The first error ends the text, as in [`json`](super::json): readers return a value of
//! their kind in any case, and the caller looks for the error once, at the end of an entry.

use super::json::{Kind, Reader};
use super::{ProbersError, Problem, Rule};
use crate::limits;
use core::time::Duration;
use std::borrow::Cow;

/// The text of the table.
pub(super) struct Input<'a> {
    pub(super) reader: Reader<'a>,
    /// The first error of an entry that is not one of syntax.
    problem: Option<Problem>,
    /// The value of the entry that is read.
    pub(super) entry: Reader<'a>,
    /// Whether it has members that only probelet's probers have, once an unknown member has asked for it: the entry is
    /// read for it once.
    pub(super) has_own: Option<bool>,
}

impl<'a> Input<'a> {
    pub(super) fn new(text: &'a str) -> Input<'a> {
        let reader = Reader::new(text);
        Input {
            entry: reader.clone(),
            reader,
            problem: None,
            has_own: None,
        }
    }

    /// Begins the entry whose value is next.
    pub(super) fn begin_entry(&mut self) {
        self.entry = self.reader.clone();
        self.has_own = None;
    }

    /// Whether the text ended by an error.
    pub(super) fn has_failed(&self) -> bool {
        self.problem.is_some() || self.reader.has_failed()
    }

    /// The error that ended the text in the entry of this key.
    #[cold]
    #[inline(never)]
    pub(super) fn take_error(&mut self, key: &str) -> Option<ProbersError> {
        match self.problem.take() {
            Some(problem) => Some(ProbersError::Entry {
                key: key.into(),
                problem,
            }),
            None => self.reader.error().map(ProbersError::Syntax),
        }
    }

    /// Ends the text with this error, unless an earlier one ended it.
    #[cold]
    #[inline(never)]
    pub(super) fn fail(&mut self, problem: Problem) {
        if !self.has_failed() {
            self.problem = Some(problem);
            self.reader.stop();
        }
    }

    /// Ends the text with an error about the value at `before`, which it quotes as it is written.
    #[cold]
    #[inline(never)]
    pub(super) fn invalid_value(&mut self, before: &Reader<'a>, field: &'static str, rule: Rule) {
        if self.has_failed() {
            return;
        }
        let mut value = before.clone();
        let kind = value.kind();
        let raw = value.raw_value();
        if value.has_failed() {
            // The value itself is not JSON: the reader fails there, too.
            self.reader = value;
        }
        let found = match kind {
            Kind::Object => "an object".into(),
            Kind::Array => "a list".into(),
            Kind::String | Kind::Number | Kind::Bool | Kind::Null => shorten(raw),
        };
        self.fail(Problem::Value { field, found, rule });
    }

    /// Adds the index of a handler to the error. `of_handler` are the first names of a prober's members, which a handler may
    /// have.
    #[cold]
    #[inline(never)]
    pub(super) fn in_all(&mut self, index: usize, of_handler: &'static [&'static str]) {
        if let Some(Problem::UnknownMember { known, .. }) = &mut self.problem
            && known.starts_with(of_handler)
        {
            *known = of_handler;
        }
        self.problem = self.problem.take().map(|problem| problem.in_all(index));
    }

    #[cold]
    #[inline(never)]
    pub(super) fn missing(&mut self, field: &'static str, rule: Rule) {
        let found = "missing".into();
        self.fail(Problem::Value { field, found, rule });
    }

    /// Checks that the next value is of this kind.
    #[inline(never)]
    pub(super) fn expect_kind(&mut self, kind: Kind, field: &'static str, rule: Rule) {
        if self.reader.kind() != kind {
            self.invalid_value(&self.reader.clone(), field, rule);
        }
    }

    /// A port: a whole number, as Go decodes it into an integer.
    #[inline(never)]
    pub(super) fn port(&mut self, field: &'static str) -> u16 {
        let before = self.reader.clone();
        let port = self.reader.raw_value().parse().unwrap_or(0);
        if port == 0 {
            self.invalid_value(&before, field, Rule::Port);
        }
        port
    }

    /// `timeoutSeconds`: 0 means the default, as for the API server.
    pub(super) fn timeout(&mut self, field: &'static str) -> Duration {
        let before = self.reader.clone();
        let raw = self.reader.raw_value();
        if !raw.bytes().all(|b| b.is_ascii_digit()) {
            self.invalid_value(&before, field, Rule::Timeout);
        }
        match raw.parse::<u64>() {
            Ok(0) => limits::DEFAULT_PROBE_TIMEOUT,
            Ok(seconds) => Duration::from_secs(seconds).min(limits::PROBE_TIMEOUT_MAX),
            Err(_) => limits::PROBE_TIMEOUT_MAX,
        }
    }

    /// A string.
    #[inline(never)]
    pub(super) fn string(&mut self, field: &'static str) -> Cow<'a, str> {
        self.expect_kind(Kind::String, field, Rule::Text);
        match self.has_failed() {
            true => Cow::Borrowed(""),
            false => self.reader.string(),
        }
    }

    /// The index of the next value in `words`.
    #[inline(never)]
    pub(super) fn one_of(&mut self, field: &'static str, rule: Rule, words: &[&str]) -> usize {
        let before = self.reader.clone();
        let found = self.string(field);
        let index = words
            .iter()
            .position(|word| word.eq_ignore_ascii_case(&found));
        index.unwrap_or_else(|| {
            self.invalid_value(&before, field, rule);
            0
        })
    }
}

fn shorten(raw: &str) -> Box<str> {
    const CHARS: usize = 60;
    match raw.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}...", &raw[..end]).into(),
        None => raw.into(),
    }
}
