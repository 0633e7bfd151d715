//! The framing and the `Location` that the header fields of a response define, by Go's rules
//! (`net/http/transfer.go`).

use super::head::Framing;
use super::status_line::Version;
use crate::wire::field_lines::{FieldLineSink, Malformed, Word};

/// Accumulates the header fields of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderAccumulator {
    status: u16,
    version: Version,
    field: FramingField,
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
enum FramingField {
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

/// Length of a value, stored or not.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    len: usize,
    /// The length without trailing spaces and tabs.
    end: usize,
}

impl HeaderAccumulator {
    pub(super) const fn new(status: u16, version: Version) -> Self {
        HeaderAccumulator {
            status,
            version,
            field: FramingField::Other,
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

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Length of the first `Location`, stored or not.
    pub(super) fn location_len(&self) -> usize {
        self.location.end
    }

    fn begin_field(&mut self, name: &Word) {
        self.end_field();
        self.field = if name.is(b"content-length") {
            self.length = Digits::default();
            FramingField::ContentLength
        } else if name.is(b"transfer-encoding") {
            self.encodings = self.encodings.saturating_add(1);
            FramingField::TransferEncoding
        } else if name.is(b"trailer") {
            FramingField::Trailer
        } else if name.is(b"location") && !self.has_location {
            self.has_location = true;
            FramingField::Location
        } else {
            FramingField::Other
        };
        self.word = Word::new();
    }

    fn end_field(&mut self) {
        match self.field {
            FramingField::ContentLength => {
                let first = *self.first_length.get_or_insert(self.length);
                self.is_length_bad |= self.length.is_bad
                    || self.length.count == 0
                    || (self.length.value, self.length.count) != (first.value, first.count);
            }
            FramingField::TransferEncoding => self.is_chunked = self.word.is(b"chunked"),
            FramingField::Trailer => self.end_trailer_name(),
            FramingField::Location | FramingField::Other => {}
        }
        self.field = FramingField::Other;
    }

    /// Go rejects a chunked response that announces these as trailers (`fixTrailer`).
    fn end_trailer_name(&mut self) {
        self.word.trim();
        self.is_trailer_bad |= self.word.is(b"transfer-encoding")
            || self.word.is(b"trailer")
            || self.word.is(b"content-length");
        self.word = Word::new();
    }

    /// `parseTransferEncoding`, `fixLength` and `fixTrailer` of Go's `transfer.go`, in that order.
    pub(super) fn framing(&mut self) -> Result<Framing, Malformed> {
        self.end_field();
        // Go treats "HTTP/0.0" as 1.1 here, and ignores the encoding of other versions below 1.1.
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

/// Writes field values to the accumulator, and the `Location` to the caller's memory.
pub(super) struct AccumulatorSink<'a> {
    pub(super) headers: &'a mut HeaderAccumulator,
    pub(super) location: &'a mut [u8],
}

impl FieldLineSink for AccumulatorSink<'_> {
    fn name(&mut self, name: &Word) {
        self.headers.begin_field(name);
    }

    fn text(&mut self, bytes: &[u8]) {
        let headers = &mut *self.headers;
        match headers.field {
            FramingField::Other => {}
            FramingField::ContentLength => bytes.iter().for_each(|&byte| headers.length.push(byte)),
            FramingField::TransferEncoding => {
                bytes.iter().for_each(|&byte| headers.word.push(byte))
            }
            FramingField::Trailer => bytes.iter().for_each(|&byte| match byte {
                b',' => headers.end_trailer_name(),
                // Leading whitespace is not part of an element.
                b' ' | b'\t' if headers.word.is_empty() => {}
                _ => headers.word.push(byte),
            }),
            FramingField::Location => headers.location.push(self.location, bytes),
        }
    }

    fn fold(&mut self) {
        match self.headers.field {
            FramingField::Other => {}
            FramingField::ContentLength | FramingField::Trailer => self.text(b" "),
            FramingField::TransferEncoding if self.headers.word.is_empty() => {}
            FramingField::TransferEncoding => {
                self.headers.word.push(b' ');
                self.headers.word.keep_whitespace();
            }
            FramingField::Location if self.headers.location.len == 0 => {}
            FramingField::Location => {
                self.headers.location.push(self.location, b" ");
                self.headers.location.end = self.headers.location.len;
            }
        }
    }

    fn line_end(&mut self) {
        match self.headers.field {
            FramingField::TransferEncoding => self.headers.word.trim(),
            FramingField::Location => self.headers.location.len = self.headers.location.end,
            FramingField::ContentLength | FramingField::Trailer | FramingField::Other => {}
        }
    }
}
