//! Errors of parsing and editing a document. Each text names the position and what to write instead.

use super::edit::TargetError;
use super::pointer::Pointer;
use super::text;
use crate::limits;
use core::fmt;
use granit_parser::{ErrorKind, ScanError};

/// Why a document cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    line: usize,
    column: usize,
    /// The reason.
    pub kind: ParseErrorKind,
}

/// The reasons why a document cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// Invalid YAML, with the message of the YAML parser.
    Syntax(Box<str>),
    /// A tab where YAML allows only spaces.
    Tab,
    /// A carriage return without a line feed: a line break to YAML readers, but not to most editors.
    CarriageReturn,
    /// Braces of a Go template.
    Template,
    /// A mapping has a key twice.
    DuplicateKey {
        /// The key.
        key: Box<str>,
        /// The line of its first occurrence.
        first_line: usize,
    },
    /// The key is a mapping, a sequence, null or a block scalar.
    InvalidKey,
    /// The value of `<<` is not a mapping or a sequence of mappings.
    InvalidMerge,
    /// `<<` after a key that is also in the merged mapping.
    MergeOrder {
        /// The key.
        key: Box<str>,
    },
    /// An alias inside the node that it refers to.
    RecursiveAlias,
    /// A value of another type than its tag.
    TagMismatch {
        /// `!!int`
        tag: Box<str>,
    },
    /// The value of `!!binary` is not base64.
    InvalidBase64,
    /// The bytes of `!!binary` are not UTF-8.
    BinaryNotUtf8,
    /// More than `limits::DOCUMENT_NESTING`.
    TooDeep,
    /// Values that need more than `limits::DOCUMENT_VALUES_BYTES`.
    TooManyValues,
    /// More than `limits::ALIASED_VALUES`.
    TooManyAliasedValues,
    /// More than `limits::ALIASED_BYTES`.
    TooManyAliasedBytes,
    /// A second document in the text.
    SecondDocument,
}

impl ParseError {
    fn new(line: usize, column: usize, kind: ParseErrorKind) -> Self {
        Self { line, column, kind }
    }

    /// An error at a byte offset of the text.
    pub(super) fn at(text: &str, offset: usize, kind: ParseErrorKind) -> Self {
        let (line, column) = text::line_and_column(text, offset);
        Self::new(line, column, kind)
    }

    /// Converts an error of the YAML parser. `has_root`: the parser had completed the root before.
    pub(super) fn from_scanner(text: &str, error: &ScanError, has_root: bool) -> Self {
        let position = error.marker();
        let kind = match error.kind() {
            ErrorKind::RecursionLimitExceeded => ParseErrorKind::TooDeep,
            _ if is_template(text, position.line()) => ParseErrorKind::Template,
            ErrorKind::ExpectedDocumentStart if has_root => ParseErrorKind::SecondDocument,
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart => {
                return Self::at_tab(text, position.byte_offset());
            }
            kind => ParseErrorKind::Syntax(kind.to_string().into()),
        };
        Self::new(position.line(), position.col() + 1, kind)
    }

    /// The error for the first tab after an offset: the parser may report the start of the value that has the tab.
    fn at_tab(text: &str, offset: Option<usize>) -> Self {
        let offset = offset.unwrap_or_default().min(text.len());
        let tab = memchr::memchr(b'\t', &text.as_bytes()[offset..]);
        Self::at(text, offset + tab.unwrap_or_default(), ParseErrorKind::Tab)
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The byte offset of the error in the parsed text.
    pub(super) fn offset(&self, text: &str) -> usize {
        text::offset_of(text, self.line, self.column)
    }

    /// Adds the number of lines that precede the document in its file.
    #[must_use]
    pub fn add_lines(mut self, preceding: usize) -> Self {
        self.line += preceding;
        if let ParseErrorKind::DuplicateKey { first_line, .. } = &mut self.kind {
            *first_line += preceding;
        }
        self
    }
}

/// Whether a syntax error on this line is due to a Go template: there are braces on the line, or some line starts with
/// braces. Braces in scalars are valid, as alerts and dashboards have them.
fn is_template(text: &str, line: usize) -> bool {
    let mut lines = text.lines().enumerate();
    lines.any(|(index, content)| {
        let starts_with_braces = content.trim_start().starts_with("{{");
        starts_with_braces || index + 1 == line && content.contains("{{")
    })
}

impl core::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        self.kind.fmt(f)
    }
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(message) => {
                write!(f, "invalid YAML: {message}: correct the syntax, even if kubectl accepts it")
            }
            Self::Tab => f.write_str("tab where YAML allows only spaces: write spaces instead"),
            Self::CarriageReturn => f.write_str(
                "carriage return without a line feed: end lines with LF or CRLF, and write \\r in double quotes as a value",
            ),
            Self::Template => f.write_str(
                "this is a Helm template, not a manifest: render it first, with \
                 helm template … | probelet-inject file -f -",
            ),
            Self::DuplicateKey { key, first_line } => write!(
                f,
                "duplicate key {key:?}, first defined on line {first_line}: remove one of them, because YAML readers differ \
                 in which value they use"
            ),
            Self::InvalidKey => f.write_str(
                "the key is not a string on one line: write a plain word, in quotes if it has braces or brackets",
            ),
            Self::InvalidMerge => f.write_str(
                "the value of << is not a mapping: write an alias of a mapping, or a list of such aliases",
            ),
            Self::MergeOrder { key } => write!(
                f,
                "<< merges the key {key:?}, which is defined above it: write << first, because YAML readers differ in \
                 which value they use"
            ),
            Self::RecursiveAlias => {
                f.write_str("the alias is inside the value that it refers to: write that value out")
            }
            Self::TagMismatch { tag } => write!(
                f,
                "the value does not match its tag {tag}: remove the tag, or write a value of that type"
            ),
            Self::InvalidBase64 => f.write_str(
                "the value of !!binary is not base64: write standard base64 with padding, or remove the tag",
            ),
            Self::BinaryNotUtf8 => f.write_str(
                "the bytes of !!binary are not UTF-8, and kubectl replaces them with U+FFFD: write base64 of UTF-8 text, \
                 or the text itself without the tag",
            ),
            Self::TooDeep => write!(
                f,
                "more than {} levels of mappings and sequences: nest them less deeply",
                limits::DOCUMENT_NESTING
            ),
            Self::TooManyValues => f.write_str(
                "the document has more values up to here than fit the memory: split it with lines ---, one resource each",
            ),
            Self::TooManyAliasedValues => write!(
                f,
                "aliases expand to more than {} values: use fewer aliases",
                limits::ALIASED_VALUES
            ),
            Self::TooManyAliasedBytes => write!(
                f,
                "aliases expand to more than {} MiB of text: use fewer aliases",
                limits::ALIASED_BYTES >> 20
            ),
            Self::SecondDocument => f.write_str(
                "a second document starts here: separate the documents with a line ---",
            ),
        }
    }
}

/// Why a document cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// The edit does not apply to the document.
    Target(TargetError),
    /// The edit would also change an alias of the node.
    Alias {
        /// The alias.
        pointer: Pointer,
        /// Its source text: `*probe`.
        text: Box<str>,
    },
    /// The edit would also change an entry that a merge key copies from the node.
    MergeKey(Pointer),
    /// The edited text would parse to another value than intended.
    WrongValue(Pointer),
    /// The edited text would not parse.
    InvalidYaml {
        /// The node, or its nearest ancestor in the source.
        pointer: Pointer,
        /// The error of the edited text.
        kind: ParseErrorKind,
    },
}

impl EditError {
    /// The node in the source that the error is about.
    pub fn pointer(&self) -> &Pointer {
        match self {
            EditError::Target(error) => error.pointer(),
            EditError::Alias { pointer, .. }
            | EditError::MergeKey(pointer)
            | EditError::WrongValue(pointer)
            | EditError::InvalidYaml { pointer, .. } => pointer,
        }
    }
}

impl core::error::Error for EditError {}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.pointer().describe();
        match self {
            EditError::Target(error) => error.fmt(f),
            EditError::Alias { text, .. } => write!(
                f,
                "{node} is an alias ({text}) and would change together with its anchor: replace the alias with \
                 its value"
            ),
            EditError::MergeKey(_) => write!(
                f,
                "{node} comes from a merge key (<<) and would change together with the merged mapping: write it \
                 next to the <<"
            ),
            // The error kind describes the edited text, which the reader does not have.
            EditError::WrongValue(_) | EditError::InvalidYaml { .. } => write!(
                f,
                "{node} is in a YAML style that cannot be edited: write one key per line, without '? ', anchors \
                 and tags"
            ),
        }
    }
}

impl From<TargetError> for EditError {
    fn from(error: TargetError) -> Self {
        EditError::Target(error)
    }
}
