//! The head of the app's response, read as Go's `net/http` client reads it, since kubelet does, and as a
//! stream: status, framing and `Location` are kept, the rest passes.
//!
//! Sources: Go 1.26 `net/http/response.go` (`ReadResponse`), `transfer.go` (`readTransfer`), `transport.go`
//! (`readResponse`), `net/textproto/reader.go`.

use super::field_lines::{FieldLines, Malformed, Sink, Word};
use crate::limits::RESPONSE_HEAD_BYTES;

/// How the end of the body is told (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, whatever the fields say: 204 and 304.
    None,
    /// `Content-Length`: this many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The body ends when the app closes.
    UntilClose,
}

/// The first `Location` of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// None, or an empty one, which Go treats alike.
    Absent,
    /// Longer than the memory there is for it.
    TooLong,
    /// This many bytes, at the start of the caller's memory.
    Kept(usize),
}

/// What is kept of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 200 to 599.
    pub status: u16,
    /// How the end of the body is told.
    pub framing: Framing,
    /// Where a redirect leads.
    pub location: Location,
}

/// What came of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// All were used, and the head is not complete.
    Partial,
    /// The head is complete; the body starts at byte `used` of those given.
    Complete {
        /// How many bytes belonged to the head.
        used: usize,
        /// The head.
        head: ResponseHead,
    },
}

/// Why a response is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// Go's client would not take it for HTTP/1.
    Malformed,
    /// Heads of more than [`RESPONSE_HEAD_BYTES`], interim ones included.
    TooLarge,
    /// 101, though nobody asked.
    SwitchingProtocols,
    /// A status below 100 or above 599. Go takes it; here it cannot be handed on.
    StatusOutOfRange,
}

impl From<Malformed> for ResponseError {
    fn from(_: Malformed) -> Self {
        ResponseError::Malformed
    }
}

/// Reads heads up to the first that is not interim (1xx), in constant memory, however they are split.
#[derive(Clone, Copy, Debug)]
pub struct ResponseParser {
    at: At,
    lines: FieldLines,
    seen: Seen,
    budget: u64,
}

#[derive(Clone, Copy, Debug)]
enum At {
    StatusLine(StatusLine),
    Fields,
}

impl ResponseParser {
    /// A parser at the start of a response.
    pub fn new() -> Self {
        ResponseParser {
            at: At::StatusLine(StatusLine::new()),
            lines: FieldLines::new(),
            seen: Seen::new(0, (0, 0)),
            budget: RESPONSE_HEAD_BYTES,
        }
    }

    /// Reads on. `location` is the same memory in each call; a `Location` is kept at its start. Not to be
    /// called again after a head or an error.
    ///
    /// # Errors
    /// The first rule broken. 101 and a status out of range are told at the end of the status line.
    pub fn feed(&mut self, bytes: &[u8], location: &mut [u8]) -> Result<Fed, ResponseError> {
        let budget = usize::try_from(self.budget).unwrap_or(usize::MAX);
        let window = &bytes[..bytes.len().min(budget)];
        let mut used = 0;
        while used < window.len() {
            let rest = &window[used..];
            match &mut self.at {
                At::StatusLine(line) => {
                    let Some((length, status, version)) = line.feed(rest)? else {
                        break;
                    };
                    used += length;
                    self.begin_fields(status, version)?;
                }
                At::Fields => {
                    let mut sink = Values {
                        seen: &mut self.seen,
                        location,
                    };
                    let Some(length) = self.lines.feed(rest, &mut sink)? else {
                        break;
                    };
                    used += length;
                    if let Some(head) = self.end_head(location.len())? {
                        return Ok(Fed::Complete { used, head });
                    }
                }
            }
        }
        if bytes.len() >= budget {
            return Err(ResponseError::TooLarge);
        }
        self.budget -= bytes.len() as u64;
        Ok(Fed::Partial)
    }

    fn begin_fields(&mut self, status: u16, version: Version) -> Result<(), ResponseError> {
        match status {
            101 => return Err(ResponseError::SwitchingProtocols),
            100..=599 => {}
            _ => return Err(ResponseError::StatusOutOfRange),
        }
        self.at = At::Fields;
        self.lines = FieldLines::new();
        self.seen = Seen::new(status, version);
        Ok(())
    }

    /// The head that ended; `None` if it was interim.
    fn end_head(&mut self, room: usize) -> Result<Option<ResponseHead>, ResponseError> {
        let framing = self.seen.framing()?;
        if self.seen.status < 200 {
            self.at = At::StatusLine(StatusLine::new());
            return Ok(None);
        }
        Ok(Some(ResponseHead {
            status: self.seen.status,
            framing,
            location: match self.seen.location.end {
                0 => Location::Absent,
                len if len > room => Location::TooLong,
                len => Location::Kept(len),
            },
        }))
    }
}

impl Default for ResponseParser {
    fn default() -> Self {
        Self::new()
    }
}

/// Major and minor version.
type Version = (u8, u8);

/// The status line: eight bytes of version, spaces, three of status, and anything after a space.
#[derive(Clone, Copy, Debug)]
struct StatusLine {
    part: Part,
    version: Version,
    status: u16,
    is_negative: bool,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Version(usize),
    Spaces,
    Status(u8),
    AfterStatus,
    Reason,
    /// A CR right after the status.
    Cr,
}

impl StatusLine {
    const fn new() -> Self {
        StatusLine {
            part: Part::Version(0),
            version: (0, 0),
            status: 0,
            is_negative: false,
        }
    }

    /// When the line ends in `bytes`: its length there, status and version.
    fn feed(&mut self, bytes: &[u8]) -> Result<Option<(usize, u16, Version)>, Malformed> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            if matches!(self.part, Part::Reason) {
                let end = memchr::memchr(b'\n', &bytes[used..]);
                return Ok(end.map(|end| (used + end + 1, self.status, self.version)));
            }
            used += 1;
            if self.step(byte)? {
                return Ok(Some((used, self.status, self.version)));
            }
        }
        Ok(None)
    }

    /// Whether `byte` ends the line.
    fn step(&mut self, byte: u8) -> Result<bool, Malformed> {
        const VERSION: &[u8; 8] = b"HTTP/0.0";
        self.part = match (self.part, byte) {
            (Part::Version(8), b' ') => Part::Spaces,
            (Part::Version(at @ (5 | 7)), b'0'..=b'9') => {
                self.version = (self.version.1, byte - b'0');
                Part::Version(at + 1)
            }
            (Part::Version(at @ (0..=4 | 6)), _) if byte == VERSION[at] => Part::Version(at + 1),
            (Part::Spaces, b' ') => Part::Spaces,
            // Go reads the status with Atoi, which takes a sign: "+20" is 20, "-00" is 0.
            (Part::Spaces, b'+' | b'-') => {
                self.is_negative = byte == b'-';
                Part::Status(1)
            }
            (Part::Spaces, b'0'..=b'9') => self.digit(0, byte)?,
            (Part::Status(at), b'0'..=b'9') => self.digit(at, byte)?,
            (Part::AfterStatus, b' ') => Part::Reason,
            (Part::AfterStatus, b'\r') => Part::Cr,
            (Part::AfterStatus | Part::Cr, b'\n') => return Ok(true),
            _ => return Err(Malformed),
        };
        Ok(false)
    }

    fn digit(&mut self, at: u8, byte: u8) -> Result<Part, Malformed> {
        self.status = self.status * 10 + u16::from(byte - b'0');
        match at {
            2 if self.is_negative && self.status != 0 => Err(Malformed),
            2 => Ok(Part::AfterStatus),
            _ => Ok(Part::Status(at + 1)),
        }
    }
}

/// What the fields of a head said so far.
#[derive(Clone, Copy, Debug)]
struct Seen {
    status: u16,
    version: Version,
    field: Field,
    /// The first `Content-Length`, and the one being read.
    first_length: Option<Digits>,
    length: Digits,
    is_length_bad: bool,
    /// The value of a `Transfer-Encoding`, or an element of `Trailer`.
    word: Word,
    encodings: u8,
    is_chunked: bool,
    is_trailer_bad: bool,
    has_location: bool,
    location: Extent,
}

/// The field being read.
#[derive(Clone, Copy, Debug)]
enum Field {
    ContentLength,
    TransferEncoding,
    Trailer,
    Location,
    Other,
}

/// A string of digits. Two are the same string when value and count are.
#[derive(Clone, Copy, Debug, Default)]
struct Digits {
    value: u64,
    count: u32,
    is_over: bool,
    is_bad: bool,
}

/// How much of a value came, whether there was memory for it or not.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    len: usize,
    /// The same, without trailing spaces and tabs.
    end: usize,
}

impl Seen {
    const fn new(status: u16, version: Version) -> Self {
        Seen {
            status,
            version,
            field: Field::Other,
            first_length: None,
            length: Digits {
                value: 0,
                count: 0,
                is_over: false,
                is_bad: false,
            },
            is_length_bad: false,
            word: Word::new(),
            encodings: 0,
            is_chunked: false,
            is_trailer_bad: false,
            has_location: false,
            location: Extent { len: 0, end: 0 },
        }
    }

    fn begin_field(&mut self, name: &Word) {
        self.end_field();
        self.field = if name.is(b"content-length") {
            self.length = Digits::default();
            Field::ContentLength
        } else if name.is(b"transfer-encoding") {
            self.encodings = self.encodings.saturating_add(1);
            Field::TransferEncoding
        } else if name.is(b"trailer") {
            Field::Trailer
        } else if name.is(b"location") && !self.has_location {
            self.has_location = true;
            Field::Location
        } else {
            Field::Other
        };
        self.word = Word::new();
    }

    fn end_field(&mut self) {
        match self.field {
            Field::ContentLength => {
                let first = *self.first_length.get_or_insert(self.length);
                self.is_length_bad |= self.length.is_bad
                    || self.length.count == 0
                    || (self.length.value, self.length.count) != (first.value, first.count);
            }
            Field::TransferEncoding => self.is_chunked = self.word.is(b"chunked"),
            Field::Trailer => self.end_trailer_name(),
            Field::Location | Field::Other => {}
        }
        self.field = Field::Other;
    }

    /// Go refuses a chunked response that announces these as trailers (`fixTrailer`).
    fn end_trailer_name(&mut self) {
        self.word.trim();
        self.is_trailer_bad |= self.word.is(b"transfer-encoding")
            || self.word.is(b"trailer")
            || self.word.is(b"content-length");
        self.word = Word::new();
    }

    /// `parseTransferEncoding`, `fixLength` and `fixTrailer` of Go's `transfer.go`, in that order.
    fn framing(&mut self) -> Result<Framing, Malformed> {
        self.end_field();
        // Go takes "HTTP/0.0" for 1.1 here, and lets no other version below 1.1 have an encoding.
        let may_encode = self.version >= (1, 1) || self.version == (0, 0);
        let is_encoded = may_encode && self.encodings != 0;
        if is_encoded && !(self.encodings == 1 && self.is_chunked) {
            return Err(Malformed);
        }
        if self.is_length_bad || (is_encoded && self.is_trailer_bad) {
            return Err(Malformed);
        }
        Ok(match (self.status, self.first_length) {
            (100..=199 | 204 | 304, _) => Framing::None,
            _ if is_encoded => Framing::Chunked,
            (_, Some(length)) => Framing::Length(length.value),
            (_, None) => Framing::UntilClose,
        })
    }
}

impl Digits {
    /// `parseContentLength` of Go's `transfer.go`: decimal, below 2^63, whitespace around it.
    fn push(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' => self.is_over = self.count != 0,
            b'0'..=b'9' if !self.is_over => {
                self.count = self.count.saturating_add(1);
                let value = self.value.checked_mul(10);
                match value.and_then(|value| value.checked_add(u64::from(byte - b'0'))) {
                    Some(value) if value <= i64::MAX as u64 => self.value = value,
                    _ => self.is_bad = true,
                }
            }
            _ => self.is_bad = true,
        }
    }
}

impl Extent {
    fn push(&mut self, memory: &mut [u8], bytes: &[u8]) {
        let room = memory.get_mut(self.len..).unwrap_or_default();
        let fits = bytes.len().min(room.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
        let text = bytes.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
        if let Some(last) = text {
            self.end = self.len + last + 1;
        }
        self.len += bytes.len();
    }
}

/// Where the values of a head go.
struct Values<'a> {
    seen: &'a mut Seen,
    location: &'a mut [u8],
}

impl Sink for Values<'_> {
    fn name(&mut self, name: &Word) {
        self.seen.begin_field(name);
    }

    fn text(&mut self, bytes: &[u8]) {
        let seen = &mut *self.seen;
        match seen.field {
            Field::Other => {}
            Field::ContentLength => bytes.iter().for_each(|&byte| seen.length.push(byte)),
            Field::TransferEncoding => bytes.iter().for_each(|&byte| seen.word.push(byte)),
            Field::Trailer => bytes.iter().for_each(|&byte| match byte {
                b',' => seen.end_trailer_name(),
                // Leading whitespace of an element is not part of it.
                b' ' | b'\t' if seen.word.is_empty() => {}
                _ => seen.word.push(byte),
            }),
            Field::Location => seen.location.push(self.location, bytes),
        }
    }

    fn fold(&mut self) {
        match self.seen.field {
            Field::Other => {}
            Field::ContentLength | Field::Trailer => self.text(b" "),
            Field::TransferEncoding if self.seen.word.is_empty() => {}
            Field::TransferEncoding => {
                self.seen.word.push(b' ');
                self.seen.word.keep();
            }
            Field::Location if self.seen.location.len == 0 => {}
            Field::Location => {
                self.seen.location.push(self.location, b" ");
                self.seen.location.end = self.seen.location.len;
            }
        }
    }

    fn line_end(&mut self) {
        match self.seen.field {
            Field::TransferEncoding => self.seen.word.trim(),
            Field::Location => self.seen.location.len = self.seen.location.end,
            Field::ContentLength | Field::Trailer | Field::Other => {}
        }
    }
}

#[cfg(test)]
mod tests;
