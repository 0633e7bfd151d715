//! Chunked coding (RFC 9112 section 7.1), decoded as Go's client decodes it: `net/http/internal/chunked.go`,
//! and for the trailers `body.readTrailer` of `net/http/transfer.go` (Go 1.26).

use super::field_lines::{Discard, FieldLines};

/// Bytes of Go's read buffer, in which a chunk line with its CRLF, and all trailers with the blank line,
/// have to fit (`net/http/transport.go`: `readBufferSize`).
const LINE_BYTES: u16 = 4096;

/// Bytes by which chunk lines may outweigh the data before Go rejects the body.
const EXCESS_BYTES: i64 = 16 * 1024;

/// Hexadecimal digits of a chunk size.
const SIZE_DIGITS: u8 = 16;

/// How the chunked coding of a body is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedError {
    /// A chunk line is malformed or longer than 4 KiB, its size has more than 16 digits, or such lines outweigh the
    /// data.
    Line,
    /// No CRLF after a chunk's data.
    DataEnd,
    /// Trailers that are malformed or longer than 4 KiB.
    Trailer,
}

/// Reads a chunked body.
#[derive(Clone, Copy, Debug)]
pub struct Chunked {
    state: ChunkedState,
    /// Bytes of the chunk line, or of the trailers.
    line_bytes: u16,
    digits: u8,
    /// The size being read, then the remaining bytes of the chunk.
    size: u64,
    excess: i64,
    trailers: FieldLines,
    are_trailers_read: bool,
    /// Bytes of `CRLF CRLF` at the end of the trailers so far.
    crlfs: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkedState {
    Size,
    /// Whitespace after the size.
    SizeEnd,
    Extension,
    LineFeed,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

impl Chunked {
    /// At the start of a body.
    pub const fn new() -> Self {
        Chunked {
            state: ChunkedState::Size,
            line_bytes: 0,
            digits: 0,
            size: 0,
            excess: 0,
            trailers: FieldLines::new(),
            are_trailers_read: false,
            crlfs: 0,
        }
    }

    /// Reads bytes until the body ends or `remaining`, the decoded bytes to read, is counted down to 0. `body` receives
    /// the decoded bytes.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        remaining: &mut u64,
        body: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ChunkedError> {
        let mut used = 0;
        while used < bytes.len() && *remaining > 0 && !self.is_done() {
            if self.state == ChunkedState::Data {
                let available = (bytes.len() - used) as u64;
                let taken = available.min(self.size).min(*remaining);
                *remaining -= taken;
                self.size -= taken;
                let start = used;
                used += taken as usize;
                body(&bytes[start..used]);
                if self.size == 0 {
                    self.state = ChunkedState::DataCr;
                }
            } else {
                self.step(bytes[used])?;
                used += 1;
            }
        }
        Ok(())
    }

    /// Whether the last chunk and the trailers were read.
    pub fn is_done(&self) -> bool {
        self.state == ChunkedState::Done
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkedError> {
        self.state = match (self.state, byte) {
            (ChunkedState::DataCr, b'\r') => ChunkedState::DataLf,
            (ChunkedState::DataLf, b'\n') => self.begin_line(),
            (ChunkedState::DataCr | ChunkedState::DataLf, _) => return Err(ChunkedError::DataEnd),
            (ChunkedState::Trailers, _) => return self.trailer(byte),
            (_, _) => return self.line(byte),
        };
        Ok(())
    }

    fn begin_line(&mut self) -> ChunkedState {
        self.line_bytes = 0;
        self.digits = 0;
        self.size = 0;
        ChunkedState::Size
    }

    /// A byte of `chunk-size [ chunk-ext ] CRLF`. Go trims whitespace at the end of the line, not before an
    /// extension, and ignores extensions.
    fn line(&mut self, byte: u8) -> Result<(), ChunkedError> {
        self.line_bytes += 1;
        self.state = match (self.state, byte) {
            (ChunkedState::LineFeed, b'\n') => return self.end_line(),
            (ChunkedState::LineFeed, _) | (_, b'\n') => return Err(ChunkedError::Line),
            (_, _) if self.line_bytes == LINE_BYTES => return Err(ChunkedError::Line),
            (_, b'\r') => ChunkedState::LineFeed,
            (ChunkedState::Extension, _) | (ChunkedState::Size, b';') => ChunkedState::Extension,
            (ChunkedState::Size | ChunkedState::SizeEnd, b' ' | b'\t') => ChunkedState::SizeEnd,
            (ChunkedState::Size, _) => self.size_digit(byte)?,
            _ => return Err(ChunkedError::Line),
        };
        Ok(())
    }

    fn size_digit(&mut self, byte: u8) -> Result<ChunkedState, ChunkedError> {
        let digit = char::from(byte).to_digit(16).ok_or(ChunkedError::Line)?;
        if self.digits == SIZE_DIGITS {
            return Err(ChunkedError::Line);
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        Ok(ChunkedState::Size)
    }

    fn end_line(&mut self) -> Result<(), ChunkedError> {
        if self.digits == 0 {
            return Err(ChunkedError::Line);
        }
        // Go's arithmetic, with its overflow on a huge size.
        let allowed = (self.size as i64).wrapping_mul(2).wrapping_add(16);
        let excess = self.excess.wrapping_add(i64::from(self.line_bytes));
        self.excess = excess.wrapping_sub(allowed).max(0);
        if self.size == 0 {
            self.state = ChunkedState::Trailers;
            self.line_bytes = 0;
        } else if self.excess > EXCESS_BYTES {
            return Err(ChunkedError::Line);
        } else {
            self.state = ChunkedState::Data;
        }
        Ok(())
    }

    /// A byte after the last chunk's line: CRLF, or field lines. Go waits for `CRLF CRLF` before it reads field lines,
    /// even if a blank line with a bare LF comes first.
    fn trailer(&mut self, byte: u8) -> Result<(), ChunkedError> {
        self.line_bytes += 1;
        self.crlfs = match (self.crlfs, byte) {
            (0 | 2, b'\r') | (1 | 3, b'\n') => self.crlfs + 1,
            (_, b'\r') => 1,
            _ => 0,
        };
        if !self.are_trailers_read {
            let end = self.trailers.feed(&[byte], &mut Discard);
            self.are_trailers_read = end.map_err(|_| ChunkedError::Trailer)?.is_some();
        }
        if self.crlfs == 4 || (self.crlfs == 2 && self.line_bytes == 2) {
            self.state = ChunkedState::Done;
        } else if self.line_bytes == LINE_BYTES {
            return Err(ChunkedError::Trailer);
        }
        Ok(())
    }
}
