//! The documents of an input, one at a time, and the position of each.

use crate::manifest::{Document, Pointer, Stream};
use core::fmt;
use std::io::BufRead;

/// A document, and its position.
pub(super) struct LocatedDocument {
    pub(super) position: Position,
    pub(super) document: Document,
}

/// The position of a document in its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    number: usize,
    /// The number of lines before the document.
    preceding_lines: usize,
    line: usize,
}

impl Position {
    /// Whether no other document precedes it. A document of comments alone has number 0.
    pub(super) fn is_first(self) -> bool {
        self.number < 2
    }

    /// The line of a pointer, counted in the file.
    pub(super) fn line_of(self, document: &Document, at: &Pointer) -> usize {
        self.preceding_lines + document.line(at)
    }

    /// The same document, with the line of a pointer.
    pub(super) fn at(self, document: &Document, at: &Pointer) -> Self {
        let line = self.line_of(document, at);
        Self { line, ..self }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {}, line {}", self.number, self.line)
    }
}

/// A document that cannot be read: its position, the reason, and what to write.
#[derive(Debug)]
pub(super) struct ReadError(String);

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the documents. Every error is returned; a document without a detectable end is the last item.
pub(super) fn documents(
    reader: impl BufRead,
) -> impl Iterator<Item = Result<LocatedDocument, ReadError>> {
    let mut number = 0;
    Stream::new(reader).map(move |piece| {
        let piece = piece.map_err(|error| ReadError(error.to_string()))?;
        number += 1;
        let above = piece.preceding_lines;
        let document = Document::parse(&piece.text).map_err(|error| {
            let error = error.add_lines(above);
            ReadError(format!("document {number}, {error}"))
        })?;
        if document.is_empty() {
            // Comments alone do not count as a document.
            number -= 1;
        }
        let position = Position {
            number,
            preceding_lines: above,
            line: above + document.line(&Pointer::root()),
        };
        Ok(LocatedDocument { position, document })
    })
}
