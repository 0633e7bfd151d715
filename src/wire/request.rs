//! The head of a request to the status port, parsed strictly (RFC 9112).

use super::class::{self, HOST, PATH, TARGET, TOKEN, VALUE};
use crate::limits::{REQUEST_FIELDS, REQUEST_HEAD_BYTES};
use head::Span;

mod head;

pub use head::{FieldIter, Method, RequestError, RequestHead};

/// Parses a head as it arrives. It resumes where it stopped: each byte is parsed once, for any split of the bytes.
#[derive(Clone, Copy, Debug)]
pub struct RequestParser {
    state: RequestState,
    /// All bytes before this one are parsed.
    pos: usize,
    /// Start of the part being parsed: target, field name, or value.
    start: usize,
    method: Method,
    is_http_1_1: bool,
    has_authority: bool,
    has_host: bool,
    has_length: bool,
    has_body: bool,
    field_count: u8,
    field: CheckedField,
    path: Span,
    host: Span,
    fields_start: usize,
}

/// The part being parsed, in the order of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestState {
    Start,
    Method,
    /// The target up to its query.
    Path,
    Query,
    Version,
    LineStart,
    Name,
    Value,
}

/// Fields whose values are checked.
#[derive(Clone, Copy, Debug)]
enum CheckedField {
    Host,
    ContentLength,
    Other,
}

/// Result of a step: `None` if more bytes are needed.
type Parsed<T> = Result<Option<T>, RequestError>;

const _: () = assert!(REQUEST_FIELDS < u8::MAX as usize);

impl RequestParser {
    /// A parser at the start of a head.
    pub const fn new() -> Self {
        RequestParser {
            state: RequestState::Start,
            pos: 0,
            start: 0,
            method: Method::Other,
            is_http_1_1: false,
            has_authority: false,
            has_host: false,
            has_length: false,
            has_body: false,
            field_count: 0,
            field: CheckedField::Other,
            path: Span::EMPTY,
            host: Span::EMPTY,
            fields_start: 0,
        }
    }

    /// Parses further. `buf` holds all bytes so far, from the same first byte in each call. Returns `None` while the
    /// head is not complete. Must not be called again after a head or an error.
    ///
    /// # Errors
    /// The first broken rule; [`RequestError::TooManyBytes`] as soon as so many bytes have come without a complete
    /// head.
    pub fn parse(&mut self, buf: &[u8]) -> Parsed<RequestHead> {
        let seen = &buf[..buf.len().min(REQUEST_HEAD_BYTES)];
        let found = self.run(seen)?;
        if found.is_none() && buf.len() >= REQUEST_HEAD_BYTES {
            return Err(RequestError::TooManyBytes);
        }
        Ok(found)
    }

    fn run(&mut self, buf: &[u8]) -> Parsed<RequestHead> {
        loop {
            let done = match self.state {
                RequestState::Start => self.leading_crlf(buf)?,
                RequestState::Method => self.method(buf)?,
                RequestState::Path => self.path(buf)?,
                RequestState::Query => self.query(buf)?,
                RequestState::Version => self.version(buf)?,
                RequestState::LineStart | RequestState::Name | RequestState::Value => {
                    return self.field_lines(buf);
                }
            };
            if done.is_none() {
                return Ok(None);
            }
        }
    }

    /// Parses the three parts of each field line.
    fn field_lines(&mut self, buf: &[u8]) -> Parsed<RequestHead> {
        loop {
            if self.state == RequestState::LineStart {
                match self.begin_field_line(buf)? {
                    Some(true) => return self.finish().map(Some),
                    Some(false) => {}
                    None => return Ok(None),
                }
            }
            if self.state == RequestState::Name && self.name(buf)?.is_none() {
                return Ok(None);
            }
            if self.value(buf)?.is_none() {
                return Ok(None);
            }
        }
    }

    /// "a server [...] SHOULD ignore at least one empty line (CRLF) received prior to the request-line"
    /// (RFC 9112 section 2.2): exactly one.
    fn leading_crlf(&mut self, buf: &[u8]) -> Parsed<()> {
        match buf {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => self.pos = 2,
            _ => {}
        }
        self.begin(RequestState::Method, self.pos);
        Ok(Some(()))
    }

    fn method(&mut self, buf: &[u8]) -> Parsed<()> {
        let Some(byte) = self.scan::<TOKEN>(buf) else {
            return Ok(None);
        };
        self.method = match &buf[self.start..self.pos] {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"" => return Err(RequestError::MalformedMethod),
            _ => Method::Other,
        };
        if byte != b' ' {
            return Err(RequestError::MalformedMethod);
        }
        self.begin(RequestState::Path, self.pos + 1);
        Ok(Some(()))
    }

    fn path(&mut self, buf: &[u8]) -> Parsed<()> {
        let Some(byte) = self.scan::<PATH>(buf) else {
            return Ok(None);
        };
        let target = &buf[self.start..self.pos];
        let path = match target {
            [b'/', ..] => self.start,
            _ => self.absolute_form(target)?,
        };
        self.path = Span::new(path, self.pos);
        match byte {
            b' ' => self.begin(RequestState::Version, self.pos + 1),
            b'?' => self.begin(RequestState::Query, self.pos + 1),
            _ => return Err(RequestError::MalformedTarget),
        }
        Ok(Some(()))
    }

    fn query(&mut self, buf: &[u8]) -> Parsed<()> {
        match self.scan::<TARGET>(buf) {
            None => return Ok(None),
            Some(b' ') => self.begin(RequestState::Version, self.pos + 1),
            Some(_) => return Err(RequestError::MalformedTarget),
        }
        Ok(Some(()))
    }

    /// `absolute-form = absolute-URI`, of the `http` scheme (RFC 9112 section 3.2.2, RFC 9110 section
    /// 4.2.1). Stores its authority and returns the start of its path.
    #[cold]
    fn absolute_form(&mut self, target: &[u8]) -> Result<usize, RequestError> {
        const SCHEME: &[u8] = b"http://";
        let rest = match target.split_at_checked(SCHEME.len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest,
            _ => return Err(RequestError::MalformedTarget),
        };
        let length = class::run::<HOST>(rest);
        if length == 0 || !matches!(rest.get(length), None | Some(b'/')) {
            return Err(RequestError::MalformedTarget);
        }
        let start = self.start + SCHEME.len();
        self.host = Span::new(start, start + length);
        self.has_authority = true;
        Ok(start + length)
    }

    fn version(&mut self, buf: &[u8]) -> Parsed<()> {
        let Some(line) = rest(buf, self.start).first_chunk::<10>() else {
            return part_of_version(rest(buf, self.start));
        };
        let (version, line_end) = line.split_at(8);
        self.is_http_1_1 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(RequestError::UnsupportedVersion),
        };
        if line_end != b"\r\n" {
            return Err(RequestError::MalformedLineEnd);
        }
        self.fields_start = self.start + line.len();
        self.begin(RequestState::LineStart, self.fields_start);
        Ok(Some(()))
    }

    /// Begins a field line, which counts as a field. Returns true at the blank line.
    fn begin_field_line(&mut self, buf: &[u8]) -> Parsed<bool> {
        match rest(buf, self.pos) {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => return Ok(Some(true)),
            [b'\r' | b'\n', ..] => return Err(RequestError::MalformedLineEnd),
            [b' ' | b'\t', ..] => return Err(RequestError::ObsFold),
            _ => {}
        }
        if usize::from(self.field_count) == REQUEST_FIELDS {
            return Err(RequestError::TooManyFields);
        }
        self.field_count += 1;
        self.begin(RequestState::Name, self.pos);
        Ok(Some(false))
    }

    fn name(&mut self, buf: &[u8]) -> Parsed<()> {
        let Some(byte) = self.scan::<TOKEN>(buf) else {
            return Ok(None);
        };
        let name = &buf[self.start..self.pos];
        match byte {
            b':' if !name.is_empty() => {}
            b' ' | b'\t' => return Err(RequestError::SpaceBeforeColon),
            _ => return Err(RequestError::MalformedFieldName),
        }
        self.field = match name.len() {
            4 if is_host(name) => CheckedField::Host,
            14 if starts_with(name, b'c') && name.eq_ignore_ascii_case(b"Content-Length") => {
                CheckedField::ContentLength
            }
            17 if starts_with(name, b't') && name.eq_ignore_ascii_case(b"Transfer-Encoding") => {
                self.has_body = true;
                CheckedField::Other
            }
            _ => CheckedField::Other,
        };
        self.begin(RequestState::Value, self.pos + 1);
        Ok(Some(()))
    }

    fn value(&mut self, buf: &[u8]) -> Parsed<()> {
        let Some(byte) = self.scan::<VALUE>(buf) else {
            return Ok(None);
        };
        match (byte, buf.get(self.pos + 1)) {
            (b'\r', Some(b'\n')) => {}
            (b'\r', None) => return Ok(None),
            (b'\r' | b'\n', _) => return Err(RequestError::MalformedLineEnd),
            _ => return Err(RequestError::MalformedFieldValue),
        }
        match self.field {
            CheckedField::Other => {}
            CheckedField::Host => self.host(buf)?,
            CheckedField::ContentLength => self.content_length(buf)?,
        }
        self.begin(RequestState::LineStart, self.pos + 2);
        Ok(Some(()))
    }

    fn host(&mut self, buf: &[u8]) -> Result<(), RequestError> {
        if self.has_host {
            return Err(RequestError::DuplicateHost);
        }
        self.has_host = true;
        let value = &buf[self.start..self.pos];
        let host = class::trim_ows(value);
        if class::run::<HOST>(host) != host.len() {
            return Err(RequestError::MalformedHost);
        }
        if !self.has_authority {
            let start = self.start + value.len() - value.trim_ascii_start().len();
            self.host = Span::new(start, start + host.len());
        }
        Ok(())
    }

    fn content_length(&mut self, buf: &[u8]) -> Result<(), RequestError> {
        if self.has_length {
            return Err(RequestError::DuplicateContentLength);
        }
        self.has_length = true;
        let digits = class::trim_ows(&buf[self.start..self.pos]);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(RequestError::MalformedContentLength);
        }
        self.has_body |= digits.iter().any(|&digit| digit != b'0');
        Ok(())
    }

    fn finish(&self) -> Result<RequestHead, RequestError> {
        if self.is_http_1_1 && !self.has_host {
            return Err(RequestError::MissingHost);
        }
        Ok(RequestHead {
            method: self.method,
            has_body: self.has_body,
            path: self.path,
            host: (self.has_host || self.has_authority).then_some(self.host),
            fields: Span::new(self.fields_start, self.pos),
            len: self.pos as u16 + 2,
        })
    }

    /// Advances to the first byte that is not of `CLASS` and returns it; `None` at the end of `buf`.
    #[inline(always)]
    fn scan<const CLASS: u8>(&mut self, buf: &[u8]) -> Option<u8> {
        self.pos += class::run::<CLASS>(rest(buf, self.pos));
        buf.get(self.pos).copied()
    }

    #[inline(always)]
    fn begin(&mut self, state: RequestState, pos: usize) {
        self.state = state;
        self.pos = pos;
        self.start = pos;
    }
}

/// The bytes from `at`. Slicing with brackets could panic, which costs a call each.
#[inline(always)]
fn rest(buf: &[u8], at: usize) -> &[u8] {
    buf.get(at..).unwrap_or_default()
}

/// Checks an incomplete version and line end. A wrong byte is reported at once: its sender may wait for the response
/// and send no more.
#[cold]
fn part_of_version(part: &[u8]) -> Parsed<()> {
    let mut expected = part.iter().zip(b"HTTP/1.1\r\n").enumerate();
    match expected.position(|(at, (byte, right))| byte != right && (at, *byte) != (7, b'0')) {
        None => Ok(None),
        Some(0..8) => Err(RequestError::UnsupportedVersion),
        Some(_) => Err(RequestError::MalformedLineEnd),
    }
}

/// Two instructions instead of a loop, as every head has a `Host`. With bit 0x20 set, only the two cases of a letter
/// equal that letter.
#[inline(always)]
fn is_host(name: &[u8]) -> bool {
    name.first_chunk::<4>().is_some_and(|name| {
        u32::from_ne_bytes(*name) | u32::from_ne_bytes([0x20; 4]) == u32::from_ne_bytes(*b"host")
    })
}

/// Avoids the full comparison for most names of that length.
fn starts_with(name: &[u8], letter: u8) -> bool {
    name.first().is_some_and(|first| first | 0x20 == letter)
}

impl Default for RequestParser {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
