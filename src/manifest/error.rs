//! What can be wrong with a document. The text says where, what, and what to write instead.

use super::text;
use crate::limits;
use core::fmt;

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    line: usize,
    column: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not YAML; what its parser says.
    Syntax(Box<str>),
    /// A tab where YAML wants spaces.
    Tab,
    /// Braces of a Go template.
    Template,
    /// A key of a mapping stands there twice.
    Duplicate {
        /// The key.
        key: Box<str>,
        /// The line it was on before.
        first: usize,
    },
    /// A key that is a mapping, a sequence or null.
    Key,
    /// `<<` with something else than mappings.
    Merge,
    /// `<<` behind a key that it brings too.
    MergeOrder {
        /// The key.
        key: Box<str>,
    },
    /// An alias inside the value it stands for.
    Endless,
    /// A tag that the value does not have.
    Tag {
        /// `!!int`
        tag: Box<str>,
    },
    /// `!!binary` with something else than base64.
    Base64,
    /// `!!binary` with bytes that are not UTF-8.
    Binary,
    /// More than `limits::DOCUMENT_NESTING`.
    Nesting,
    /// More than `limits::ALIASED_VALUES`.
    Aliases,
    /// More than `limits::ALIASED_BYTES`.
    AliasedBytes,
    /// A second document.
    Second,
}

impl DocumentError {
    pub(super) fn new(line: usize, column: usize, problem: Problem) -> Self {
        Self {
            line,
            column,
            problem,
        }
    }

    pub(super) fn at(source: &str, offset: usize, problem: Problem) -> Self {
        let (line, column) = text::position(source, offset);
        Self::new(line, column, problem)
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The position in the text that it is about.
    pub(super) fn offset(&self, source: &str) -> usize {
        text::offset(source, self.line, self.column)
    }

    /// The same, of a document that has so many lines of its file above it.
    #[must_use]
    pub fn below(mut self, lines: usize) -> Self {
        self.line += lines;
        if let Problem::Duplicate { first, .. } = &mut self.problem {
            *first += lines;
        }
        self
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        self.problem.fmt(f)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Syntax(what) => {
                write!(f, "this is not YAML, as {what}: correct it, kubectl does not read it either")
            }
            Problem::Tab => {
                f.write_str("a tab stands where YAML has spaces only: write spaces instead")
            }
            Problem::Template => f.write_str(
                "this is a Helm template, not a manifest: render it first, with \
                 helm template … | probelet-inject file -f -",
            ),
            Problem::Duplicate { key, first } => write!(
                f,
                "the key {key:?} is in this mapping already, on line {first}: leave one of them out, \
                 readers differ in which one holds"
            ),
            Problem::Key => f.write_str(
                "this key is no text: write a word, and quotes around it where it has braces or brackets",
            ),
            Problem::Merge => {
                f.write_str("<< merges mappings only: write an alias of a mapping, or a list of them")
            }
            Problem::MergeOrder { key } => write!(
                f,
                "<< brings the key {key:?}, which stands above it: write << first, readers differ in \
                 which one holds"
            ),
            Problem::Endless => {
                f.write_str("this alias is inside the value it stands for: write that value out")
            }
            Problem::Tag { tag } => {
                write!(f, "the value is no {tag}: leave the tag out, or write such a value")
            }
            Problem::Base64 => f.write_str(
                "the value of !!binary is not base64: write standard base64 with its padding, or leave the tag out",
            ),
            Problem::Binary => f.write_str(
                "the bytes of !!binary are not UTF-8, and kubectl replaces them with U+FFFD: write base64 of UTF-8 text, \
                 or the text itself without the tag",
            ),
            Problem::Nesting => write!(
                f,
                "more than {} mappings and sequences are inside one another: no manifest needs as many",
                limits::DOCUMENT_NESTING
            ),
            Problem::Aliases => write!(
                f,
                "aliases stand for more than {} values: write out what is meant",
                limits::ALIASED_VALUES
            ),
            Problem::AliasedBytes => write!(
                f,
                "aliases stand for more than {} MiB of text: write out what is meant",
                limits::ALIASED_BYTES >> 20
            ),
            Problem::Second => {
                f.write_str("a second document begins here: write a line --- between the two")
            }
        }
    }
}
