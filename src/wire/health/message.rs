//! Reads the message of the answer, `HealthCheckResponse { status }`, as a stream.
//!
//! Of Protocol Buffers it knows what it takes to pass over any other field, as Go's decoder does
//! (`protobuf-go`: `internal/impl/decode.go`, `encoding/protowire`).

use super::PREFIX_BYTES;
use crate::limits::GRPC_MESSAGE_BYTES;

/// Why an answer is none; grpc-go has an error with a status of its own for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthError {
    /// No message, or not all of one.
    CutShort,
    /// Longer than [`GRPC_MESSAGE_BYTES`].
    TooLarge,
    /// Compressed, which was not asked for.
    Compressed,
    /// Something after the message.
    TooMany,
    /// No Protocol Buffers message.
    Malformed,
}

/// Groups within groups that are passed over. Nobody has used groups since 2008; Go takes 10,000.
const GROUPS: usize = 8;

/// Follows the body of the answer.
#[derive(Clone, Debug)]
pub struct HealthReader {
    at: At,
    /// Bytes of the message to come; of the prefix, how many have come.
    left: u32,
    /// Bytes of the value that is passed over.
    skip: u64,
    varint: u64,
    shift: u8,
    status: i32,
    /// The field numbers of the groups that are open.
    groups: heapless::Vec<u32, GROUPS>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Prefix,
    /// The number and type of a field.
    Tag,
    /// Its value: the status, another number, or the length of bytes.
    Status,
    Number,
    Length,
    Skip,
    /// After the message.
    End,
}

impl HealthReader {
    /// A reader at the start of the body.
    pub const fn new() -> Self {
        HealthReader {
            at: At::Prefix,
            left: 0,
            skip: 0,
            varint: 0,
            shift: 0,
            status: 0,
            groups: heapless::Vec::new(),
        }
    }

    /// Reads on.
    ///
    /// # Errors
    /// The first rule broken; not to be called again after one.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), HealthError> {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = rest;
            match self.at {
                At::Prefix => {
                    self.prefix(byte)?;
                    continue;
                }
                At::End => return Err(HealthError::TooMany),
                At::Skip => {
                    // The byte and those after it.
                    let more = (self.skip - 1).min(bytes.len() as u64);
                    bytes = &bytes[more as usize..];
                    self.skip -= 1 + more;
                    self.left -= more as u32;
                    if self.skip == 0 {
                        self.at = At::Tag;
                    }
                }
                _ => {
                    if let Some(value) = self.digit(byte)? {
                        self.value(value)?;
                    }
                }
            }
            self.left -= 1;
            self.end_field()?;
        }
        Ok(())
    }

    /// The status of the one message, when the body has ended: 1 is SERVING.
    ///
    /// # Errors
    /// [`HealthError::CutShort`].
    pub fn end(&self) -> Result<i32, HealthError> {
        match self.at {
            At::End => Ok(self.status),
            _ => Err(HealthError::CutShort),
        }
    }

    fn prefix(&mut self, byte: u8) -> Result<(), HealthError> {
        // grpc-go looks at the length first.
        self.varint = self.varint << 8 | u64::from(byte);
        self.shift += 1;
        if usize::from(self.shift) < PREFIX_BYTES {
            return Ok(());
        }
        let (flag, len) = (self.varint >> 32, self.varint as u32);
        if len > GRPC_MESSAGE_BYTES {
            return Err(HealthError::TooLarge);
        }
        if flag != 0 {
            return Err(HealthError::Compressed);
        }
        self.left = len;
        self.next_field();
        self.end_field()
    }

    fn next_field(&mut self) {
        self.at = At::Tag;
        self.varint = 0;
        self.shift = 0;
    }

    /// Takes a byte of a varint: its value, when it is complete. The tenth byte has one bit.
    fn digit(&mut self, byte: u8) -> Result<Option<u64>, HealthError> {
        if self.shift == 63 && byte > 1 {
            return Err(HealthError::Malformed);
        }
        self.varint |= u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        let value = self.varint;
        self.varint = 0;
        self.shift = 0;
        Ok(Some(value))
    }

    /// A varint is complete.
    fn value(&mut self, value: u64) -> Result<(), HealthError> {
        match self.at {
            At::Tag => return self.tag(value),
            // An enum has 32 bits, and the last of several counts.
            At::Status => self.status = value as i32,
            At::Length if value != 0 => {
                self.skip = value;
                self.at = At::Skip;
                return Ok(());
            }
            _ => {}
        }
        self.at = At::Tag;
        Ok(())
    }

    fn tag(&mut self, tag: u64) -> Result<(), HealthError> {
        const MOST: u64 = (1 << 29) - 1;
        let number = tag >> 3;
        if number == 0 || number > MOST {
            return Err(HealthError::Malformed);
        }
        let number = number as u32;
        self.at = match tag & 7 {
            0 if number == 1 && self.groups.is_empty() => At::Status,
            0 => At::Number,
            1 => self.pass(8),
            2 => At::Length,
            3 => {
                let pushed = self.groups.push(number);
                pushed.map_err(|_| HealthError::Malformed)?;
                At::Tag
            }
            4 if self.groups.pop() == Some(number) => At::Tag,
            5 => self.pass(4),
            _ => return Err(HealthError::Malformed),
        };
        Ok(())
    }

    fn pass(&mut self, bytes: u64) -> At {
        self.skip = bytes;
        At::Skip
    }

    /// Whether the message ends here, and may.
    fn end_field(&mut self) -> Result<(), HealthError> {
        if self.at == At::Skip && self.skip > self.left.into() {
            return Err(HealthError::Malformed);
        }
        if self.left != 0 {
            return Ok(());
        }
        if self.at != At::Tag || self.shift != 0 || !self.groups.is_empty() {
            return Err(HealthError::Malformed);
        }
        self.at = At::End;
        Ok(())
    }
}

impl Default for HealthReader {
    fn default() -> Self {
        Self::new()
    }
}
