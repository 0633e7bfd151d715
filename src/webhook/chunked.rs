//! Chunked coding (RFC 9112 section 7.1), decoded strictly: no bare LF. Extensions and trailers are ignored.
//! `wire` has another decoder, for responses of the app: it is as lenient as Go's client and stores no bytes of the body.

use crate::limits;

/// Decodes a chunked body.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// The chunk size parsed so far, then the bytes of the chunk that have not arrived.
    chunk_left: usize,
    /// Whether the current line has a digit of the size or a byte of a trailer.
    line_has_bytes: bool,
    /// Bytes of lines and trailers that may still follow.
    overhead_left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
    Done,
}

/// The chunked coding is malformed, or its lines and trailers have too many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Default for ChunkedDecoder {
    fn default() -> ChunkedDecoder {
        ChunkedDecoder::new()
    }
}

impl ChunkedDecoder {
    /// A decoder at the start of a body.
    pub fn new() -> ChunkedDecoder {
        ChunkedDecoder::with_lines(limits::CHUNK_LINES_BYTES)
    }

    /// A decoder at the start of a body whose lines and trailers have at most this many bytes.
    pub fn with_lines(max_bytes: usize) -> ChunkedDecoder {
        ChunkedDecoder {
            state: State::Size,
            chunk_left: 0,
            line_has_bytes: false,
            overhead_left: max_bytes,
        }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Appends decoded bytes to `body` until the body ends or has more than `max_bytes`. Returns the number of bytes
    /// used.
    ///
    /// # Errors
    /// The coding is malformed, or has too many bytes of lines and trailers.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        body: &mut Vec<u8>,
        max_bytes: usize,
    ) -> Result<usize, Malformed> {
        let mut used = 0;
        while used < bytes.len() && !self.is_done() && body.len() <= max_bytes {
            if self.state == State::Data {
                // One byte over the limit shows that it is exceeded.
                let wanted = self.chunk_left.min(max_bytes + 1 - body.len());
                let taken = wanted.min(bytes.len() - used);
                body.extend_from_slice(&bytes[used..used + taken]);
                used += taken;
                self.chunk_left -= taken;
                if self.chunk_left == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.step(bytes[used])?;
                used += 1;
            }
        }
        Ok(used)
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.overhead_left = self.overhead_left.checked_sub(1).ok_or(Malformed)?;
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.line_has_bytes => State::SizeLf,
            (State::Size, b';') if self.line_has_bytes => State::Extension,
            (State::Size, _) => self.add_size_digit(byte)?,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\n') => return Err(Malformed),
            (State::Extension, _) => State::Extension,
            (State::SizeLf, b'\n') => self.begin_chunk(),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::Trailer, b'\n') => return Err(Malformed),
            (State::Trailer, _) => {
                self.line_has_bytes = true;
                State::Trailer
            }
            (State::TrailerLf, b'\n') if !self.line_has_bytes => State::Done,
            (State::TrailerLf, b'\n') => {
                self.line_has_bytes = false;
                State::Trailer
            }
            (State::SizeLf | State::DataCr | State::DataLf | State::TrailerLf, _)
            | (State::Data | State::Done, _) => return Err(Malformed),
        };
        Ok(())
    }

    fn add_size_digit(&mut self, byte: u8) -> Result<State, Malformed> {
        let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
        self.line_has_bytes = true;
        let size = self.chunk_left.checked_mul(16).ok_or(Malformed)?;
        self.chunk_left = size + digit as usize;
        Ok(State::Size)
    }

    fn begin_chunk(&mut self) -> State {
        self.line_has_bytes = false;
        match self.chunk_left {
            0 => State::Trailer,
            _ => State::Data,
        }
    }
}

#[cfg(test)]
mod tests;
