//! Field lines of a response, read as Go's `net/textproto` reads them (`ReadMIMEHeader`), in constant
//! memory: bare LF ends a line, obs-fold continues it, a name may have spaces.

use super::class::{self, TOKEN, VALUE};

/// The section breaks a rule of Go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Receives the fields of a section. Go joins values so: trimmed, a fold as one space.
pub trait FieldLineSink {
    /// A field begins. Its name is compared without regard to case.
    fn name(&mut self, name: &Word);
    /// Bytes of its value. A line's first byte is not a space or tab.
    fn text(&mut self, bytes: &[u8]);
    /// The value continues in the next line.
    fn fold(&mut self);
    /// A line of the value ends: trailing spaces and tabs are not part of it.
    fn line_end(&mut self);
}

/// Discards the fields: for sections of which only the syntax is checked.
pub struct Discard;

impl FieldLineSink for Discard {
    fn name(&mut self, _: &Word) {}
    fn text(&mut self, _: &[u8]) {}
    fn fold(&mut self) {}
    fn line_end(&mut self) {}
}

/// Reads one section up to its blank line.
#[derive(Clone, Copy, Debug)]
pub struct FieldLines {
    state: FieldLineState,
    name: Word,
}

#[derive(Clone, Copy, Debug)]
enum FieldLineState {
    /// Before the first line, where no fold is possible.
    Start,
    LineStart,
    /// A CR where a line starts.
    BlankCr,
    Name,
    /// Spaces and tabs before a value or after a fold.
    Indent,
    Value,
    /// A CR after a value.
    ValueCr,
}

impl FieldLines {
    /// At the start of a section.
    pub const fn new() -> Self {
        FieldLines {
            state: FieldLineState::Start,
            name: Word::new(),
        }
    }

    /// Reads bytes. Returns how many of them belong to the section if it ends in them.
    ///
    /// # Errors
    /// [`Malformed`] where Go returns an error.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FieldLineSink,
    ) -> Result<Option<usize>, Malformed> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            if matches!(self.state, FieldLineState::Value) {
                let run = class::run::<VALUE>(&bytes[used..]);
                sink.text(&bytes[used..used + run]);
                used += run;
                if run != 0 {
                    continue;
                }
            }
            used += 1;
            if self.step(byte, sink)? {
                return Ok(Some(used));
            }
        }
        Ok(None)
    }

    /// Whether `byte` ends the section.
    fn step(&mut self, byte: u8, sink: &mut impl FieldLineSink) -> Result<bool, Malformed> {
        self.state = match (self.state, byte) {
            (FieldLineState::Start | FieldLineState::LineStart, b'\r') => FieldLineState::BlankCr,
            (
                FieldLineState::Start | FieldLineState::LineStart | FieldLineState::BlankCr,
                b'\n',
            ) => return Ok(true),
            (FieldLineState::LineStart, b' ' | b'\t') => {
                sink.fold();
                FieldLineState::Indent
            }
            (FieldLineState::Start | FieldLineState::LineStart, _) if class::is(TOKEN, byte) => {
                self.name = Word::new();
                self.name.push(byte);
                FieldLineState::Name
            }
            (FieldLineState::Name, b':') => {
                sink.name(&self.name);
                FieldLineState::Indent
            }
            // Accepted by Go, which then ignores the field (golang/go#34540).
            (FieldLineState::Name, b' ') => self.push_name(byte),
            (FieldLineState::Name, _) if class::is(TOKEN, byte) => self.push_name(byte),
            (FieldLineState::Indent, b' ' | b'\t') => FieldLineState::Indent,
            (FieldLineState::Indent | FieldLineState::Value, b'\r') => FieldLineState::ValueCr,
            (FieldLineState::Indent | FieldLineState::Value | FieldLineState::ValueCr, b'\n') => {
                sink.line_end();
                FieldLineState::LineStart
            }
            (FieldLineState::Indent, _) if class::is(VALUE, byte) => {
                sink.text(&[byte]);
                FieldLineState::Value
            }
            _ => return Err(Malformed),
        };
        Ok(false)
    }

    fn push_name(&mut self, byte: u8) -> FieldLineState {
        self.name.push(byte);
        FieldLineState::Name
    }
}

/// A word to compare with known ones, in lower case. It stores as many bytes as the longest known word has, and
/// counts the others.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    bytes: [u8; WORD_BYTES],
    len: u32,
    /// The length without trailing spaces and tabs.
    end: u32,
}

const WORD_BYTES: usize = b"transfer-encoding".len();

impl Word {
    /// An empty word.
    pub const fn new() -> Self {
        Word {
            bytes: [0; WORD_BYTES],
            len: 0,
            end: 0,
        }
    }

    /// Adds a byte.
    pub fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len as usize) {
            *place = byte.to_ascii_lowercase();
        }
        self.len = self.len.saturating_add(1);
        if !matches!(byte, b' ' | b'\t') {
            self.end = self.len;
        }
    }

    /// Removes trailing spaces and tabs.
    pub fn trim(&mut self) {
        self.len = self.end;
    }

    /// Makes trailing spaces and tabs part of the word.
    pub fn keep_whitespace(&mut self) {
        self.end = self.len;
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it is `word`, which is in lower case.
    pub fn is(&self, word: &[u8]) -> bool {
        self.bytes.get(..self.len as usize) == Some(word)
    }
}
