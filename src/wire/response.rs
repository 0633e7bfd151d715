//! The head of the app's response, read as Go's `net/http` client reads it, since kubelet does, and as a
//! stream: status, framing and `Location` are kept, the rest passes.
//!
//! Sources: Go 1.26 `net/http/response.go` (`ReadResponse`), `transfer.go` (`readTransfer`), `transport.go`
//! (`readResponse`), `net/textproto/reader.go`.

use super::field_lines::{FieldLines, Malformed};
use crate::limits::RESPONSE_HEAD_BYTES;
use seen::{Seen, Values};
use status_line::{StatusLine, Version};

mod seen;
mod status_line;

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
        if self.seen.status() < 200 {
            self.at = At::StatusLine(StatusLine::new());
            return Ok(None);
        }
        Ok(Some(ResponseHead {
            status: self.seen.status(),
            framing,
            location: match self.seen.location_len() {
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

#[cfg(test)]
mod tests;
