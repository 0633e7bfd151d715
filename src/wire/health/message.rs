//! Reads the response message, `HealthCheckResponse { status }`, as a stream.
//!
//! It skips all other fields of Protocol Buffers, as Go's decoder does
//! (`protobuf-go`: `internal/impl/decode.go`, `encoding/protowire`).

use super::PREFIX_BYTES;
use crate::limits::GRPC_MESSAGE_BYTES;

/// Why a message is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthError {
    /// No message, or an incomplete one.
    CutShort,
    /// Longer than [`GRPC_MESSAGE_BYTES`].
    TooLarge,
    /// Compressed, although no compression was offered.
    Compressed,
    /// Bytes after the message.
    TrailingBytes,
    /// Not a Protocol Buffers message.
    Malformed,
}

/// Nested groups that are skipped. Groups are deprecated since 2008; Go accepts 10,000.
const GROUPS: usize = 8;

/// Reads the body of the response.
#[derive(Clone, Debug)]
pub struct HealthReader {
    state: MessageState,
    /// Bytes of the message still to come.
    left: u32,
    /// Remaining bytes of a skipped value.
    skip: u64,
    /// The varint that is being read; before the message, its prefix.
    varint: u64,
    /// Bits of the varint so far; before the message, bytes of the prefix so far.
    shift: u8,
    status: i32,
    /// The field numbers of the groups that are open.
    groups: heapless::Vec<u32, GROUPS>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MessageState {
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
            state: MessageState::Prefix,
            left: 0,
            skip: 0,
            varint: 0,
            shift: 0,
            status: 0,
            groups: heapless::Vec::new(),
        }
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// The first broken rule. Must not be called again after an error.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), HealthError> {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = rest;
            match self.state {
                MessageState::Prefix => {
                    self.prefix(byte)?;
                    continue;
                }
                MessageState::End => return Err(HealthError::TrailingBytes),
                MessageState::Skip => {
                    // The byte and those after it.
                    let more = (self.skip - 1).min(bytes.len() as u64);
                    bytes = &bytes[more as usize..];
                    self.skip -= 1 + more;
                    self.left -= more as u32;
                    if self.skip == 0 {
                        self.state = MessageState::Tag;
                    }
                }
                MessageState::Tag
                | MessageState::Status
                | MessageState::Number
                | MessageState::Length => {
                    if let Some(value) = self.varint_byte(byte)? {
                        self.end_varint(value)?;
                    }
                }
            }
            self.left -= 1;
            self.check_message_end()?;
        }
        Ok(())
    }

    /// The status in the message, after the end of the body: 1 is SERVING.
    ///
    /// # Errors
    /// [`HealthError::CutShort`].
    pub fn end(&self) -> Result<i32, HealthError> {
        match self.state {
            MessageState::End => Ok(self.status),
            MessageState::Prefix
            | MessageState::Tag
            | MessageState::Status
            | MessageState::Number
            | MessageState::Length
            | MessageState::Skip => Err(HealthError::CutShort),
        }
    }

    fn prefix(&mut self, byte: u8) -> Result<(), HealthError> {
        // grpc-go checks the length first.
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
        self.check_message_end()
    }

    fn next_field(&mut self) {
        self.state = MessageState::Tag;
        self.varint = 0;
        self.shift = 0;
    }

    /// Reads a byte of a varint. Returns its value when it is complete. The tenth byte has one bit.
    fn varint_byte(&mut self, byte: u8) -> Result<Option<u64>, HealthError> {
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

    /// Processes a complete varint.
    fn end_varint(&mut self, value: u64) -> Result<(), HealthError> {
        match self.state {
            MessageState::Tag => return self.tag(value),
            // An enum has 32 bits, and the last of several counts.
            MessageState::Status => self.status = value as i32,
            MessageState::Length if value != 0 => {
                self.skip = value;
                self.state = MessageState::Skip;
                return Ok(());
            }
            MessageState::Length | MessageState::Number => {}
            // No varint is read in these states.
            MessageState::Prefix | MessageState::Skip | MessageState::End => {}
        }
        self.state = MessageState::Tag;
        Ok(())
    }

    fn tag(&mut self, tag: u64) -> Result<(), HealthError> {
        const MOST: u64 = (1 << 29) - 1;
        let number = tag >> 3;
        if number == 0 || number > MOST {
            return Err(HealthError::Malformed);
        }
        let number = number as u32;
        self.state = match tag & 7 {
            0 if number == 1 && self.groups.is_empty() => MessageState::Status,
            0 => MessageState::Number,
            1 => self.skip_bytes(8),
            2 => MessageState::Length,
            3 => {
                let pushed = self.groups.push(number);
                pushed.map_err(|_| HealthError::Malformed)?;
                MessageState::Tag
            }
            4 if self.groups.pop() == Some(number) => MessageState::Tag,
            5 => self.skip_bytes(4),
            _ => return Err(HealthError::Malformed),
        };
        Ok(())
    }

    fn skip_bytes(&mut self, bytes: u64) -> MessageState {
        self.skip = bytes;
        MessageState::Skip
    }

    /// Ends the message if its last byte was read, and checks that its fields are complete.
    fn check_message_end(&mut self) -> Result<(), HealthError> {
        if self.state == MessageState::Skip && self.skip > self.left.into() {
            return Err(HealthError::Malformed);
        }
        if self.left != 0 {
            return Ok(());
        }
        if self.state != MessageState::Tag || self.shift != 0 || !self.groups.is_empty() {
            return Err(HealthError::Malformed);
        }
        self.state = MessageState::End;
        Ok(())
    }
}

impl Default for HealthReader {
    fn default() -> Self {
        Self::new()
    }
}
