//! A header field, and its validity for Go's client.

use super::table::ENTRY_OVERHEAD;
use crate::wire::class::{self, TOKEN, VALUE};

/// A header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderField<'a> {
    /// The name, or its first bytes if it is longer than the memory for it.
    pub name: &'a [u8],
    /// The value, likewise.
    pub value: &'a [u8],
    /// Length of the whole name.
    pub name_len: usize,
    /// Length of the whole value.
    pub value_len: usize,
    /// Whether the bytes that were not stored are invalid in a name or value.
    pub is_rest_invalid: bool,
}

impl<'a> HeaderField<'a> {
    pub(super) fn whole((name, value): (&'a [u8], &'a [u8])) -> Self {
        HeaderField {
            name,
            value,
            name_len: name.len(),
            value_len: value.len(),
            is_rest_invalid: false,
        }
    }

    /// Its size: the bytes and 32 (RFC 7541 section 4.1).
    pub fn size(&self) -> u64 {
        (self.name_len + self.value_len + ENTRY_OVERHEAD) as u64
    }

    /// Whether its name starts with a colon (RFC 9113 section 8.3).
    pub fn is_pseudo(&self) -> bool {
        self.name.first() == Some(&b':')
    }

    /// Whether Go's client accepts the value, and the name unless it is a pseudo-header field: a token without capitals
    /// (`httpguts.ValidHeaderFieldValue`, `http2validWireHeaderFieldName`).
    pub fn is_valid(&self) -> bool {
        let is_name = self.is_pseudo() || (!self.name.is_empty() && is_name_text(self.name));
        is_name && is_value_text(self.value) && !self.is_rest_invalid
    }
}

/// Whether the bytes are valid in a name.
pub(super) fn is_name_text(bytes: &[u8]) -> bool {
    class::run::<TOKEN>(bytes) == bytes.len() && !bytes.iter().any(u8::is_ascii_uppercase)
}

/// Whether the bytes are valid in a value.
pub(super) fn is_value_text(bytes: &[u8]) -> bool {
    class::run::<VALUE>(bytes) == bytes.len()
}
