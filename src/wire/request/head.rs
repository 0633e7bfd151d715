//! A parsed request head, and the reasons for which one is rejected.

use crate::limits::REQUEST_HEAD_BYTES;
use crate::wire::class;

/// The request method (RFC 9110 section 9). Methods are case-sensitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// Any other token.
    Other,
}

/// The positions of a head's parts in the buffer that it was read from.
///
/// The accessors need that buffer, with the same bytes at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    pub(super) method: Method,
    pub(super) has_body: bool,
    pub(super) path: Span,
    pub(super) host: Option<Span>,
    pub(super) fields: Span,
    pub(super) len: u16,
}

/// A piece of the buffer. [`REQUEST_HEAD_BYTES`] fits in 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u16,
    end: u16,
}

const _: () = assert!(REQUEST_HEAD_BYTES <= u16::MAX as usize);

impl Span {
    pub(super) const EMPTY: Self = Span { start: 0, end: 0 };

    pub(super) fn new(start: usize, end: usize) -> Self {
        Span {
            start: start as u16,
            end: end as u16,
        }
    }

    /// Its bytes; empty if `buf` is not the buffer of the head.
    fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(usize::from(self.start)..usize::from(self.end))
            .unwrap_or_default()
    }
}

impl RequestHead {
    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Bytes of the head in the buffer, from its start to the end of the blank line.
    #[expect(clippy::len_without_is_empty, reason = "a head is never empty")]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The path of the target, without query; `/` when an absolute-form has none (RFC 9110 section 4.2.3).
    pub fn path<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        match self.path.of(buf) {
            [] => b"/",
            path => path,
        }
    }

    /// The requested host and port: of an absolute-form its authority (RFC 9112 section 3.2.2), else the
    /// value of `Host`, which may be empty. `None` only in HTTP/1.0.
    pub fn host<'b>(&self, buf: &'b [u8]) -> Option<&'b [u8]> {
        self.host.map(|host| host.of(buf))
    }

    /// Whether a body follows: `Transfer-Encoding`, or a `Content-Length` other than 0 (RFC 9112 section 6).
    pub fn has_body(&self) -> bool {
        self.has_body
    }

    /// The value of the first field line of this name.
    pub fn field<'b>(&self, buf: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
        let mut same = self
            .fields(buf)
            .filter(|(field, _)| class::is_same_field_name(field, name));
        same.next().map(|(_, value)| value)
    }

    /// Name and value of each field line, `Host` included.
    pub fn fields<'b>(&self, buf: &'b [u8]) -> FieldIter<'b> {
        FieldIter(self.fields.of(buf))
    }
}

/// The field lines of a head; made by [`RequestHead::fields`].
#[derive(Clone, Debug)]
pub struct FieldIter<'b>(&'b [u8]);

impl<'b> Iterator for FieldIter<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let line_end = memchr::memchr(b'\r', self.0)?;
        let (line, rest) = self.0.split_at(line_end);
        self.0 = rest.get(2..).unwrap_or_default();
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], class::trim_ows(&line[colon + 1..])))
    }
}

/// Why a head is rejected; one for each rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// More than [`REQUEST_HEAD_BYTES`].
    TooManyBytes,
    /// More than [`REQUEST_FIELDS`](crate::limits::REQUEST_FIELDS) field lines.
    TooManyFields,
    /// Something other than a token and one space as the method, or a second leading CRLF
    /// (RFC 9112 sections 2.2 and 3.1).
    MalformedMethod,
    /// Neither origin-form nor absolute-form of `http`, bytes that are in no URI, or user information
    /// (RFC 9112 section 3.2, RFC 9110 section 4.2.4).
    MalformedTarget,
    /// Neither `HTTP/1.1` nor `HTTP/1.0` (RFC 9112 section 2.3).
    UnsupportedVersion,
    /// A line that does not end with CRLF: bare LF, bare CR (RFC 9112 section 2.2).
    MalformedLineEnd,
    /// A line that starts with whitespace: obs-fold (RFC 9112 section 5.2) or before the first field
    /// (section 2.2).
    ObsFold,
    /// A field name that is empty or no token (RFC 9112 section 5).
    MalformedFieldName,
    /// Whitespace between field name and colon (RFC 9112 section 5.1).
    SpaceBeforeColon,
    /// A control byte in a field value (RFC 9110 section 5.5).
    MalformedFieldValue,
    /// HTTP/1.1 without `Host` (RFC 9112 section 3.2).
    MissingHost,
    /// A second `Host` (RFC 9112 section 3.2).
    DuplicateHost,
    /// A `Host` that is no host and port (RFC 9112 section 3.2).
    MalformedHost,
    /// A `Content-Length` that is no number (RFC 9112 section 6.3).
    MalformedContentLength,
    /// A second `Content-Length`, equal or not (RFC 9112 section 6.3).
    DuplicateContentLength,
}

impl RequestError {
    /// Whether a limit is exceeded (431), rather than the syntax wrong (400).
    pub fn is_too_large(self) -> bool {
        matches!(self, Self::TooManyBytes | Self::TooManyFields)
    }

    /// The reason in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooManyBytes => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::MalformedMethod => "malformed_method",
            Self::MalformedTarget => "malformed_target",
            Self::UnsupportedVersion => "unsupported_version",
            Self::MalformedLineEnd => "malformed_line_end",
            Self::ObsFold => "obs_fold",
            Self::MalformedFieldName => "malformed_field_name",
            Self::SpaceBeforeColon => "space_before_colon",
            Self::MalformedFieldValue => "malformed_field_value",
            Self::MissingHost => "missing_host",
            Self::DuplicateHost => "duplicate_host",
            Self::MalformedHost => "malformed_host",
            Self::MalformedContentLength => "malformed_content_length",
            Self::DuplicateContentLength => "duplicate_content_length",
        }
    }
}
