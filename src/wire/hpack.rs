//! HPACK, the compression of HTTP/2's header fields (RFC 7541): a decoder that reads a field block as a stream in
//! constant memory, for any split of the bytes, and as leniently as Go's (`golang.org/x/net/http2/hpack`).
//!
//! Of a field that is longer than the memory for it, the start is stored and the rest is only checked. The encoder is
//! part of [`super::h2`], and compresses nothing.

use crate::limits::{LOCATION_BYTES, RESPONSE_HEAD_BYTES};
use field::{is_name_text, is_value_text};
use huffman::Bits;
use table::{TABLE_BYTES, Table};

pub use field::HeaderField;
pub use table::TABLE_SIZE;

mod field;
mod huffman;
mod static_table;
mod table;

/// Bytes of a name that are stored. An entry of the dynamic table fits; known names are shorter than 40 bytes.
const NAME_BYTES: usize = TABLE_SIZE;

/// Bytes of a value that are stored: a `Location`, the only long value that is used.
const VALUE_BYTES: usize = LOCATION_BYTES;

/// Memory of a [`Decoder`]: the dynamic table, a name and a value. Its initial contents are never read.
pub const HPACK_BYTES: usize = TABLE_BYTES + NAME_BYTES + VALUE_BYTES;

/// Encoded bytes of a string; Go's limit is that of a whole list of fields.
const STRING_BYTES: u64 = RESPONSE_HEAD_BYTES;

/// Why a block cannot be decoded. After any of them the tables of both sides differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpackError {
    /// An integer with more than nine bytes after its first.
    Integer,
    /// No table has an entry of that index.
    Index,
    /// A string longer than [`RESPONSE_HEAD_BYTES`].
    TooLong,
    /// A Huffman code of EOS, or padding that is too long or not all ones.
    Huffman,
    /// A table size above the limit, or a size update after a field.
    TableSize,
    /// The block ends within a field.
    CutShort,
}

impl From<huffman::Invalid> for HpackError {
    fn from(_: huffman::Invalid) -> Self {
        HpackError::Huffman
    }
}

/// Decodes the field blocks of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    table: Table,
    state: DecoderState,
    /// Whether the current field goes into the table.
    is_indexed: bool,
    /// Whether nothing of the block has been read.
    is_first: bool,
    is_huffman: bool,
    is_rest_invalid: bool,
    /// Shift of the next seven bits of an integer.
    shift: u8,
    integer: u64,
    bits: Bits,
    /// Remaining bytes of a string.
    left: u32,
    name_len: u32,
    value_len: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DecoderState {
    /// Before a field.
    Start,
    /// Before the length of a string.
    Length(StringKind),
    /// Within an integer.
    Integer(IntegerKind),
    /// Within a string; possibly at its end.
    String(StringKind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StringKind {
    Name,
    Value,
}

/// The meaning of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IntegerKind {
    /// The index of the field.
    Field,
    /// The index of the field's name; 0 if it is a literal.
    Name,
    TableSize,
    Length(StringKind),
}

/// Receives fields. Returns whether to continue.
pub type FieldCallback<'s> = dyn FnMut(&HeaderField<'_>) -> bool + 's;

impl Decoder {
    /// A decoder at the start of a connection.
    pub const fn new() -> Self {
        Decoder {
            table: Table::new(),
            state: DecoderState::Start,
            is_indexed: false,
            is_first: true,
            is_huffman: false,
            is_rest_invalid: false,
            shift: 0,
            integer: 0,
            bits: Bits::new(),
            left: 0,
            name_len: 0,
            value_len: 0,
        }
    }

    /// Reads bytes of a block. `memory`, of [`HPACK_BYTES`], is the same in each call. If `sink` stops, the rest of
    /// `bytes` is not read, and the decoder must not be used again.
    ///
    /// # Errors
    /// The first broken rule. Must not be called again after an error.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        memory: &mut [u8],
        sink: &mut FieldCallback<'_>,
    ) -> Result<(), HpackError> {
        loop {
            if let DecoderState::String(string_kind) = self.state {
                let (now, later) = bytes.split_at(bytes.len().min(self.left as usize));
                self.left -= now.len() as u32;
                bytes = later;
                self.push(string_kind, now, memory)?;
                if self.left != 0 {
                    return Ok(());
                }
                if !self.end_string(string_kind, memory, sink)? {
                    return Ok(());
                }
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                return Ok(());
            };
            bytes = rest;
            if let Some((integer_kind, value)) = self.step(byte)?
                && !self.end_integer(integer_kind, value, memory, sink)?
            {
                return Ok(());
            }
        }
    }

    /// Checks the end of a block.
    ///
    /// # Errors
    /// [`HpackError::CutShort`] within a field.
    pub fn end_block(&mut self) -> Result<(), HpackError> {
        self.is_first = true;
        match self.state {
            DecoderState::Start => Ok(()),
            DecoderState::Length(_) | DecoderState::Integer(_) | DecoderState::String(_) => {
                Err(HpackError::CutShort)
            }
        }
    }

    /// Reads a byte that is not part of a string. Returns the integer that it completes.
    fn step(&mut self, byte: u8) -> Result<Option<(IntegerKind, u64)>, HpackError> {
        let (integer_kind, prefix) = match self.state {
            DecoderState::Integer(integer_kind) => {
                return self.continue_integer(integer_kind, byte);
            }
            DecoderState::Length(string_kind) => {
                self.is_huffman = byte & 0x80 != 0;
                (IntegerKind::Length(string_kind), 7)
            }
            DecoderState::Start | DecoderState::String(_) => self.begin_field(byte)?,
        };
        let most = (1 << prefix) - 1;
        let value = u64::from(byte) & most;
        if value < most {
            return Ok(Some((integer_kind, value)));
        }
        self.state = DecoderState::Integer(integer_kind);
        self.integer = most;
        self.shift = 0;
        Ok(None)
    }

    /// The representation of a field (RFC 7541 section 6): the integer that it starts with, and its prefix bits.
    fn begin_field(&mut self, byte: u8) -> Result<(IntegerKind, u8), HpackError> {
        self.is_indexed = byte & 0xc0 == 0x40;
        self.is_rest_invalid = false;
        self.name_len = 0;
        Ok(match byte.leading_zeros() {
            0 => (IntegerKind::Field, 7),
            1 => (IntegerKind::Name, 6),
            // Go accepts a size update after a field while the table is empty.
            2 if !self.is_first && self.table.size() != 0 => return Err(HpackError::TableSize),
            2 => (IntegerKind::TableSize, 5),
            // Never indexed, or without indexing.
            _ => (IntegerKind::Name, 4),
        })
    }

    /// Reads a further byte of an integer (RFC 7541 section 5.1), of Go's maximal length.
    fn continue_integer(
        &mut self,
        integer_kind: IntegerKind,
        byte: u8,
    ) -> Result<Option<(IntegerKind, u64)>, HpackError> {
        self.integer += u64::from(byte & 0x7f) << self.shift;
        if byte & 0x80 == 0 {
            return Ok(Some((integer_kind, self.integer)));
        }
        self.shift += 7;
        match self.shift {
            ..63 => Ok(None),
            _ => Err(HpackError::Integer),
        }
    }

    /// Processes a complete integer. Returns whether to continue.
    fn end_integer(
        &mut self,
        integer_kind: IntegerKind,
        value: u64,
        memory: &mut [u8],
        sink: &mut FieldCallback<'_>,
    ) -> Result<bool, HpackError> {
        let (table, staged) = memory.split_at_mut(TABLE_BYTES);
        match integer_kind {
            IntegerKind::Field => {
                let entry = self.entry(value, table)?;
                self.begin_next();
                return Ok(sink(&HeaderField::whole(entry)));
            }
            IntegerKind::TableSize if value > TABLE_SIZE as u64 => {
                return Err(HpackError::TableSize);
            }
            IntegerKind::TableSize => {
                self.table.resize(value as u16, table);
                self.begin_next();
            }
            IntegerKind::Name if value == 0 => self.state = DecoderState::Length(StringKind::Name),
            // The entry may be evicted by the field that borrows its name (RFC 7541 section 4.4).
            IntegerKind::Name => {
                let (name, _) = self.entry(value, table)?;
                staged[..name.len()].copy_from_slice(name);
                self.name_len = name.len() as u32;
                self.state = DecoderState::Length(StringKind::Value);
            }
            IntegerKind::Length(_) if value > STRING_BYTES => return Err(HpackError::TooLong),
            IntegerKind::Length(string_kind) => {
                *self.len_of(string_kind) = 0;
                self.bits = Bits::new();
                self.left = value as u32;
                self.state = DecoderState::String(string_kind);
            }
        }
        Ok(true)
    }

    fn entry<'m>(&self, index: u64, table: &'m [u8]) -> Result<(&'m [u8], &'m [u8]), HpackError> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        match index.checked_sub(static_table::LEN + 1) {
            None => static_table::entry(index),
            Some(age) => self.table.entry(age, table),
        }
        .ok_or(HpackError::Index)
    }

    fn begin_next(&mut self) {
        self.state = DecoderState::Start;
        self.is_first = false;
    }

    fn len_of(&mut self, string_kind: StringKind) -> &mut u32 {
        match string_kind {
            StringKind::Name => &mut self.name_len,
            StringKind::Value => &mut self.value_len,
        }
    }

    /// Adds encoded bytes of a string.
    fn push(
        &mut self,
        string_kind: StringKind,
        bytes: &[u8],
        memory: &mut [u8],
    ) -> Result<(), HpackError> {
        if !self.is_huffman {
            self.store(string_kind, bytes, memory);
            return Ok(());
        }
        for &byte in bytes {
            let mut bits = self.bits;
            bits.push(byte, |decoded| self.store(string_kind, &[decoded], memory))?;
            self.bits = bits;
        }
        Ok(())
    }

    /// Adds decoded bytes of a string: stores those that fit, and checks the others.
    fn store(&mut self, string_kind: StringKind, bytes: &[u8], memory: &mut [u8]) {
        let len = self.len_of(string_kind);
        let before = *len as usize;
        *len += bytes.len() as u32;
        let (name, value) = memory[TABLE_BYTES..].split_at_mut(NAME_BYTES);
        let place = match string_kind {
            StringKind::Name => name,
            StringKind::Value => value,
        };
        let place = place.get_mut(before..).unwrap_or_default();
        let (stored, rest) = bytes.split_at(bytes.len().min(place.len()));
        place[..stored.len()].copy_from_slice(stored);
        self.is_rest_invalid |= match string_kind {
            StringKind::Name => !is_name_text(rest),
            StringKind::Value => !is_value_text(rest),
        };
    }

    /// Processes the end of a string, and of the field after a value. Returns whether to continue.
    fn end_string(
        &mut self,
        string_kind: StringKind,
        memory: &mut [u8],
        sink: &mut FieldCallback<'_>,
    ) -> Result<bool, HpackError> {
        if self.is_huffman {
            self.bits.end()?;
        }
        if string_kind == StringKind::Name {
            self.state = DecoderState::Length(StringKind::Value);
            return Ok(true);
        }
        self.begin_next();
        let (table, staged) = memory.split_at_mut(TABLE_BYTES);
        let (name, value) = staged.split_at(NAME_BYTES);
        let (name_len, value_len) = (self.name_len as usize, self.value_len as usize);
        let field = HeaderField {
            name: &name[..name_len.min(NAME_BYTES)],
            value: &value[..value_len.min(VALUE_BYTES)],
            name_len,
            value_len,
            is_rest_invalid: self.is_rest_invalid,
        };
        if self.is_indexed {
            // A field that was not stored whole does not fit in the table either.
            self.table.insert(field.name, field.value, table);
        }
        Ok(sink(&field))
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
