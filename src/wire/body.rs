//! The body of the app's response: not its bytes, only how it ends, which decides whether kubelet's prober
//! errs.
//!
//! The prober reads with `io.ReadAll` from an `io.LimitedReader` of 10 KiB (`pkg/probe/http/http.go`) and errs
//! when the body breaks before that. From the last of these bytes on nothing counts: neither what is
//! left of a chunk or a length, nor the last chunk and trailers. Only when 10 KiB end exactly with a
//! chunk, and Go's read buffer happens to hold what follows, does it look at that too; here it never
//! does, which is what it does when what follows comes later.

use super::chunked::Chunked;
use super::response::Framing;

/// Follows a body to its end, or to the bytes that are enough.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    kind: Kind,
    enough: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The body goes on.
    More,
    /// The body ended, or enough of it was seen.
    Done,
}

/// How a body broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The app closed before the end.
    CutShort,
    /// A chunk's first line is malformed or longer than 4 KiB, its size has more than 16 digits, or
    /// such lines outweigh the data.
    ChunkLine,
    /// No CRLF after a chunk's data.
    ChunkEnd,
    /// Trailers that are malformed or longer than 4 KiB.
    Trailer,
}

impl Body {
    /// A body of which `enough` decoded bytes are enough.
    pub fn new(framing: Framing, enough: u64) -> Self {
        let kind = match framing {
            Framing::None => Kind::Length(0),
            Framing::Length(length) => Kind::Length(length),
            Framing::Chunked => Kind::Chunked(Chunked::new()),
            Framing::UntilClose => Kind::UntilClose,
        };
        Body { kind, enough }
    }

    /// Decoded bytes still wanted of the body.
    pub fn wanted(&self) -> u64 {
        self.enough
    }

    /// Reads on. What comes after the end is ignored. Not to be called again after an error.
    ///
    /// # Errors
    /// The way the body broke.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Progress, BodyError> {
        match &mut self.kind {
            Kind::Length(left) => {
                let taken = (bytes.len() as u64).min(*left);
                *left -= taken;
                self.enough = self.enough.saturating_sub(taken);
            }
            Kind::Chunked(chunked) => chunked.feed(bytes, &mut self.enough)?,
            Kind::UntilClose => self.enough = self.enough.saturating_sub(bytes.len() as u64),
        }
        Ok(if self.is_done() {
            Progress::Done
        } else {
            Progress::More
        })
    }

    /// The app closed its side in order. A reset is no such end: it breaks any body that is not done.
    ///
    /// # Errors
    /// [`BodyError::CutShort`] unless the body may end here.
    pub fn end(&self) -> Result<(), BodyError> {
        if self.is_done() || matches!(self.kind, Kind::UntilClose) {
            Ok(())
        } else {
            Err(BodyError::CutShort)
        }
    }

    /// Whether the body ended or enough of it was seen; from the start, when there is none.
    pub fn is_done(&self) -> bool {
        self.enough == 0
            || match &self.kind {
                Kind::Length(left) => *left == 0,
                Kind::Chunked(chunked) => chunked.is_done(),
                Kind::UntilClose => false,
            }
    }
}

#[cfg(test)]
mod tests;
