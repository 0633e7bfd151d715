//! The fields of a request on their way out, whichever protocol they are written in.

/// A field's value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// These bytes, one piece after the other.
    Pieces(&'a [&'a [u8]]),
    /// `Basic` and these bytes in base64 (RFC 7617 section 2).
    Basic(&'a [u8]),
}

impl Value<'_> {
    /// Hands its bytes to `put`, in pieces.
    pub fn write(&self, put: &mut dyn FnMut(&[u8])) {
        match self {
            Value::Pieces(pieces) => pieces.iter().for_each(|piece| put(piece)),
            Value::Basic(credentials) => {
                put(b"Basic ");
                put_base64(put, credentials);
            }
        }
    }

    /// How many bytes there are.
    pub fn size(&self) -> usize {
        match self {
            Value::Pieces(pieces) => pieces.iter().map(|piece| piece.len()).sum(),
            Value::Basic(credentials) => 6 + credentials.len().div_ceil(3) * 4,
        }
    }
}

/// RFC 4648 section 4.
fn put_base64(put: &mut dyn FnMut(&[u8]), bytes: &[u8]) {
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

/// What fields are written to, in whatever form.
pub trait FieldSink {
    /// The next field; a name may have capitals.
    fn field(&mut self, name: &[u8], value: Value<'_>);
}

/// The fields of a request, pseudo ones first.
pub trait Fields {
    /// Hands each to `sink`, the same ones each time.
    fn each(&self, sink: &mut dyn FieldSink);
}
