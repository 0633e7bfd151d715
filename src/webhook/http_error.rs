//! The errors of a request, each with its status code and text.

use super::review::ReviewError;
use crate::limits;
use core::fmt;

/// The error of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The head is not HTTP/1.1.
    MalformedHead,
    /// The length of the body is malformed or ambiguous.
    InvalidBodyLength,
    /// The head has too many bytes or fields.
    HeadTooLarge,
    /// The head did not arrive in time.
    HeadTimeout,
    /// A review without a certificate of `--client-ca`.
    ClientCertRequired,
    /// Unknown path.
    NotFound,
    /// The path supports only POST.
    PostRequired,
    /// The path supports only GET and HEAD.
    GetRequired,
    /// The `Content-Type` is not JSON.
    UnsupportedMediaType,
    /// The body has more than `limits::REVIEW_BYTES`.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The chunked coding is malformed, or its lines and trailers are too long.
    MalformedChunk,
    /// There was no memory or CPU time for the review in time.
    Overloaded,
    /// The body's memory was taken for others: it was the slowest, or its address held most while all waited.
    BodyEvicted,
    /// The connection does not begin with a TLS handshake.
    NotTls,
}

impl HttpError {
    /// The status code.
    pub fn status(self) -> u16 {
        match self {
            HttpError::MalformedHead
            | HttpError::InvalidBodyLength
            | HttpError::MalformedChunk
            | HttpError::NotTls => 400,
            HttpError::ClientCertRequired => 403,
            HttpError::NotFound => 404,
            HttpError::PostRequired | HttpError::GetRequired => 405,
            HttpError::HeadTimeout | HttpError::BodyTimeout => 408,
            HttpError::BodyTooLarge => 413,
            HttpError::UnsupportedMediaType => 415,
            HttpError::HeadTooLarge => 431,
            HttpError::Overloaded | HttpError::BodyEvicted => 503,
        }
    }

    /// The methods for `Allow`, which RFC 9110 section 15.5.6 requires with 405.
    pub fn allow(self) -> Option<&'static str> {
        match self {
            HttpError::PostRequired => Some("POST"),
            HttpError::GetRequired => Some("GET, HEAD"),
            HttpError::MalformedHead
            | HttpError::InvalidBodyLength
            | HttpError::HeadTooLarge
            | HttpError::HeadTimeout
            | HttpError::ClientCertRequired
            | HttpError::NotFound
            | HttpError::UnsupportedMediaType
            | HttpError::BodyTooLarge
            | HttpError::BodyTimeout
            | HttpError::MalformedChunk
            | HttpError::Overloaded
            | HttpError::BodyEvicted
            | HttpError::NotTls => None,
        }
    }
}

impl core::error::Error for HttpError {}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HttpError::MalformedHead => {
                "the request head is not valid HTTP/1.1 (RFC 9112): send a request line such as GET /healthz HTTP/1.1 and \
                 exactly one Host field"
            }
            HttpError::InvalidBodyLength => {
                "the body length is malformed or ambiguous: send one Content-Length, or Transfer-Encoding: chunked"
            }
            HttpError::MalformedChunk => {
                let kib = limits::CHUNK_LINES_BYTES / 1024;
                return write!(
                    f,
                    "the body is not in the chunked coding of RFC 9112 section 7.1, or its chunk lines and trailers are \
                     larger than {kib} KiB: send fewer and larger chunks, or a Content-Length instead"
                );
            }
            HttpError::ClientCertRequired => {
                "reviews require a client certificate of --client-ca: set kubeConfigFile of MutatingAdmissionWebhook in the \
                 API server's --admission-control-config-file"
            }
            HttpError::NotTls => "this port requires TLS: use https",
            HttpError::NotFound => "not found: the paths are /inject, /healthz and /metrics",
            HttpError::PostRequired => "method not allowed: POST an AdmissionReview to this path",
            HttpError::GetRequired => "method not allowed: GET this path",
            HttpError::UnsupportedMediaType => "unsupported media type: send Content-Type: application/json",
            HttpError::HeadTooLarge => {
                let (kib, fields) = (limits::WEBHOOK_HEAD_BYTES / 1024, limits::REQUEST_FIELDS);
                return write!(
                    f,
                    "the request head is larger than {kib} KiB or has more than {fields} fields: send fewer and shorter fields"
                );
            }
            HttpError::BodyTooLarge => {
                let mib = limits::REVIEW_BYTES >> 20;
                return write!(f, "the body has more than {mib} MiB: send the review of a smaller object");
            }
            HttpError::HeadTimeout => {
                let seconds = limits::WEBHOOK_HEAD_TIMEOUT.as_secs();
                return write!(f, "the request head did not arrive within {seconds} s");
            }
            HttpError::BodyTimeout => {
                let seconds = limits::WEBHOOK_BODY_TIMEOUT.as_secs();
                return write!(
                    f,
                    "the body did not arrive within {seconds} s or within the request's timeout"
                );
            }
            HttpError::Overloaded => "too many other reviews are in flight: retry",
            HttpError::BodyEvicted => {
                "the memory of the body was needed for other reviews: retry, and send the body at once"
            }
        })
    }
}

/// The status code for a body that is not a valid review.
pub fn review_status(error: &ReviewError) -> u16 {
    match error {
        ReviewError::TooManyValues => 413,
        ReviewError::NotJson(_)
        | ReviewError::UnexpectedKind(_)
        | ReviewError::UnsupportedVersion(_)
        | ReviewError::Missing(_) => 400,
    }
}
