//! The documents of an input, one at a time, and the position of each. A large List becomes a document for each item.

use super::list_items::ListItems;
use crate::manifest::{Document, ParseError, Pointer, Stream};
use core::fmt;
use std::io::BufRead;
use std::rc::Rc;

/// A document, and its position.
pub(super) struct LocatedDocument {
    pub(super) position: Position,
    pub(super) document: Document,
    /// The List whose item it is.
    list: Option<Rc<ListItems>>,
}

impl LocatedDocument {
    /// Whether it is an item of a List, and more of the List may follow.
    pub(super) fn is_part(&self) -> bool {
        self.list.is_some()
    }

    /// The part of the input in a text of the document, which may be edited. `None` if the edits have changed more.
    pub(super) fn text_in_input<'t>(&self, document_text: &'t str) -> Option<&'t str> {
        match &self.list {
            Some(list) => list.item_text(document_text),
            None => Some(document_text),
        }
    }
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

    /// The number of the document in its input, from 1.
    pub(super) fn number(self) -> usize {
        self.number
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

impl ReadError {
    fn new(number: usize, preceding_lines: usize, error: ParseError) -> Self {
        let error = error.add_lines(preceding_lines);
        Self(format!("document {number}, {error}"))
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part of an input.
pub(super) enum Part {
    /// A document, or an item of a large List as a List of its own.
    Document(LocatedDocument),
    /// Text of a large List between its items.
    Text(String),
}

/// The items of a large List that have not been read.
struct SplitList {
    text: String,
    list: Rc<ListItems>,
    /// The position of the List.
    position: Position,
    next_item: usize,
    /// The offset up to which the text has been read, and the number of lines before it.
    read_to: usize,
    lines: usize,
}

impl SplitList {
    /// The next part. An item is valid, as it was parsed before.
    fn next_part(&mut self) -> Option<Result<Part, ReadError>> {
        let item = self.list.items().get(self.next_item).cloned();
        let start = item.as_ref().map_or(self.text.len(), |item| item.start);
        if self.read_to < start {
            return Some(Ok(Part::Text(self.read_text_to(start).into())));
        }
        let item = item?;
        self.next_item += 1;
        let lines = self.position.preceding_lines + self.lines;
        let text = self.read_text_to(item.end).to_owned();
        // Lines are counted in the document of the item, whose first lines are not in the file.
        let preceding_lines = lines.saturating_sub(self.list.head_lines());
        let document = match Document::parse(&self.list.document_text(&text)) {
            Ok(document) => document,
            Err(error) => {
                let number = self.position.number;
                return Some(Err(ReadError::new(number, preceding_lines, error)));
            }
        };
        let position = Position {
            preceding_lines,
            line: lines + 1,
            ..self.position
        };
        Some(Ok(Part::Document(LocatedDocument {
            position,
            document,
            list: Some(self.list.clone()),
        })))
    }

    fn read_text_to(&mut self, end: usize) -> &str {
        let text = &self.text[self.read_to..end];
        self.lines += memchr::memchr_iter(b'\n', text.as_bytes()).count();
        self.read_to = end;
        text
    }
}

/// Reads the documents. Every error is returned; a document without a detectable end is the last item.
pub(super) fn documents(reader: impl BufRead) -> impl Iterator<Item = Result<Part, ReadError>> {
    let mut stream = Stream::new(reader);
    let mut number = 0;
    let mut split: Option<SplitList> = None;
    core::iter::from_fn(move || {
        if let Some(part) = split.as_mut().and_then(SplitList::next_part) {
            return Some(part);
        }
        split = None;
        let piece = match stream.next()? {
            Ok(piece) => piece,
            Err(error) => return Some(Err(ReadError(error.to_string()))),
        };
        number += 1;
        let preceding_lines = piece.preceding_lines;
        if let Some(list) = ListItems::split(&piece.text) {
            let position = Position {
                number,
                preceding_lines,
                line: preceding_lines + 1,
            };
            let split = split.insert(SplitList {
                text: piece.text,
                list: list.into(),
                position,
                next_item: 0,
                read_to: 0,
                lines: 0,
            });
            return split.next_part();
        }
        let document = match Document::parse(&piece.text) {
            Ok(document) => document,
            Err(error) => {
                return Some(Err(ReadError::new(number, preceding_lines, error)));
            }
        };
        if document.is_empty() {
            // Comments alone do not count as a document.
            number -= 1;
        }
        let position = Position {
            number,
            preceding_lines,
            line: preceding_lines + document.line(&Pointer::root()),
        };
        Some(Ok(Part::Document(LocatedDocument {
            position,
            document,
            list: None,
        })))
    })
}
