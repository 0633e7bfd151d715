//! What can be wrong with a request: the one place that maps it to a status code and a text.

use super::review::ReviewError;
use crate::limits;
use core::fmt;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The head is not HTTP/1.1.
    BadHead,
    /// The length of the body is malformed or ambiguous.
    BadLength,
    /// The head has too many bytes or fields.
    LargeHead,
    /// The head did not arrive in time.
    SlowHead,
    /// Unknown path.
    NotFound,
    /// The path supports only POST.
    OnlyPost,
    /// The path supports only GET and HEAD.
    OnlyGet,
    /// The `Content-Type` is not JSON.
    NotJson,
    /// The body has more than `limits::REVIEW_BYTES`.
    LargeBody,
    /// The body did not arrive in time.
    SlowBody,
    /// The chunked coding is malformed.
    BadChunk,
    /// There was no memory for the body in time.
    Overloaded,
    /// The connection does not begin with a TLS handshake.
    NotTls,
}

impl HttpError {
    /// The status code.
    pub fn status(self) -> u16 {
        match self {
            HttpError::BadHead | HttpError::BadLength | HttpError::BadChunk | HttpError::NotTls => {
                400
            }
            HttpError::NotFound => 404,
            HttpError::OnlyPost | HttpError::OnlyGet => 405,
            HttpError::SlowHead | HttpError::SlowBody => 408,
            HttpError::LargeBody => 413,
            HttpError::NotJson => 415,
            HttpError::LargeHead => 431,
            HttpError::Overloaded => 503,
        }
    }

    /// The methods for `Allow`, which RFC 9110 section 15.5.6 requires with 405.
    pub fn allow(self) -> Option<&'static str> {
        match self {
            HttpError::OnlyPost => Some("POST"),
            HttpError::OnlyGet => Some("GET, HEAD"),
            HttpError::BadHead
            | HttpError::BadLength
            | HttpError::LargeHead
            | HttpError::SlowHead
            | HttpError::NotFound
            | HttpError::NotJson
            | HttpError::LargeBody
            | HttpError::SlowBody
            | HttpError::BadChunk
            | HttpError::Overloaded
            | HttpError::NotTls => None,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HttpError::BadHead => {
                "the request head is not HTTP/1.1 (RFC 9112): send such as GET /healthz HTTP/1.1, and one Host"
            }
            HttpError::BadLength => {
                "the length of the body is unclear: send one Content-Length, or Transfer-Encoding: chunked"
            }
            HttpError::BadChunk => {
                "the body is not in the chunked coding of RFC 9112 section 7.1: send for each chunk its size in \
                 hexadecimal, CRLF, its bytes, CRLF; or send a Content-Length instead"
            }
            HttpError::NotTls => "this port requires TLS: use https",
            HttpError::NotFound => "not found: the paths are /inject, /healthz and /metrics",
            HttpError::OnlyPost => "method not allowed: POST an AdmissionReview to this path",
            HttpError::OnlyGet => "method not allowed: GET this path",
            HttpError::NotJson => "unsupported media type: send Content-Type: application/json",
            HttpError::LargeHead => {
                let (kib, fields) = (limits::REQUEST_HEAD_BYTES / 1024, limits::REQUEST_FIELDS);
                return write!(
                    f,
                    "the request head has more than {kib} KiB or {fields} fields: send less of both"
                );
            }
            HttpError::LargeBody => {
                let mib = limits::REVIEW_BYTES >> 20;
                return write!(f, "the body has more than {mib} MiB: send the review of a smaller object");
            }
            HttpError::SlowHead => {
                let seconds = limits::WEBHOOK_HEAD_TIME.as_secs();
                return write!(f, "the request head took more than {seconds} s: send it at once");
            }
            HttpError::SlowBody => {
                let seconds = limits::WEBHOOK_BODY_TIME.as_secs();
                return write!(
                    f,
                    "the body took more than {seconds} s, or than the request's timeout: send it at once"
                );
            }
            HttpError::Overloaded => {
                let mib = limits::REVIEW_BYTES_TOTAL >> 20;
                return write!(f, "{mib} MiB of other reviews are in flight: retry");
            }
        })
    }
}

/// The status code for a body that is not a valid review.
pub fn review_status(error: &ReviewError) -> u16 {
    match error {
        ReviewError::TooManyValues => 413,
        ReviewError::NotJson(_)
        | ReviewError::OtherKind(_)
        | ReviewError::OtherVersion(_)
        | ReviewError::Missing(_) => 400,
    }
}
