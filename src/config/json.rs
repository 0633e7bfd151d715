//! A strict pull parser of JSON (RFC 8259). Only a string with escapes allocates. Nesting is bounded, so hostile text cannot
//! exhaust the stack, and keys are returned one by one, so the caller can find repeated ones.

use crate::limits;
use core::fmt;
use std::borrow::Cow;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// `-` or a digit.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// Position and reason of a syntax error. Both numbers count from 1, columns in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The line.
    pub line: usize,
    /// The byte of the line.
    pub column: usize,
    /// The reason.
    pub fault: SyntaxFault,
}

/// Why the text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxFault {
    /// No value begins here.
    Value,
    /// No key begins here.
    Key,
    /// A key without its colon.
    Colon,
    /// A member of an object is followed by something else.
    CommaOrBrace,
    /// An item of an array is followed by something else.
    CommaOrBracket,
    /// The text ends within a string.
    OpenString,
    /// A control character in a string.
    Control,
    /// A backslash and no escape, or half a surrogate pair.
    Escape,
    /// A number such as `01`, `1.` or `+1`.
    Number,
    /// Arrays and objects are nested too deep.
    Depth,
    /// Something follows the value.
    Trailing,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        f.write_str(match self.fault {
            SyntaxFault::Value => "expected a value",
            SyntaxFault::Key => "expected a key in double quotes",
            SyntaxFault::Colon => "expected ':' after the key",
            SyntaxFault::CommaOrBrace => "expected ',' or '}'",
            SyntaxFault::CommaOrBracket => "expected ',' or ']'",
            SyntaxFault::OpenString => "the string is not closed by '\"'",
            SyntaxFault::Control => {
                "a control character in a string must be written as \\u and four hex digits"
            }
            SyntaxFault::Escape => {
                "expected one of \"\\/bfnrt or u and four hex digits after '\\', surrogates in pairs"
            }
            SyntaxFault::Number => "a number must look like 80, with no leading zero, '+' or lone '.'",
            SyntaxFault::Depth => {
                let max = limits::PROBERS_JSON_DEPTH;
                return write!(f, "more than {max} nested lists and objects");
            }
            SyntaxFault::Trailing => "unexpected text after the value",
        })
    }
}

/// A reader of one text; a clone can look ahead.
#[derive(Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Reader {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// The kind of the next value, by its first byte, which is not consumed.
    ///
    /// # Errors
    /// `SyntaxFault::Value` if no value begins here.
    pub fn kind(&mut self) -> Result<Kind, Error> {
        self.space();
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.error(SyntaxFault::Value)),
        }
    }

    /// Enters the object or array that [`kind`](Self::kind) returned.
    ///
    /// # Errors
    /// `SyntaxFault::Depth`
    pub fn enter(&mut self) -> Result<Container, Error> {
        if self.depth == limits::PROBERS_JSON_DEPTH {
            return Err(self.error(SyntaxFault::Depth));
        }
        self.depth += 1;
        self.at += 1;
        Ok(Container { is_first: true })
    }

    /// The string that [`kind`](Self::kind) returned, borrowed from the text if it has no escapes.
    ///
    /// # Errors
    /// A syntax error in the string.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.at += 1;
        let mut copy = String::new();
        let mut from = self.at;
        loop {
            match self.peek() {
                None => return Err(self.error(SyntaxFault::OpenString)),
                Some(b'"') => break,
                Some(..b' ') => return Err(self.error(SyntaxFault::Control)),
                Some(b'\\') => {
                    copy.push_str(&self.text[from..self.at]);
                    copy.push(self.escape()?);
                    from = self.at;
                }
                Some(_) => self.at += 1,
            }
        }
        let rest = &self.text[from..self.at];
        self.at += 1;
        if copy.is_empty() {
            return Ok(Cow::Borrowed(rest));
        }
        copy.push_str(rest);
        Ok(Cow::Owned(copy))
    }

    /// Reads past the next value and returns its text.
    ///
    /// # Errors
    /// A syntax error in the value.
    pub fn raw_value(&mut self) -> Result<&'a str, Error> {
        let kind = self.kind()?;
        let from = self.at;
        match kind {
            Kind::Object => {
                let mut object = self.enter()?;
                while object.next_key(self)?.is_some() {
                    self.raw_value()?;
                }
            }
            Kind::Array => {
                let mut array = self.enter()?;
                while array.next_item(self)? {
                    self.raw_value()?;
                }
            }
            Kind::String => {
                self.string()?;
            }
            Kind::Number => self.number()?,
            Kind::Bool | Kind::Null => self.word()?,
        }
        Ok(&self.text[from..self.at])
    }

    /// Checks that only white space is left.
    ///
    /// # Errors
    /// `SyntaxFault::Trailing`
    pub fn end(&mut self) -> Result<(), Error> {
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error(SyntaxFault::Trailing)),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        let start = self.at;
        self.at += 2;
        let plain = match self.text.as_bytes().get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let code = match self.hex4() {
                    Some(high @ 0xd800..=0xdbff) => self.pair(high),
                    unit => unit,
                };
                return code
                    .and_then(char::from_u32)
                    .ok_or(self.error_at(start, SyntaxFault::Escape));
            }
            _ => return Err(self.error_at(start, SyntaxFault::Escape)),
        };
        Ok(plain)
    }

    /// Reads the second half of a surrogate pair. Returns the code point of both.
    fn pair(&mut self, high: u32) -> Option<u32> {
        if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            return None;
        }
        self.at += 2;
        match self.hex4()? {
            low @ 0xdc00..=0xdfff => Some(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)),
            _ => None,
        }
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        let mut unit = 0;
        for &digit in digits {
            unit = unit << 4 | char::from(digit).to_digit(16)?;
        }
        self.at += 4;
        Some(unit)
    }

    fn number(&mut self) -> Result<(), Error> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.at;
        let mut good = self.digits();
        good &= self.at == whole + 1 || self.text.as_bytes().get(whole) != Some(&b'0');
        if self.peek() == Some(b'.') {
            self.at += 1;
            good &= self.digits();
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            good &= self.digits();
        }
        if good {
            Ok(())
        } else {
            Err(self.error_at(start, SyntaxFault::Number))
        }
    }

    /// Skips digits. Returns whether there was one.
    fn digits(&mut self) -> bool {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at > from
    }

    fn word(&mut self) -> Result<(), Error> {
        for word in ["true", "false", "null"] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(self.error(SyntaxFault::Value))
    }

    fn error(&self, fault: SyntaxFault) -> Error {
        self.error_at(self.at, fault)
    }

    fn error_at(&self, at: usize, fault: SyntaxFault) -> Error {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line_start = before
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |i| i + 1);
        Error {
            line: 1 + before.iter().filter(|&&b| b == b'\n').count(),
            column: 1 + before.len() - line_start,
            fault,
        }
    }
}

/// An object or array whose members or items are being read.
pub struct Container {
    is_first: bool,
}

impl Container {
    /// The next key of the object; its value is next. Leaves the object and returns `None` at its end.
    ///
    /// # Errors
    /// A syntax error in the object.
    pub fn next_key<'a>(&mut self, reader: &mut Reader<'a>) -> Result<Option<Cow<'a, str>>, Error> {
        if !self.has_next(reader, b'}', SyntaxFault::CommaOrBrace)? {
            return Ok(None);
        }
        if reader.peek() != Some(b'"') {
            return Err(reader.error(SyntaxFault::Key));
        }
        let key = reader.string()?;
        reader.space();
        if reader.peek() != Some(b':') {
            return Err(reader.error(SyntaxFault::Colon));
        }
        reader.at += 1;
        Ok(Some(key))
    }

    /// Whether the array has another item, which is next. Leaves the array at its end.
    ///
    /// # Errors
    /// A syntax error in the array.
    pub fn next_item(&mut self, reader: &mut Reader<'_>) -> Result<bool, Error> {
        self.has_next(reader, b']', SyntaxFault::CommaOrBracket)
    }

    fn has_next(
        &mut self,
        reader: &mut Reader<'_>,
        close: u8,
        fault: SyntaxFault,
    ) -> Result<bool, Error> {
        reader.space();
        if reader.peek() == Some(close) {
            reader.at += 1;
            reader.depth -= 1;
            return Ok(false);
        }
        if !self.is_first {
            if reader.peek() != Some(b',') {
                return Err(reader.error(fault));
            }
            reader.at += 1;
            reader.space();
        }
        self.is_first = false;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
