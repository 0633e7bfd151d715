//! What can be wrong with a request, and the one place where that becomes a status, a word and a sentence.

use super::review::ReviewError;
use crate::limits;
use core::fmt;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The head is not HTTP/1.1.
    BadHead,
    /// It does not say, or says twice, how long the body is.
    BadLength,
    /// It has too many bytes or fields.
    LargeHead,
    /// It does not come.
    SlowHead,
    /// There is no such path.
    NotFound,
    /// The path takes POST alone.
    OnlyPost,
    /// The path takes GET and HEAD alone.
    OnlyGet,
    /// The body is said to be something else than JSON.
    NotJson,
    /// The body has more than `limits::REVIEW_BYTES`.
    LargeBody,
    /// It does not come.
    SlowBody,
    /// Its chunks are broken.
    BadChunk,
    /// There was no room for it in time.
    Full,
    /// Not TLS at all.
    NotTls,
}

impl Problem {
    /// The status that says so.
    pub fn status(self) -> u16 {
        match self {
            Problem::BadHead | Problem::BadLength | Problem::BadChunk | Problem::NotTls => 400,
            Problem::NotFound => 404,
            Problem::OnlyPost | Problem::OnlyGet => 405,
            Problem::SlowHead | Problem::SlowBody => 408,
            Problem::LargeBody => 413,
            Problem::NotJson => 415,
            Problem::LargeHead => 431,
            Problem::Full => 503,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: core::time::Duration| time.as_secs();
        f.write_str(match self {
            Problem::BadHead => {
                "the head of the request is not HTTP/1.1 (RFC 9112): send such as GET /healthz HTTP/1.1, and one Host"
            }
            Problem::BadLength => {
                "the length of the body is unclear: send one Content-Length, or Transfer-Encoding: chunked"
            }
            Problem::BadChunk => {
                "the chunks of the body are not as RFC 9112 section 7.1 has them: send the bytes of each between its \
                 size in hexadecimal with CRLF and another CRLF, or a Content-Length instead"
            }
            Problem::NotTls => "this port speaks TLS: ask it by https",
            Problem::NotFound => "there are /inject, /healthz and /metrics here",
            Problem::OnlyPost => "POST an AdmissionReview here",
            Problem::OnlyGet => "GET this",
            Problem::NotJson => "send Content-Type: application/json",
            Problem::LargeHead => {
                let (kib, fields) = (limits::REQUEST_HEAD_BYTES / 1024, limits::REQUEST_FIELDS);
                return write!(
                    f,
                    "the head of the request has more than {kib} KiB or {fields} fields: send less of both"
                );
            }
            Problem::LargeBody => {
                let mib = limits::REVIEW_BYTES >> 20;
                return write!(f, "the body has more than {mib} MiB: send the review of a smaller object");
            }
            Problem::SlowHead => {
                let time = seconds(limits::WEBHOOK_HEAD_TIME);
                return write!(f, "the head of the request took more than {time} s: send it at once");
            }
            Problem::SlowBody => {
                let time = seconds(limits::WEBHOOK_BODY_TIME);
                return write!(f, "the body took more than {time} s, or than the request's timeout: send it at once");
            }
            Problem::Full => {
                let mib = limits::REVIEW_BYTES_TOTAL >> 20;
                return write!(f, "{mib} MiB of other reviews are being received: ask again");
            }
        })
    }
}

/// The status of a body that is no review.
pub fn review_status(error: &ReviewError) -> u16 {
    match error {
        ReviewError::TooManyValues => 413,
        _ => 400,
    }
}
