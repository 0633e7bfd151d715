//! Chunked coding (RFC 9112 section 7.1), decoded as Go's client decodes it: `net/http/internal/chunked.go`,
//! and for the trailers `body.readTrailer` of `net/http/transfer.go` (Go 1.26).

use super::body::BodyError;
use super::field_lines::{FieldLines, Nowhere};

/// Bytes of Go's read buffer, in which a chunk line with its CRLF, and all trailers with the blank line,
/// have to fit (`net/http/transport.go`: `readBufferSize`).
const LINE_BYTES: u16 = 4096;

/// Bytes by which chunk lines may outweigh the data before Go calls it an attack.
const EXCESS_BYTES: i64 = 16 * 1024;

/// Hexadecimal digits of a chunk size.
const SIZE_DIGITS: u8 = 16;

/// Reads a chunked body.
#[derive(Clone, Copy, Debug)]
pub struct Chunked {
    at: At,
    /// Bytes of the chunk line, or of the trailers.
    seen: u16,
    digits: u8,
    /// The size being read, then what is left of the chunk.
    size: u64,
    excess: i64,
    trailers: FieldLines,
    are_trailers_read: bool,
    /// How much of `CRLF CRLF` the trailers end with.
    crlfs: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
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
            at: At::Size,
            seen: 0,
            digits: 0,
            size: 0,
            excess: 0,
            trailers: FieldLines::new(),
            are_trailers_read: false,
            crlfs: 0,
        }
    }

    /// Reads on until the body ends or `enough` decoded bytes came, which are counted down.
    pub fn feed(&mut self, bytes: &[u8], enough: &mut u64) -> Result<(), BodyError> {
        let mut used = 0;
        while used < bytes.len() && *enough > 0 && !self.is_done() {
            if self.at == At::Data {
                let there = (bytes.len() - used) as u64;
                let taken = there.min(self.size).min(*enough);
                *enough -= taken;
                self.size -= taken;
                used += taken as usize;
                if self.size == 0 {
                    self.at = At::DataCr;
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
        self.at == At::Done
    }

    fn step(&mut self, byte: u8) -> Result<(), BodyError> {
        self.at = match (self.at, byte) {
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => self.begin_line(),
            (At::DataCr | At::DataLf, _) => return Err(BodyError::ChunkEnd),
            (At::Trailers, _) => return self.trailer(byte),
            (_, _) => return self.line(byte),
        };
        Ok(())
    }

    fn begin_line(&mut self) -> At {
        self.seen = 0;
        self.digits = 0;
        self.size = 0;
        At::Size
    }

    /// A byte of `chunk-size [ chunk-ext ] CRLF`. Go trims whitespace at the end of the line, not
    /// before an extension, and cuts the extension off unseen.
    fn line(&mut self, byte: u8) -> Result<(), BodyError> {
        self.seen += 1;
        self.at = match (self.at, byte) {
            (At::LineFeed, b'\n') => return self.end_line(),
            (At::LineFeed, _) | (_, b'\n') => return Err(BodyError::ChunkLine),
            (_, _) if self.seen == LINE_BYTES => return Err(BodyError::ChunkLine),
            (_, b'\r') => At::LineFeed,
            (At::Extension, _) | (At::Size, b';') => At::Extension,
            (At::Size | At::SizeEnd, b' ' | b'\t') => At::SizeEnd,
            (At::Size, _) => self.size_digit(byte)?,
            _ => return Err(BodyError::ChunkLine),
        };
        Ok(())
    }

    fn size_digit(&mut self, byte: u8) -> Result<At, BodyError> {
        let digit = char::from(byte).to_digit(16).ok_or(BodyError::ChunkLine)?;
        if self.digits == SIZE_DIGITS {
            return Err(BodyError::ChunkLine);
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        Ok(At::Size)
    }

    fn end_line(&mut self) -> Result<(), BodyError> {
        if self.digits == 0 {
            return Err(BodyError::ChunkLine);
        }
        // Go's arithmetic, its wrapping on an absurd size included.
        let allowed = (self.size as i64).wrapping_mul(2).wrapping_add(16);
        let excess = self.excess.wrapping_add(i64::from(self.seen));
        self.excess = excess.wrapping_sub(allowed).max(0);
        if self.size == 0 {
            self.at = At::Trailers;
            self.seen = 0;
        } else if self.excess > EXCESS_BYTES {
            return Err(BodyError::ChunkLine);
        } else {
            self.at = At::Data;
        }
        Ok(())
    }

    /// A byte after the last chunk's line. Either CRLF follows at once, or there are field lines, and
    /// then Go wants to see `CRLF CRLF` in its buffer before it reads them, even if a blank line
    /// ended by bare LF comes sooner.
    fn trailer(&mut self, byte: u8) -> Result<(), BodyError> {
        self.seen += 1;
        self.crlfs = match (self.crlfs, byte) {
            (0 | 2, b'\r') | (1 | 3, b'\n') => self.crlfs + 1,
            (_, b'\r') => 1,
            _ => 0,
        };
        if !self.are_trailers_read {
            let end = self.trailers.feed(&[byte], &mut Nowhere);
            self.are_trailers_read = end.map_err(|_| BodyError::Trailer)?.is_some();
        }
        if self.crlfs == 4 || (self.crlfs == 2 && self.seen == 2) {
            self.at = At::Done;
        } else if self.seen == LINE_BYTES {
            return Err(BodyError::Trailer);
        }
        Ok(())
    }
}
