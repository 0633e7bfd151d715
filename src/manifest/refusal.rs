//! What the parser refuses, in terms of what to write instead.

use super::error::{DocumentError, Problem};
use granit_parser::{ErrorKind, ScanError};

/// The parser's error of this text; `whole` if it had read a whole value before.
pub(super) fn of(text: &str, error: &ScanError, whole: bool) -> DocumentError {
    let at = error.marker();
    let problem = match error.kind() {
        ErrorKind::RecursionLimitExceeded => Problem::Nesting,
        _ if template(text, at.line()) => Problem::Template,
        ErrorKind::ExpectedDocumentStart if whole => Problem::Second,
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => return at_tab(text, at.byte_offset()),
        kind => Problem::Syntax(kind.to_string().into()),
    };
    DocumentError::new(at.line(), at.col() + 1, problem)
}

/// The parser may say where the value begins that the tab is in.
fn at_tab(text: &str, from: Option<usize>) -> DocumentError {
    let from = from.unwrap_or_default().min(text.len());
    let tab = memchr::memchr(b'\t', &text.as_bytes()[from..]);
    DocumentError::at(text, from + tab.unwrap_or_default(), Problem::Tab)
}

/// Whether what is wrong on a line is wrong because of a Go template's braces: they are on that line, or have
/// some line to themselves. In scalars they are nothing special; alerts and dashboards are full of them.
fn template(text: &str, line: usize) -> bool {
    let mut lines = text.lines().enumerate();
    lines.any(|(index, here)| {
        let alone = here.trim_start().starts_with("{{");
        alone || index + 1 == line && here.contains("{{")
    })
}
