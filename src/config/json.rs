//! A strict pull parser of JSON (RFC 8259). Only a string with escapes allocates. Nesting is bounded, so hostile text cannot
//! exhaust the stack, and keys are returned one by one, so the caller can find repeated ones.
//!
//! The first syntax error ends the text: it is kept, and every further value is null. So the caller looks for it once, at the
//! end, and its code has no branch for it at each value.

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
    /// The first syntax error, and its position.
    fault: Option<(usize, SyntaxFault)>,
}

impl<'a> Reader<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Reader {
            text,
            at: 0,
            depth: 0,
            fault: None,
        }
    }

    /// The first syntax error.
    pub fn error(&self) -> Option<Error> {
        let (at, fault) = self.fault?;
        let before = &self.text.as_bytes()[..at];
        let line_start = before
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |i| i + 1);
        Some(Error {
            line: 1 + before.iter().filter(|&&b| b == b'\n').count(),
            column: 1 + before.len() - line_start,
            fault,
        })
    }

    /// Whether a syntax error was found.
    pub fn has_failed(&self) -> bool {
        self.fault.is_some()
    }

    /// Continues at the end of the text: nothing more is read.
    pub fn stop(&mut self) {
        self.at = self.text.len();
    }

    /// The kind of the next value, by its first byte, which is not consumed.
    pub fn kind(&mut self) -> Kind {
        self.space();
        match self.peek() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => {
                self.fail(SyntaxFault::Value);
                Kind::Null
            }
        }
    }

    /// Enters the object or array that [`kind`](Self::kind) returned.
    pub fn enter(&mut self) -> Container {
        if self.depth == limits::PROBERS_JSON_DEPTH {
            self.fail(SyntaxFault::Depth);
        }
        self.depth += 1;
        let is_first = self.peek().is_some();
        self.at += usize::from(is_first);
        Container { is_first }
    }

    /// The string that [`kind`](Self::kind) returned, borrowed from the text if it has no escapes.
    pub fn string(&mut self) -> Cow<'a, str> {
        self.at += 1;
        let mut copy = String::new();
        let mut from = self.at;
        loop {
            match self.peek() {
                None => {
                    self.fail(SyntaxFault::OpenString);
                    return Cow::Borrowed("");
                }
                Some(b'"') => break,
                Some(..b' ') => self.fail(SyntaxFault::Control),
                Some(b'\\') => {
                    copy.push_str(&self.text[from..self.at]);
                    let start = self.at;
                    match self.escape() {
                        Some(c) => copy.push(c),
                        None => self.fail_at(start, SyntaxFault::Escape),
                    }
                    from = self.at;
                }
                Some(_) => self.at += 1,
            }
        }
        let rest = &self.text[from..self.at];
        self.at += 1;
        if copy.is_empty() {
            return Cow::Borrowed(rest);
        }
        copy.push_str(rest);
        Cow::Owned(copy)
    }

    /// Reads past the next value and returns its text.
    pub fn raw_value(&mut self) -> &'a str {
        let kind = self.kind();
        let from = self.at;
        match kind {
            Kind::Object => {
                let mut object = self.enter();
                while object.next_key(self).is_some() {
                    self.raw_value();
                }
            }
            Kind::Array => {
                let mut array = self.enter();
                while array.next_item(self) {
                    self.raw_value();
                }
            }
            Kind::String => {
                self.string();
            }
            Kind::Number => self.number(),
            Kind::Bool | Kind::Null => self.word(),
        }
        &self.text[from..self.at]
    }

    /// Checks that only white space is left.
    pub fn end(&mut self) {
        self.space();
        if self.peek().is_some() {
            self.fail(SyntaxFault::Trailing);
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

    /// Reads an escape. `None` if it is not valid.
    fn escape(&mut self) -> Option<char> {
        self.at += 1;
        let kind = self.peek()?;
        self.at += 1;
        Some(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let code = match self.hex4()? {
                    high @ 0xd800..=0xdbff => self.pair(high)?,
                    unit => unit,
                };
                char::from_u32(code)?
            }
            _ => return None,
        })
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

    fn number(&mut self) {
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
        if !good {
            self.fail_at(start, SyntaxFault::Number);
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

    fn word(&mut self) {
        for word in ["true", "false", "null"] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return;
            }
        }
        self.fail(SyntaxFault::Value);
    }

    fn fail(&mut self, fault: SyntaxFault) {
        self.fail_at(self.at, fault);
    }

    #[inline(never)]
    fn fail_at(&mut self, at: usize, fault: SyntaxFault) {
        self.fault.get_or_insert((at, fault));
        self.stop();
    }
}

/// An object or array whose members or items are being read.
pub struct Container {
    /// Whether the next one is the first. Not after an error: then there is none.
    is_first: bool,
}

impl Container {
    /// The next key of the object; its value is next. Leaves the object and returns `None` at its end.
    pub fn next_key<'a>(&mut self, reader: &mut Reader<'a>) -> Option<Cow<'a, str>> {
        if !self.has_next(reader, b'}', SyntaxFault::CommaOrBrace) {
            return None;
        }
        if reader.peek() != Some(b'"') {
            reader.fail(SyntaxFault::Key);
            return None;
        }
        let key = reader.string();
        reader.space();
        if reader.peek() != Some(b':') {
            reader.fail(SyntaxFault::Colon);
            return None;
        }
        reader.at += 1;
        Some(key)
    }

    /// Whether the array has another item, which is next. Leaves the array at its end.
    pub fn next_item(&mut self, reader: &mut Reader<'_>) -> bool {
        self.has_next(reader, b']', SyntaxFault::CommaOrBracket)
    }

    fn has_next(&mut self, reader: &mut Reader<'_>, close: u8, fault: SyntaxFault) -> bool {
        reader.space();
        if reader.peek() == Some(close) {
            reader.at += 1;
            reader.depth -= 1;
            return false;
        }
        if !self.is_first {
            if reader.peek() != Some(b',') {
                reader.fail(fault);
                return false;
            }
            reader.at += 1;
            reader.space();
        }
        self.is_first = false;
        true
    }
}

#[cfg(test)]
mod tests;
