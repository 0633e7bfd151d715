//! The body of the app's response: how it ends, which decides whether kubelet's prober fails, and its decoded bytes.
//!
//! The prober reads with `io.ReadAll` from an `io.LimitedReader` of 10 KiB (`pkg/probe/http/http.go`) and fails when
//! the body breaks before that. Nothing after these bytes counts: neither the rest of a chunk or a length, nor the
//! last chunk and the trailers. One difference: when 10 KiB end exactly with a chunk, Go also checks what its read
//! buffer happens to hold.

use super::chunked::Chunked;
use super::response::Framing;

pub use super::chunked::ChunkedError;

/// Follows a body to its end or to the read limit.
#[derive(Clone, Copy, Debug)]
pub struct BodyReader {
    kind: Kind,
    remaining: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// How a body is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The app closed before the end.
    CutShort,
    /// The chunked coding is broken.
    Chunked(ChunkedError),
}

impl From<ChunkedError> for BodyError {
    fn from(error: ChunkedError) -> Self {
        BodyError::Chunked(error)
    }
}

impl BodyReader {
    /// A body of which at most `limit` decoded bytes are read.
    pub fn new(framing: Framing, limit: u64) -> Self {
        let kind = match framing {
            Framing::None => Kind::Length(0),
            Framing::Length(length) => Kind::Length(length),
            Framing::Chunked => Kind::Chunked(Chunked::new()),
            Framing::UntilClose => Kind::UntilClose,
        };
        BodyReader {
            kind,
            remaining: limit,
        }
    }

    /// Decoded bytes up to the read limit.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Reads more bytes. Bytes after the end are ignored. Must not be called again after an error.
    ///
    /// # Errors
    /// How the body is broken.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        self.feed_to(bytes, &mut |_| ())
    }

    /// The same. `body` receives the decoded bytes up to the read limit.
    ///
    /// # Errors
    /// How the body is broken.
    pub fn feed_to(&mut self, bytes: &[u8], body: &mut dyn FnMut(&[u8])) -> Result<(), BodyError> {
        let most = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        match &mut self.kind {
            Kind::Length(left) => {
                let taken = (bytes.len() as u64).min(*left);
                *left -= taken;
                self.remaining = self.remaining.saturating_sub(taken);
                body(&bytes[..most.min(taken as usize)]);
            }
            Kind::Chunked(chunked) => chunked.feed(bytes, &mut self.remaining, body)?,
            Kind::UntilClose => {
                self.remaining = self.remaining.saturating_sub(bytes.len() as u64);
                body(&bytes[..most.min(bytes.len())]);
            }
        }
        Ok(())
    }

    /// Checks the body when the app closes the connection in order. A reset breaks any body that is not done.
    ///
    /// # Errors
    /// [`BodyError::CutShort`] unless the body may end here.
    pub fn check_end(&self) -> Result<(), BodyError> {
        if self.is_done() || matches!(self.kind, Kind::UntilClose) {
            Ok(())
        } else {
            Err(BodyError::CutShort)
        }
    }

    /// Whether the body ended or the limit is reached; true from the start if there is no body.
    pub fn is_done(&self) -> bool {
        self.remaining == 0
            || match &self.kind {
                Kind::Length(left) => *left == 0,
                Kind::Chunked(chunked) => chunked.is_done(),
                Kind::UntilClose => false,
            }
    }
}

#[cfg(test)]
mod tests;
