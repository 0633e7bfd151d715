//! Splits a stream into the source texts of its documents. The concatenated texts are the stream, byte for byte. Only
//! one document is in memory at a time.

use crate::limits;
use core::fmt;
use std::io::{self, BufRead};

/// The source text of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawDocument {
    /// The text, including comments and the markers `---` and `...`.
    pub text: String,
    /// The number of lines of the stream before this document.
    pub preceding_lines: usize,
}

/// Why a stream cannot be split.
#[derive(Debug)]
pub struct StreamError {
    /// The line, from 1.
    pub line: usize,
    /// The reason.
    pub kind: StreamErrorKind,
}

/// The reasons why a stream cannot be split.
#[derive(Debug)]
pub enum StreamErrorKind {
    /// Reading failed.
    Io(io::Error),
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// A byte order mark of UTF-16.
    Utf16,
    /// More than `limits::DOCUMENT_BYTES` in one document.
    TooLarge,
}

impl core::error::Error for StreamError {}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.kind {
            StreamErrorKind::Io(error) => write!(f, "cannot read the input: {error}"),
            StreamErrorKind::NotUtf8 => f.write_str("the input is not UTF-8: save it as UTF-8"),
            StreamErrorKind::Utf16 => f.write_str("the input is UTF-16: save it as UTF-8"),
            StreamErrorKind::TooLarge => write!(
                f,
                "the document that starts here is larger than {} MiB: split it with lines ---, one resource each",
                limits::DOCUMENT_BYTES >> 20
            ),
        }
    }
}

/// Iterates over the documents of a reader. A line that starts with `---` or `...` ends a document, even inside a
/// scalar (YAML 1.2 section 9.1).
pub struct Stream<R> {
    reader: R,
    /// Number of lines read before `lookahead`.
    lines: usize,
    /// A line that belongs to the next document.
    lookahead: Vec<u8>,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum LineKind {
    /// A blank line, a comment or a directive.
    Trivia,
    DocumentStart,
    DocumentEnd,
    Content,
}

impl<R: BufRead> Stream<R> {
    /// Splits the stream of a reader.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            lines: 0,
            lookahead: Vec::new(),
            ended: false,
        }
    }

    fn next_document(&mut self) -> Result<Option<RawDocument>, StreamError> {
        let preceding_lines = self.lines;
        let mut text = Vec::new();
        let mut has_started = false;
        loop {
            let mut line = core::mem::take(&mut self.lookahead);
            if line.is_empty() {
                self.read_line(&mut line, text.len(), preceding_lines)?;
            }
            let is_first = preceding_lines == 0 && text.is_empty();
            let kind = classify(&line, is_first);
            if line.is_empty() || kind == LineKind::DocumentStart && has_started {
                self.lookahead = line;
                break;
            }
            self.lines += 1;
            text.append(&mut line);
            has_started |= kind != LineKind::Trivia;
            if kind == LineKind::DocumentEnd {
                break;
            }
        }
        if text.is_empty() {
            return Ok(None);
        }
        let text = to_utf8(text, preceding_lines)?;
        Ok(Some(RawDocument {
            text,
            preceding_lines,
        }))
    }

    /// Reads a line with its line break; no bytes at the end of the stream. `document_bytes` is the size of the document
    /// so far, and `preceding_lines` is the number of lines before it.
    fn read_line(
        &mut self,
        line: &mut Vec<u8>,
        document_bytes: usize,
        preceding_lines: usize,
    ) -> Result<(), StreamError> {
        let error = |line, kind| Err(StreamError { line, kind });
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return error(self.lines + 1, StreamErrorKind::Io(cause)),
            };
            let newline = memchr::memchr(b'\n', bytes);
            let length = newline.map_or(bytes.len(), |index| index + 1);
            line.extend_from_slice(&bytes[..length]);
            self.reader.consume(length);
            if document_bytes + line.len() > limits::DOCUMENT_BYTES {
                return error(preceding_lines + 1, StreamErrorKind::TooLarge);
            }
            if newline.is_some() || length == 0 {
                return Ok(());
            }
        }
    }
}

impl<R: BufRead> Iterator for Stream<R> {
    type Item = Result<RawDocument, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let document = self.next_document().transpose();
        self.ended = !matches!(document, Some(Ok(_)));
        document
    }
}

fn to_utf8(bytes: Vec<u8>, preceding_lines: usize) -> Result<String, StreamError> {
    let is_utf16 = preceding_lines == 0
        && (bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]));
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..valid];
        StreamError {
            line: preceding_lines + 1 + memchr::memchr_iter(b'\n', before).count(),
            kind: if is_utf16 {
                StreamErrorKind::Utf16
            } else {
                StreamErrorKind::NotUtf8
            },
        }
    })
}

fn classify(line: &[u8], is_first: bool) -> LineKind {
    let line = match line.strip_prefix("\u{feff}".as_bytes()) {
        Some(rest) if is_first => rest,
        _ => line,
    };
    let has_marker = |marker: &[u8]| {
        let rest = line.strip_prefix(marker);
        rest.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
    };
    let content = line.iter().find(|byte| !byte.is_ascii_whitespace());
    match content {
        _ if has_marker(b"---") => LineKind::DocumentStart,
        _ if has_marker(b"...") => LineKind::DocumentEnd,
        None | Some(b'#') => LineKind::Trivia,
        Some(b'%') if line[0] == b'%' => LineKind::Trivia,
        Some(_) => LineKind::Content,
    }
}
