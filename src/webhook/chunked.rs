//! Chunked coding (RFC 9112 section 7.1), strictly: no bare LF. Extensions and trailers are passed over. Pure.

use crate::limits;

/// Decodes a chunked body.
#[derive(Clone, Debug)]
pub struct Chunked {
    at: At,
    /// The size being read, then what is left of the chunk.
    size: usize,
    /// Bytes of the line so far, without its end.
    line: usize,
    /// Bytes that may still be passed over.
    room: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
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

/// The chunks are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl Default for Chunked {
    fn default() -> Chunked {
        Chunked::new()
    }
}

impl Chunked {
    /// At the start of a body.
    pub fn new() -> Chunked {
        Chunked {
            at: At::Size,
            size: 0,
            line: 0,
            room: limits::CHUNK_LINES_BYTES,
        }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Decodes bytes into `body` until the body ends or has more than `most`; says how many were used.
    ///
    /// # Errors
    /// When the chunks are broken.
    pub fn feed(&mut self, bytes: &[u8], body: &mut Vec<u8>, most: usize) -> Result<usize, Broken> {
        let mut used = 0;
        while used < bytes.len() && !self.is_done() && body.len() <= most {
            if self.at == At::Data {
                // One byte over is enough to see that it is too much.
                let wanted = self.size.min(most + 1 - body.len());
                let taken = wanted.min(bytes.len() - used);
                body.extend_from_slice(&bytes[used..used + taken]);
                used += taken;
                self.size -= taken;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
            } else {
                self.step(bytes[used])?;
                used += 1;
            }
        }
        Ok(used)
    }

    fn step(&mut self, byte: u8) -> Result<(), Broken> {
        self.room = self.room.checked_sub(1).ok_or(Broken)?;
        self.at = match (self.at, byte) {
            (At::Size, b'\r') if self.line > 0 => At::SizeLf,
            (At::Size, b';') if self.line > 0 => At::Extension,
            (At::Size, _) => self.digit(byte)?,
            (At::Extension, b'\r') => At::SizeLf,
            (At::Extension, b'\n') => return Err(Broken),
            (At::Extension, _) => At::Extension,
            (At::SizeLf, b'\n') => self.begin(),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::Trailer, b'\n') => return Err(Broken),
            (At::Trailer, _) => {
                self.line += 1;
                At::Trailer
            }
            (At::TrailerLf, b'\n') if self.line == 0 => At::Done,
            (At::TrailerLf, b'\n') => {
                self.line = 0;
                At::Trailer
            }
            _ => return Err(Broken),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<At, Broken> {
        let digit = char::from(byte).to_digit(16).ok_or(Broken)?;
        self.line += 1;
        let size = self.size.checked_mul(16).ok_or(Broken)?;
        self.size = size + digit as usize;
        Ok(At::Size)
    }

    fn begin(&mut self) -> At {
        self.line = 0;
        match self.size {
            0 => At::Trailer,
            _ => At::Data,
        }
    }
}

#[cfg(test)]
mod tests;
