//! The head of the app's response, read as kubelet's Go client reads it and as a stream: only status, framing and
//! `Location` are stored.
//!
//! Sources: Go 1.26 `net/http/response.go` (`ReadResponse`), `transfer.go` (`readTransfer`), `transport.go`
//! (`readResponse`), `net/textproto/reader.go`.

use super::field_lines::{FieldLines, Malformed};
use crate::limits::RESPONSE_HEAD_BYTES;
use header_accumulator::{AccumulatorSink, HeaderAccumulator};
use status_line::{StatusLine, Version};

mod head;
mod header_accumulator;
mod status_line;

pub use head::{Framing, Location, ResponseHead};

/// The result of reading bytes of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParsedResponse {
    /// All bytes were used, and the head is not complete.
    Partial,
    /// The head is complete; the body starts at byte `used`.
    Complete {
        /// Bytes that belong to the head.
        used: usize,
        /// The head.
        head: ResponseHead,
    },
}

/// Why a response head is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// Go's client would not accept it as HTTP/1.
    Malformed,
    /// More than [`RESPONSE_HEAD_BYTES`] of heads, interim ones included.
    TooLarge,
    /// 101 without an `Upgrade` in the request.
    SwitchingProtocols,
    /// A status below 100 or above 599. Go accepts it, but it cannot be returned.
    StatusOutOfRange,
}

impl From<Malformed> for ResponseError {
    fn from(_: Malformed) -> Self {
        ResponseError::Malformed
    }
}

/// Whether a response begins like a TLS alert or handshake, version 3 (RFC 8446 section 5.1).
pub(crate) fn is_tls_record(bytes: &[u8]) -> bool {
    matches!(bytes, [21 | 22, 3, ..])
}

/// Reads heads up to the first that is not interim (1xx), in constant memory, for any split of the bytes.
#[derive(Clone, Copy, Debug)]
pub struct ResponseParser {
    state: ResponseState,
    lines: FieldLines,
    headers: HeaderAccumulator,
    budget: u64,
}

#[derive(Clone, Copy, Debug)]
enum ResponseState {
    StatusLine(StatusLine),
    Fields,
}

impl ResponseParser {
    /// A parser at the start of a response.
    pub fn new() -> Self {
        ResponseParser {
            state: ResponseState::StatusLine(StatusLine::new()),
            lines: FieldLines::new(),
            headers: HeaderAccumulator::new(0, (0, 0)),
            budget: RESPONSE_HEAD_BYTES,
        }
    }

    /// Reads bytes. `location` is the same memory in each call; a `Location` is stored at its start. Must not be
    /// called again after a head or an error.
    ///
    /// # Errors
    /// The first broken rule. 101 and a status out of range are reported at the end of the status line.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        location: &mut [u8],
    ) -> Result<ParsedResponse, ResponseError> {
        let budget = usize::try_from(self.budget).unwrap_or(usize::MAX);
        let window = &bytes[..bytes.len().min(budget)];
        let mut used = 0;
        while used < window.len() {
            let rest = &window[used..];
            match &mut self.state {
                ResponseState::StatusLine(line) => {
                    let Some((length, status, version)) = line.feed(rest)? else {
                        break;
                    };
                    used += length;
                    self.begin_fields(status, version)?;
                }
                ResponseState::Fields => {
                    let mut sink = AccumulatorSink {
                        headers: &mut self.headers,
                        location,
                    };
                    let Some(length) = self.lines.feed(rest, &mut sink)? else {
                        break;
                    };
                    used += length;
                    if let Some(head) = self.end_head(location.len())? {
                        return Ok(ParsedResponse::Complete { used, head });
                    }
                }
            }
        }
        if bytes.len() >= budget {
            return Err(ResponseError::TooLarge);
        }
        self.budget -= bytes.len() as u64;
        Ok(ParsedResponse::Partial)
    }

    fn begin_fields(&mut self, status: u16, version: Version) -> Result<(), ResponseError> {
        match status {
            101 => return Err(ResponseError::SwitchingProtocols),
            100..=599 => {}
            _ => return Err(ResponseError::StatusOutOfRange),
        }
        self.state = ResponseState::Fields;
        self.lines = FieldLines::new();
        self.headers = HeaderAccumulator::new(status, version);
        Ok(())
    }

    /// The completed head; `None` if it was interim.
    fn end_head(&mut self, room: usize) -> Result<Option<ResponseHead>, ResponseError> {
        let framing = self.headers.framing()?;
        if self.headers.status() < 200 {
            self.state = ResponseState::StatusLine(StatusLine::new());
            return Ok(None);
        }
        Ok(Some(ResponseHead {
            status: self.headers.status(),
            framing,
            location: match self.headers.location_len() {
                0 => Location::Absent,
                len if len > room => Location::TooLong,
                len => Location::Stored(len),
            },
        }))
    }
}

impl Default for ResponseParser {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
