//! HTTP/2 (RFC 9113), the client's side of a connection with one stream: what the app sends is read as Go's
//! client reads it (`net/http/h2_bundle.go`), since kubelet does, as a stream and in constant memory.
//!
//! Lenient where Go is, with a bound of our own on frames that lead nowhere. Where Go knows errors of a stream
//! and of the connection, here is one kind: the connection has no other stream, and is closed either way.

use super::hpack::{HPACK_BYTES, HpackError};
use crate::limits::SCRATCH_BYTES;
use frame::HEADER_BYTES;

mod exchange;
mod fields;
pub mod frame;
mod write;

pub use exchange::Exchange;
pub use fields::H2Head;
pub use write::{Body, PREFACE, write_data, write_headers, write_opening};

/// Bytes of the longest payload either side sends: SETTINGS_MAX_FRAME_SIZE as it is when nothing is said
/// about it (RFC 9113 section 6.5.2).
pub const FRAME_BYTES: usize = 16 * 1024;

/// Memory for answers to what one read of [`SCRATCH_BYTES`] brings. Each is as long as the frame it answers,
/// of which the first may have come in part before.
const PENDING_BYTES: usize = SCRATCH_BYTES + HEADER_BYTES + 8;

/// Memory an [`Exchange`] needs: what HPACK does, and the answers to control frames. What stands in it to
/// begin with is never read.
pub const H2_BYTES: usize = HPACK_BYTES + PENDING_BYTES;

/// By whose rules a head is read.
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
/// Once there is a head, each of them is a body that broke (or trailers that did), unless enough of it
/// came before: see [`Exchange::body_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum H2Error {
    /// The app answers in HTTP/1.
    Http1,
    /// The app answers in TLS: an alert or a handshake.
    Tls,
    /// A frame longer than [`FRAME_BYTES`].
    FrameTooLarge,
    /// A frame of a length its type cannot have.
    FrameSize,
    /// A frame that may not come here, or says what it may not.
    Protocol,
    /// More than a window allows, or a window beyond 2^31 - 1.
    FlowControl,
    /// A block of fields that cannot be decoded.
    Compression(HpackError),
    /// Fields Go's client takes for malformed, or no status.
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
    /// GOAWAY with this error code, and our stream was not looked at.
    GoAway(u32),
    /// More than [`H2_NON_PROGRESS_FRAMES`](crate::limits::H2_NON_PROGRESS_FRAMES) frames that lead nowhere.
    Flood,
}

impl H2Error {
    /// Whether Go's client asks once more on a new connection, when this came in place of a head: the app says
    /// that it did not look at the request, or (golang/go#47635) is Google's front end.
    pub fn is_retried(self) -> bool {
        const NO_ERROR: u32 = 0;
        const PROTOCOL_ERROR: u32 = 1;
        const REFUSED_STREAM: u32 = 7;
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
