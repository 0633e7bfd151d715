//! Field lines of a response, read as Go's `net/textproto` reads them (`ReadMIMEHeader`), in constant
//! memory: bare LF ends a line, obs-fold goes on with it, a name may have spaces.

use super::class::{self, TOKEN, VALUE};

/// The section broke a rule of Go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What the section's values go to, as Go would join them: trimmed, a fold as one space.
pub trait Sink {
    /// A field begins. Its name is matched without regard to case.
    fn name(&mut self, name: &Word);
    /// Bytes of its value. The first ones of a line are no space or tab.
    fn text(&mut self, bytes: &[u8]);
    /// The value goes on in the next line.
    fn fold(&mut self);
    /// A line of the value ends: spaces and tabs since the last other byte are not part of it.
    fn line_end(&mut self);
}

/// For sections of which only the syntax counts.
pub struct Nowhere;

impl Sink for Nowhere {
    fn name(&mut self, _: &Word) {}
    fn text(&mut self, _: &[u8]) {}
    fn fold(&mut self) {}
    fn line_end(&mut self) {}
}

/// Reads one section up to its blank line.
#[derive(Clone, Copy, Debug)]
pub struct FieldLines {
    at: At,
    name: Word,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Before the first line, where there is nothing a fold could belong to.
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
            at: At::Start,
            name: Word::new(),
        }
    }

    /// Reads on; how many of `bytes` were used when the section ends among them.
    ///
    /// # Errors
    /// [`Malformed`] where Go would call it so.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<Option<usize>, Malformed> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            if matches!(self.at, At::Value) {
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
    fn step(&mut self, byte: u8, sink: &mut impl Sink) -> Result<bool, Malformed> {
        self.at = match (self.at, byte) {
            (At::Start | At::LineStart, b'\r') => At::BlankCr,
            (At::Start | At::LineStart | At::BlankCr, b'\n') => return Ok(true),
            (At::LineStart, b' ' | b'\t') => {
                sink.fold();
                At::Indent
            }
            (At::Start | At::LineStart, _) if class::is(TOKEN, byte) => {
                self.name = Word::new();
                self.name.push(byte);
                At::Name
            }
            (At::Name, b':') => {
                sink.name(&self.name);
                At::Indent
            }
            // Accepted by Go, which then takes it for a field of no meaning (golang/go#34540).
            (At::Name, b' ') => self.in_name(byte),
            (At::Name, _) if class::is(TOKEN, byte) => self.in_name(byte),
            (At::Indent, b' ' | b'\t') => At::Indent,
            (At::Indent | At::Value, b'\r') => At::ValueCr,
            (At::Indent | At::Value | At::ValueCr, b'\n') => {
                sink.line_end();
                At::LineStart
            }
            (At::Indent, _) if class::is(VALUE, byte) => {
                sink.text(&[byte]);
                At::Value
            }
            _ => return Err(Malformed),
        };
        Ok(false)
    }

    fn in_name(&mut self, byte: u8) -> At {
        self.name.push(byte);
        At::Name
    }
}

/// A word to be compared with known ones: as many bytes as the longest of them has, in lower case, and how
/// many came.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    bytes: [u8; WORD_BYTES],
    len: u32,
    /// The same, without trailing spaces and tabs.
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

    /// Drops spaces and tabs from its end.
    pub fn trim(&mut self) {
        self.len = self.end;
    }

    /// Keeps spaces and tabs at its end from being dropped.
    pub fn keep(&mut self) {
        self.end = self.len;
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it is `word`, which is in lower case.
    pub fn is(&self, word: &[u8]) -> bool {
        self.bytes.get(..self.len as usize) == Some(word)
    }
}
