//! A file of documents, one text at a time: together the texts are the file, byte for byte. Memory is that of
//! the biggest document.

use crate::limits;
use core::fmt;
use std::io::{self, BufRead};

/// One document's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text, with its `---`, its comments, and a `...` behind it.
    pub text: String,
    /// How many lines of the file are above it.
    pub lines_above: usize,
}

/// Why a file cannot be split.
#[derive(Debug)]
pub struct StreamError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: StreamProblem,
}

/// Why a file cannot be split.
#[derive(Debug)]
pub enum StreamProblem {
    /// It cannot be read.
    Io(io::Error),
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// UTF-16, by its first bytes.
    Utf16,
    /// More than `limits::DOCUMENT_BYTES` in one document.
    TooLong,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.problem {
            StreamProblem::Io(error) => write!(f, "cannot be read: {error}"),
            StreamProblem::NotUtf8 => f.write_str("this is not UTF-8: save the file as UTF-8"),
            StreamProblem::Utf16 => f.write_str("this is UTF-16: save the file as UTF-8"),
            StreamProblem::TooLong => write!(
                f,
                "the document that begins here has more than {} MiB: split it with lines ---, one resource each",
                limits::DOCUMENT_BYTES >> 20
            ),
        }
    }
}

/// Splits what a reader has at the lines `---` and `...`, which end a document wherever they are at the start
/// of a line, inside a scalar as well (YAML 1.2 section 9.1).
pub struct Stream<R> {
    reader: R,
    /// Lines of the file before `ahead`.
    lines: usize,
    /// A line that was read and belongs to the next document.
    ahead: Vec<u8>,
    ended: bool,
}

/// What a line is to the document it is in.
#[derive(Clone, Copy, PartialEq)]
enum Line {
    /// Blank, a comment or a directive.
    Nothing,
    Start,
    End,
    Content,
}

impl<R: BufRead> Stream<R> {
    /// Splits what this reader has.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            lines: 0,
            ahead: Vec::new(),
            ended: false,
        }
    }

    fn piece(&mut self) -> Result<Option<Piece>, StreamError> {
        let lines_above = self.lines;
        let mut text = Vec::new();
        let mut begun = false;
        loop {
            let mut line = core::mem::take(&mut self.ahead);
            if line.is_empty() {
                self.read_line(&mut line, text.len(), lines_above)?;
            }
            let first = lines_above == 0 && text.is_empty();
            let kind = kind(&line, first);
            if line.is_empty() || kind == Line::Start && begun {
                self.ahead = line;
                break;
            }
            self.lines += 1;
            text.append(&mut line);
            begun |= kind != Line::Nothing;
            if kind == Line::End {
                break;
            }
        }
        if text.is_empty() {
            return Ok(None);
        }
        let text = utf8(text, lines_above)?;
        Ok(Some(Piece { text, lines_above }))
    }

    /// Reads a line with its line break; nothing at the end.
    fn read_line(
        &mut self,
        line: &mut Vec<u8>,
        before: usize,
        above: usize,
    ) -> Result<(), StreamError> {
        let fault = |line, problem| Err(StreamError { line, problem });
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return fault(self.lines + 1, StreamProblem::Io(error)),
            };
            let newline = memchr::memchr(b'\n', bytes);
            let taken = newline.map_or(bytes.len(), |at| at + 1);
            line.extend_from_slice(&bytes[..taken]);
            self.reader.consume(taken);
            if before + line.len() > limits::DOCUMENT_BYTES {
                return fault(above + 1, StreamProblem::TooLong);
            }
            if newline.is_some() || taken == 0 {
                return Ok(());
            }
        }
    }
}

impl<R: BufRead> Iterator for Stream<R> {
    type Item = Result<Piece, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let piece = self.piece().transpose();
        self.ended = !matches!(piece, Some(Ok(_)));
        piece
    }
}

fn utf8(bytes: Vec<u8>, above: usize) -> Result<String, StreamError> {
    let utf16 =
        above == 0 && (bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]));
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..valid];
        StreamError {
            line: above + 1 + memchr::memchr_iter(b'\n', before).count(),
            problem: if utf16 {
                StreamProblem::Utf16
            } else {
                StreamProblem::NotUtf8
            },
        }
    })
}

fn kind(line: &[u8], first: bool) -> Line {
    let line = match line.strip_prefix("\u{feff}".as_bytes()) {
        Some(rest) if first => rest,
        _ => line,
    };
    let marker = |marker: &[u8]| {
        let rest = line.strip_prefix(marker);
        rest.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
    };
    let content = line.iter().find(|byte| !byte.is_ascii_whitespace());
    match content {
        _ if marker(b"---") => Line::Start,
        _ if marker(b"...") => Line::End,
        None | Some(b'#') => Line::Nothing,
        Some(b'%') if line[0] == b'%' => Line::Nothing,
        _ => Line::Content,
    }
}
