//! HTTP/2 (RFC 9113), the client side of a connection with one stream. Frames are read as Go's client reads them
//! (`net/http/h2_bundle.go`), as kubelet uses it, as a stream and in constant memory.
//!
//! As lenient as Go, with an additional limit of non-progress frames. Stream errors and connection errors are not
//! distinguished: the connection has no other stream, and is closed in both cases.

use super::hpack::{HPACK_BYTES, HpackError};
use crate::limits::SCRATCH_BYTES;
use frame::HEADER_BYTES;

mod exchange;
mod fields;
pub mod frame;
mod write;

pub use exchange::Exchange;
pub use fields::H2Head;
pub use write::{BodyWriter, PREFACE, write_data, write_headers, write_opening};

/// Largest payload that either side sends, in bytes: the default of SETTINGS_MAX_FRAME_SIZE (RFC 9113 section 6.5.2).
pub const MAX_FRAME_BYTES: usize = 16 * 1024;

/// Memory for the answers to the control frames in one read of [`SCRATCH_BYTES`]. Each is as long as its frame; part of
/// the first frame may have come in an earlier read.
const PENDING_BYTES: usize = SCRATCH_BYTES + HEADER_BYTES + 8;

/// Memory of an [`Exchange`]: that of HPACK, and answers to control frames. Its initial contents are never read.
pub const H2_BYTES: usize = HPACK_BYTES + PENDING_BYTES;

/// Error code: graceful shutdown (RFC 9113 section 7).
const NO_ERROR: u32 = 0;

/// Error code: an unspecific protocol error (RFC 9113 section 7).
const PROTOCOL_ERROR: u32 = 1;

/// Error code: the stream was not processed (RFC 9113 section 7).
pub const REFUSED_STREAM: u32 = 7;

/// The rules by which a head is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Go's `net/http`: there is a status, and the body is as long as `content-length` says.
    Http,
    /// grpc-go (`internal/transport/http2_client.go`): neither matters once the content type is gRPC's, but
    /// `grpc-status` has to be a number.
    Grpc,
}

/// Why an exchange failed.
///
/// After a complete head, each of them means a broken body or broken trailers, unless enough of the body was read before:
/// see [`Exchange::body_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum H2Error {
    /// The app responds in HTTP/1.
    Http1,
    /// The app responds in TLS: an alert or a handshake.
    Tls,
    /// A frame longer than [`MAX_FRAME_BYTES`].
    FrameTooLarge,
    /// A frame with a length that its type does not allow.
    FrameSize,
    /// A frame that is not allowed in this state, or that has invalid contents.
    Protocol,
    /// More data than the window allows, or a window above 2^31 - 1.
    FlowControl,
    /// A block of fields that cannot be decoded.
    Compression(HpackError),
    /// Fields that are malformed for Go's client, or no status.
    BadHead,
    /// Heads and trailers of more than [`RESPONSE_HEAD_BYTES`](crate::limits::RESPONSE_HEAD_BYTES), interim
    /// ones included.
    HeadTooLarge,
    /// A status below 100 or above 599.
    StatusOutOfRange,
    /// The body is shorter or longer than its `content-length`.
    BodyLength,
    /// RST_STREAM, with its error code.
    Reset(u32),
    /// GOAWAY with this error code, and the stream was not processed.
    GoAway(u32),
    /// More than [`H2_NON_PROGRESS_FRAMES`](crate::limits::H2_NON_PROGRESS_FRAMES) non-progress frames.
    TooManyNonProgressFrames,
}

impl H2Error {
    /// Whether Go's client retries on a new connection if this is received in place of a head: the app did not process the
    /// request, or (golang/go#47635) is Google's front end.
    pub fn is_retriable(self) -> bool {
        matches!(
            self,
            H2Error::GoAway(NO_ERROR) | H2Error::Reset(PROTOCOL_ERROR | REFUSED_STREAM)
        )
    }
}

impl From<HpackError> for H2Error {
    fn from(error: HpackError) -> Self {
        H2Error::Compression(error)
    }
}

#[cfg(test)]
mod tests;
