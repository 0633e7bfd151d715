//! A request head as far as the webhook uses it. `wire` parses it, as strictly as for the status port.

use super::http_error::HttpError;
use crate::limits;
use crate::wire::request::{RequestError, RequestHead, RequestParser};
use core::time::Duration;

/// A request without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The endpoint, or why there is none.
    pub endpoint: Result<Endpoint, HttpError>,
    /// Whether the method is HEAD.
    pub is_head_method: bool,
    /// The length of the body.
    pub body_length: BodyLength,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// Whether the client may send another request on the connection.
    pub keeps_alive: bool,
    /// How long the client waits for the response, at most `limits::REVIEW_TIMEOUT`.
    pub timeout: Duration,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /inject`
    Inject,
    /// `/healthz`
    Health,
    /// `/metrics`
    Metrics,
}

/// The length of a body (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// `Content-Length` in bytes; 0 if there is none.
    Known(usize),
    /// `Transfer-Encoding: chunked`
    Chunked,
}

/// The request line of a parsed head.
struct RequestLine<'b> {
    method: &'b str,
    target: &'b str,
    is_http_1_1: bool,
}

/// The field lines of a parsed head.
#[derive(Clone, Copy)]
struct Fields<'b> {
    head: &'b RequestHead,
    bytes: &'b [u8],
}

/// Parses a head, and returns it with its number of bytes; `None` if it is not complete.
///
/// # Errors
/// The head is malformed or too large.
pub fn parse_request_head(bytes: &[u8]) -> Result<Option<(Request, usize)>, HttpError> {
    let parsed = RequestParser::new().parse(bytes);
    match parsed? {
        Some(head) => Ok(Some((from_parsed_head(&head, bytes)?, head.len()))),
        None => Ok(None),
    }
}

impl From<RequestError> for HttpError {
    fn from(error: RequestError) -> HttpError {
        match error {
            RequestError::TooManyBytes | RequestError::TooManyFields => HttpError::HeadTooLarge,
            RequestError::MalformedContentLength | RequestError::DuplicateContentLength => {
                HttpError::InvalidBodyLength
            }
            RequestError::MalformedMethod
            | RequestError::MalformedTarget
            | RequestError::UnsupportedVersion
            | RequestError::MalformedLineEnd
            | RequestError::ObsFold
            | RequestError::MalformedFieldName
            | RequestError::SpaceBeforeColon
            | RequestError::MalformedFieldValue
            | RequestError::MissingHost
            | RequestError::DuplicateHost
            | RequestError::MalformedHost => HttpError::MalformedHead,
        }
    }
}

fn from_parsed_head(head: &RequestHead, bytes: &[u8]) -> Result<Request, HttpError> {
    let line = RequestLine::of(bytes);
    let fields = Fields { head, bytes };
    Ok(Request {
        endpoint: endpoint(&line, fields),
        is_head_method: line.method == "HEAD",
        body_length: body_length(fields, line.is_http_1_1)?,
        expects_continue: line.is_http_1_1 && fields.has_token("Expect", "100-continue"),
        keeps_alive: line.is_http_1_1 && !fields.has_token("Connection", "close"),
        timeout: timeout(line.target),
    })
}

impl<'b> RequestLine<'b> {
    /// Splits the line at its spaces. The parser has validated it, but distinguishes only GET and HEAD from other methods.
    fn of(bytes: &'b [u8]) -> RequestLine<'b> {
        // One empty line may precede it (RFC 9112 section 2.2).
        let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        let line = bytes.split(|byte| *byte == b'\r').next();
        let mut parts = core::str::from_utf8(line.unwrap_or_default())
            .unwrap_or_default()
            .split(' ');
        let mut part = || parts.next().unwrap_or_default();
        RequestLine {
            method: part(),
            target: part(),
            is_http_1_1: part() == "HTTP/1.1",
        }
    }
}

impl<'b> Fields<'b> {
    fn values(self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let fields = self.head.fields(self.bytes);
        fields
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Whether the comma-separated values of a field contain this token.
    fn has_token(self, name: &str, token: &str) -> bool {
        let token = token.as_bytes();
        self.values(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
    }

    fn is_json(self) -> bool {
        let media_type = self.values("Content-Type").next();
        let media_type = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
        media_type.is_some_and(|text| text.trim_ascii().eq_ignore_ascii_case(b"application/json"))
    }
}

fn endpoint(line: &RequestLine<'_>, fields: Fields<'_>) -> Result<Endpoint, HttpError> {
    // The API server adds the query `timeout`.
    let path = line.target.split('?').next().unwrap_or_default();
    match (path, line.method) {
        ("/inject", "POST") if fields.is_json() => Ok(Endpoint::Inject),
        ("/inject", "POST") => Err(HttpError::UnsupportedMediaType),
        ("/inject", _) => Err(HttpError::PostRequired),
        ("/healthz", "GET" | "HEAD") => Ok(Endpoint::Health),
        ("/metrics", "GET" | "HEAD") => Ok(Endpoint::Metrics),
        ("/healthz" | "/metrics", _) => Err(HttpError::GetRequired),
        _ => Err(HttpError::NotFound),
    }
}

/// `?timeout=10s`: the webhook's `timeoutSeconds`, or the rest of the client's own timeout, as a Go duration of whole
/// seconds. It has minutes only when it is longer than the limit.
fn timeout(target: &str) -> Duration {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let seconds = query.split('&').find_map(|parameter| {
        let seconds = parameter.strip_prefix("timeout=")?.strip_suffix('s')?;
        seconds.parse().ok().filter(|seconds| *seconds > 0)
    });
    let timeout = seconds.map_or(limits::REVIEW_TIMEOUT, Duration::from_secs);
    timeout.min(limits::REVIEW_TIMEOUT)
}

/// RFC 9112 section 6.3. Both kinds of length at once, or two of one kind, allow request smuggling.
fn body_length(fields: Fields<'_>, is_http_1_1: bool) -> Result<BodyLength, HttpError> {
    let length = fields.values("Content-Length").next();
    let mut codings = fields.values("Transfer-Encoding");
    match (length, codings.next(), codings.next()) {
        (None, None, _) => Ok(BodyLength::Known(0)),
        (Some(digits), None, _) => Ok(BodyLength::Known(saturating_number(digits))),
        (None, Some(coding), None) if is_http_1_1 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(BodyLength::Chunked)
        }
        (None, Some(_), _) | (Some(_), Some(_), _) => Err(HttpError::InvalidBodyLength),
    }
}

/// The value of digits that the parser has checked. A number that overflows is only too large.
fn saturating_number(digits: &[u8]) -> usize {
    digits.iter().fold(0_usize, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests;
