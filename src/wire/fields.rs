//! The header fields of a request, written in HTTP/1.1 or HTTP/2.

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub enum FieldValue<'a> {
    /// These pieces, concatenated.
    Pieces(&'a [&'a [u8]]),
    /// `Basic` and these bytes in base64 (RFC 7617 section 2).
    Basic(&'a [u8]),
}

impl FieldValue<'_> {
    /// Passes its bytes to `put`, in pieces.
    pub fn write(&self, put: &mut dyn FnMut(&[u8])) {
        match self {
            FieldValue::Pieces(pieces) => pieces.iter().for_each(|piece| put(piece)),
            FieldValue::Basic(credentials) => {
                put(b"Basic ");
                put_base64(put, credentials);
            }
        }
    }

    /// Length in bytes.
    pub fn size(&self) -> usize {
        match self {
            FieldValue::Pieces(pieces) => pieces.iter().map(|piece| piece.len()).sum(),
            FieldValue::Basic(credentials) => 6 + credentials.len().div_ceil(3) * 4,
        }
    }
}

/// RFC 4648 section 4.
pub(crate) fn put_base64(put: &mut dyn FnMut(&[u8]), bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bits);
        let mut text = *b"====";
        for (place, shift) in text[..=chunk.len()].iter_mut().zip([18, 12, 6, 0]) {
            *place = ALPHABET[(bits >> shift) as usize % 64];
        }
        put(&text);
    }
}

/// Fields of a connection or of a body, in canonical case. HTTP probes pass on none of them, whether the client or the
/// configuration has them: the request has no body and is the only one on its connection.
pub(crate) const UNSENT_FIELDS: [&str; 8] = [
    "Connection",
    "Content-Length",
    "Keep-Alive",
    "Proxy-Connection",
    "Te",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// Receives fields.
pub trait FieldSink {
    /// Writes the next field; a name may have capitals.
    fn field(&mut self, name: &[u8], value: FieldValue<'_>);
}

/// The fields of a request, pseudo-header fields first.
pub trait RequestFields {
    /// Passes each field to `sink`, the same ones in every call.
    fn each(&self, sink: &mut dyn FieldSink);
}
