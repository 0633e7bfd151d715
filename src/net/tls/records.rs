//! Where TLS records begin and end in the app's bytes (RFC 8446 section 5.1), which rustls does not tell.
//!
//! Go takes an end of the connection without `close_notify` for an orderly one when it comes between two
//! records (`crypto/tls/conn.go`: `readRecordOrCCS`), and so do we. No I/O.

use crate::net::stream_error::TlsFault;

/// Bytes of a record's header.
pub(super) const HEADER: usize = 5;

/// A record at its largest, as far as rustls takes it.
const RECORD: usize = HEADER + (16 << 10) + 2048;

/// How far the app's bytes have come within a record.
#[derive(Default)]
pub(super) struct Records {
    /// Bytes of this record so far.
    have: usize,
    /// Its length field.
    length: [u8; 2],
}

impl Records {
    /// Passes over what came; how many records ended in it.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> usize {
        let mut ended = 0;
        while let [first, rest @ ..] = bytes {
            if self.have < HEADER {
                if let at @ 3.. = self.have {
                    self.length[at - 3] = *first;
                }
                self.have += 1;
                bytes = rest;
            } else {
                let here = bytes.len().min(self.len() - self.have);
                self.have += here;
                bytes = &bytes[here..];
            }
            if self.have >= HEADER && self.have == self.len() {
                self.have = 0;
                ended += 1;
            }
        }
        ended
    }

    /// Whether the last byte was a record's last.
    pub(super) fn is_between(&self) -> bool {
        self.have == 0
    }

    /// Bytes that rustls takes at once beside what it holds of this record.
    pub(super) fn room(&self) -> usize {
        RECORD.saturating_sub(self.have).max(1)
    }

    /// Length of a record whose header is complete.
    fn len(&self) -> usize {
        HEADER + usize::from(u16::from_be_bytes(self.length))
    }
}

/// Whether the first record can be one, as Go judges it (`crypto/tls/conn.go`: `readRecordOrCCS`).
///
/// # Errors
/// What it is instead.
pub(super) fn check_first(header: &[u8]) -> Result<(), TlsFault> {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    match header {
        b"HTTP/" => Err(TlsFault::HttpAnswer),
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
    fn the_ends_of_records_are_found_however_the_bytes_are_split() {
        let bytes = [record(3), record(0), record(300), record(1)].concat();
        let ends = [8, 13, 318, 324];
        for split in 1..40 {
            let mut records = Records::default();
            let (mut passed, mut ended) = (0, 0);
            for part in bytes.chunks(split) {
                ended += records.pass(part);
                passed += part.len();
                assert_eq!(
                    records.is_between(),
                    ends.contains(&passed),
                    "{split} {passed}"
                );
            }
            assert_eq!(ended, ends.len(), "{split}");
        }
    }

    #[test]
    fn what_is_not_tls_is_told_by_its_first_five_bytes() {
        assert_eq!(check_first(&[22, 3, 3, 0, 80]), Ok(()));
        assert_eq!(check_first(&[21, 3, 1, 0, 2]), Ok(()));
        assert_eq!(check_first(b"HTTP/"), Err(TlsFault::HttpAnswer));
        for other in [b"SSH-2", b"http/", b"\x16HTTP", b"\x17\x03\x03\0\x02"] {
            assert_eq!(check_first(other), Err(TlsFault::NotTls), "{other:?}");
        }
    }
}
