//! Finds the boundaries of TLS records in the app's bytes (RFC 8446 section 5.1), which rustls does not report. No I/O.
//!
//! Go counts EOF without `close_notify` as orderly if it is between two records (`crypto/tls/conn.go`:
//! `readRecordOrCCS`), and so does this agent.

use crate::net::stream_error::TlsFault;

/// Bytes of a record's header.
pub(super) const HEADER_BYTES: usize = 5;

/// The largest record that rustls accepts.
pub(super) const MAX_RECORD_BYTES: usize = HEADER_BYTES + (16 << 10) + 2048;

/// The position of the app's bytes within a record.
#[derive(Default)]
pub(super) struct RecordTracker {
    /// Bytes received of this record.
    received: usize,
    /// Its length field.
    length: [u8; 2],
}

impl RecordTracker {
    /// Advances over `bytes`. Returns the number of records that end in them.
    pub(super) fn advance(&mut self, mut bytes: &[u8]) -> usize {
        let mut ended = 0;
        while let [first, rest @ ..] = bytes {
            if self.received < HEADER_BYTES {
                if let at @ 3.. = self.received {
                    self.length[at - 3] = *first;
                }
                self.received += 1;
                bytes = rest;
            } else {
                let here = bytes.len().min(self.len() - self.received);
                self.received += here;
                bytes = &bytes[here..];
            }
            if self.received >= HEADER_BYTES && self.received == self.len() {
                self.received = 0;
                ended += 1;
            }
        }
        ended
    }

    /// Whether the last byte was the last one of a record.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.received == 0
    }

    /// Bytes that one call of rustls accepts in addition to those that it has of this record.
    pub(super) fn room(&self) -> usize {
        MAX_RECORD_BYTES.saturating_sub(self.received).max(1)
    }

    /// Length of a record whose header is complete.
    fn len(&self) -> usize {
        HEADER_BYTES + usize::from(u16::from_be_bytes(self.length))
    }
}

/// Checks the header of the first record as Go does (`crypto/tls/conn.go`: `readRecordOrCCS`).
///
/// # Errors
/// The fault, if the bytes are not TLS.
pub(super) fn check_first(header: &[u8]) -> Result<(), TlsFault> {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    match header {
        b"HTTP/" => Err(TlsFault::PlainHttp),
        [ALERT | HANDSHAKE, ..=0x0f, ..] => Ok(()),
        _ => Err(TlsFault::NotTls),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(len: usize) -> Vec<u8> {
        let length = u16::try_from(len).expect("it fits").to_be_bytes();
        [&[23, 3, 3], &length[..], &vec![0; len]].concat()
    }

    #[test]
    fn record_boundaries_are_found_however_the_bytes_are_split() {
        let bytes = [record(3), record(0), record(300), record(1)].concat();
        let ends = [8, 13, 318, 324];
        for split in 1..40 {
            let mut records = RecordTracker::default();
            let (mut passed, mut ended) = (0, 0);
            for part in bytes.chunks(split) {
                ended += records.advance(part);
                passed += part.len();
                assert_eq!(
                    records.is_at_boundary(),
                    ends.contains(&passed),
                    "{split} {passed}"
                );
            }
            assert_eq!(ended, ends.len(), "{split}");
        }
    }

    #[test]
    fn the_first_five_bytes_tell_tls_from_other_protocols() {
        assert_eq!(check_first(&[22, 3, 3, 0, 80]), Ok(()));
        assert_eq!(check_first(&[21, 3, 1, 0, 2]), Ok(()));
        assert_eq!(check_first(b"HTTP/"), Err(TlsFault::PlainHttp));
        for other in [b"SSH-2", b"http/", b"\x16HTTP", b"\x17\x03\x03\0\x02"] {
            assert_eq!(check_first(other), Err(TlsFault::NotTls), "{other:?}");
        }
    }
}
