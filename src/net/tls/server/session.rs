//! The TLS state of one connection, without I/O. rustls decrypts and encrypts in the caller's buffer, so a connection that
//! waits stores only a part of a record.

use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};

use super::verify::ClientVerifier;
use crate::limits;
use crate::net::stream_error::TlsFault;
use crate::net::tls::fault::server_fault;
use crate::net::tls::records::{HEADER_BYTES, MAX_RECORD_BYTES, check_first};

/// The longest message with its records: the longest record that rustls accepts, and the header of the next one.
const MESSAGE_BYTES: usize = MAX_RECORD_BYTES + HEADER_BYTES;

/// A record of 16 KiB of data, with the longest overhead: the explicit nonce and the tag of TLS 1.2.
const FULL_RECORD_BYTES: usize = HEADER_BYTES + (16 << 10) + 24;

/// Bytes of records that one read receives in bulk, or that [`ServerSession::encrypt`] returns: those of
/// [`INBOUND_BULK_STEP_BYTES`](limits::INBOUND_BULK_STEP_BYTES) of data.
const BULK_BYTES: usize =
    limits::INBOUND_BULK_STEP_BYTES.div_ceil(16 << 10) * FULL_RECORD_BYTES + HEADER_BYTES;

/// Bytes of the buffer that records are received and encrypted in: those that are stored, and one read.
pub const BUFFER_BYTES: usize = MESSAGE_BYTES + BULK_BYTES;

/// Encrypted bytes that wait to be sent, at most: a record of data, and our flight of a handshake or other messages. A
/// client that causes messages and does not read them fails.
const OUTGOING_BYTES: usize = 4 * MESSAGE_BYTES;

/// A record of this length is read to its end, so that little of the next one has to be stored.
const LONG_RECORD_BYTES: usize = 4096;

/// The TLS state of one connection.
pub struct ServerSession {
    connection: UnbufferedServerConnection,
    verifier: Arc<ClientVerifier>,
    /// Received bytes that rustls has not consumed: a part of a record or of a handshake message, or records that exceed
    /// the limit of a call.
    incoming: Vec<u8>,
    /// The first bytes of `incoming`, which rustls has processed: records of a message that is not complete.
    processed: usize,
    /// There are complete records after them.
    has_unprocessed: bool,
    /// Encrypted bytes that are not sent yet.
    outgoing: Vec<u8>,
    /// Bytes received so far in the handshake.
    received: usize,
    /// Files of our own were missing when the connection began.
    is_incomplete: bool,
    /// The client has sent `close_notify`.
    is_peer_closed: bool,
}

/// What one step of rustls returned.
enum Step {
    /// There may be more.
    Again,
    /// More bytes are needed.
    Blocked,
}

impl ServerSession {
    pub(super) fn new(
        connection: UnbufferedServerConnection,
        verifier: Arc<ClientVerifier>,
        is_incomplete: bool,
    ) -> ServerSession {
        ServerSession {
            connection,
            verifier,
            incoming: Vec::new(),
            processed: 0,
            has_unprocessed: false,
            outgoing: Vec::new(),
            received: 0,
            is_incomplete,
            is_peer_closed: false,
        }
    }

    /// Whether data can not be sent yet.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the client has sent `close_notify`.
    pub(super) fn is_peer_closed(&self) -> bool {
        self.is_peer_closed
    }

    /// Bytes received so far in the handshake.
    pub fn received_in_handshake(&self) -> usize {
        self.received
    }

    /// Encrypted bytes that are not sent yet.
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// Removes the first bytes, which were sent. Frees the memory once all are.
    pub fn remove_outgoing(&mut self, len: usize) {
        match len == self.outgoing.len() {
            true => self.outgoing = Vec::new(),
            false => drop(self.outgoing.drain(..len)),
        }
    }

    /// Stores encrypted bytes that could not be sent.
    pub(super) fn store_outgoing(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
    }

    /// Removes and returns the identity that was refused.
    pub(super) fn take_refused(&self) -> Option<Box<str>> {
        self.verifier.take_refused()
    }

    /// Whether complete records are stored: [`receive`](Self::receive) processes them without a read.
    pub fn has_unprocessed(&self) -> bool {
        self.has_unprocessed
    }

    /// Copies the stored bytes to the start of `buf`. Returns their number, and the end of the next read: a long record is
    /// read to its end and the header of the next one, in `bulk` several records of that length.
    pub fn prepare_read(&self, buf: &mut [u8], bulk: bool) -> (usize, usize) {
        let stored = self.incoming.len();
        buf[..stored].copy_from_slice(&self.incoming);
        let end = match self.is_handshaking() {
            _ if self.has_unprocessed => return (stored, stored),
            true => (stored + limits::TLS_IO_BYTES).min(MESSAGE_BYTES),
            false => self.processed + read_end(&self.incoming[self.processed..], bulk),
        };
        (stored, end.max(stored + 1).min(buf.len()))
    }

    /// Processes the first `end` bytes of `buf`, of which the first ones were stored, and calls `on_data` with the data of
    /// each record. Of established connections, at most [`INBOUND_RECORDS`](limits::INBOUND_RECORDS) are processed.
    ///
    /// # Errors
    /// The fault. If rustls has found it, its alert is in [`outgoing`](Self::outgoing). rustls has none for
    /// [`TlsFault::NotTls`] and [`TlsFault::HandshakeTooLong`].
    pub fn receive(
        &mut self,
        buf: &mut [u8],
        end: usize,
        on_data: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TlsFault> {
        let buf = &mut buf[..end];
        if self.is_handshaking() && !self.is_header_complete(buf)? {
            self.incoming = buf.to_vec();
            return Ok(());
        }
        let max_records = match self.is_handshaking() {
            true => usize::MAX,
            false => limits::INBOUND_RECORDS,
        };
        let Records { complete, has_more } = find_records(buf, self.processed, max_records);
        // An incomplete record is passed too, because rustls checks its header.
        let passed = match has_more {
            true => complete,
            false => end,
        };
        let mut start = 0;
        let result = loop {
            match self.step(&mut buf[start..passed], on_data) {
                Ok((discard, Step::Again)) => start += discard,
                Ok((discard, Step::Blocked)) => {
                    start += discard;
                    // No message is longer, except for one that is not accepted.
                    break match !has_more && end - start >= MESSAGE_BYTES {
                        true if self.is_handshaking() => Err(TlsFault::HandshakeTooLong),
                        true => Err(TlsFault::ProtocolViolation),
                        false => Ok(()),
                    };
                }
                Err(fault) => break Err(fault),
            }
        };
        let is_rest_needed = result.is_ok() && !self.is_peer_closed;
        self.has_unprocessed = is_rest_needed && has_more;
        (self.incoming, self.processed) = match is_rest_needed {
            true => (buf[start..].to_vec(), complete.saturating_sub(start)),
            false => (Vec::new(), 0),
        };
        if result.is_err() {
            self.encode_alert();
        }
        result
    }

    /// Whether the header of the first record is complete. Checks it, and the length of the handshake.
    fn is_header_complete(&mut self, buf: &[u8]) -> Result<bool, TlsFault> {
        let is_first = self.received < HEADER_BYTES;
        self.received += buf.len() - self.incoming.len();
        if self.received > limits::INBOUND_HANDSHAKE_BYTES {
            return Err(TlsFault::HandshakeTooLong);
        }
        if is_first && let Some(header) = buf.first_chunk::<HEADER_BYTES>() {
            check_first(header).map_err(|_| TlsFault::NotTls)?;
        }
        Ok(self.received >= HEADER_BYTES)
    }

    /// Processes what is next in `buf`. Returns the number of its first bytes to discard.
    fn step(
        &mut self,
        buf: &mut [u8],
        on_data: &mut dyn FnMut(&[u8]),
    ) -> Result<(usize, Step), TlsFault> {
        let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(buf);
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(|_| TlsFault::ProtocolViolation)?;
                    discard += record.discard;
                    on_data(record.payload);
                }
                Step::Again
            }
            Ok(ConnectionState::EncodeTlsData(message)) => {
                encode(message, &mut self.outgoing)?;
                Step::Again
            }
            // It is sent before anything else.
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Step::Again
            }
            Ok(ConnectionState::PeerClosed) => {
                self.is_peer_closed = true;
                Step::Blocked
            }
            Ok(
                ConnectionState::Closed
                | ConnectionState::BlockedHandshake
                | ConnectionState::WriteTraffic(_),
            ) => Step::Blocked,
            // Early data is not accepted, and rustls has no other state.
            Ok(_) => return Err(TlsFault::Internal),
            Err(_) if self.is_incomplete => return Err(TlsFault::CertificateMissing),
            Err(error) => return Err(server_fault(&error)),
        };
        Ok((discard, step))
    }

    /// Moves the alert of a fault to the outgoing bytes, if rustls has one.
    fn encode_alert(&mut self) {
        // rustls returns messages before it processes anything else. It has indices into the received bytes, so that nothing
        // may be processed without them.
        while self.connection.wants_write() {
            if self.step(&mut [], &mut |_| ()).is_err() {
                return;
            }
        }
    }

    /// Encrypts data, or `close_notify` if there is none, into `out`. Returns the number of bytes, which go after
    /// [`outgoing`](Self::outgoing).
    ///
    /// # Errors
    /// [`TlsFault::Internal`] if it does not fit, or nothing can be sent any more.
    pub fn encrypt(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize, TlsFault> {
        loop {
            // A part of a handshake message may be stored, to which rustls has indices. It processes nothing else here.
            let stored = &mut self.incoming[..self.processed];
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(stored);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let encrypted = match data {
                        [] => traffic.queue_close_notify(out),
                        data => traffic.encrypt(data, out),
                    };
                    self.remove_processed(discard);
                    return encrypted.map_err(|_| TlsFault::Internal);
                }
                Ok(ConnectionState::EncodeTlsData(message)) => {
                    encode(message, &mut self.outgoing)?;
                }
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::PeerClosed) => self.is_peer_closed = true,
                Ok(_) => return Err(TlsFault::Internal),
                Err(error) => return Err(server_fault(&error)),
            }
            self.remove_processed(discard);
        }
    }

    fn remove_processed(&mut self, len: usize) {
        self.incoming.drain(..len);
        self.processed -= len;
    }
}

/// The end of the next read, in bytes after the first ones of `record`, which is not complete.
fn read_end(record: &[u8], bulk: bool) -> usize {
    let room = match bulk {
        true => BULK_BYTES,
        false => MESSAGE_BYTES,
    };
    let Some([_, _, _, high, low]) = record.first_chunk::<HEADER_BYTES>() else {
        return room;
    };
    let len = HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    let records = match len {
        LONG_RECORD_BYTES.. => (room - HEADER_BYTES) / len,
        _ => return room,
    };
    records.max(1) * len + HEADER_BYTES
}

/// The records of a buffer.
struct Records {
    /// The end of the last complete one of them.
    complete: usize,
    /// Another complete one follows.
    has_more: bool,
}

/// Finds the records after `start`, at most `max` of them.
fn find_records(buf: &[u8], start: usize, max: usize) -> Records {
    let mut complete = start;
    for count in 0.. {
        let Some([_, _, _, high, low]) = buf[complete..].first_chunk::<HEADER_BYTES>() else {
            break;
        };
        let end = complete + HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
        if end > buf.len() {
            break;
        }
        if count == max {
            return Records {
                complete,
                has_more: true,
            };
        }
        complete = end;
    }
    Records {
        complete,
        has_more: false,
    }
}

/// Appends a message to the outgoing bytes.
fn encode(
    mut message: EncodeTlsData<'_, ServerConnectionData>,
    outgoing: &mut Vec<u8>,
) -> Result<(), TlsFault> {
    let old = outgoing.len();
    // It reports the length if there is no room.
    let Err(EncodeError::InsufficientSize(size)) = message.encode(&mut []) else {
        return Err(TlsFault::Internal);
    };
    let end = old + size.required_size;
    if end > OUTGOING_BYTES {
        return Err(TlsFault::ProtocolViolation);
    }
    outgoing.resize(end, 0);
    let encoded = message.encode(&mut outgoing[old..]);
    encoded.map(drop).map_err(|_| TlsFault::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(len: u16) -> Vec<u8> {
        let [high, low] = len.to_be_bytes();
        [&[23, 3, 3, high, low][..], &vec![0; len.into()]].concat()
    }

    #[test]
    fn a_read_ends_after_the_header_of_the_next_record() {
        let full = record(16_401);
        for stored in [5, 100, full.len() - 1] {
            let end = full.len() + HEADER_BYTES;
            assert_eq!(read_end(&full[..stored], false), end);
            let end = 4 * full.len() + HEADER_BYTES;
            assert_eq!(read_end(&full[..stored], true), end);
        }
        assert_eq!(read_end(&record(4_100)[..5], false), 4 * 4_105 + 5);
        // Others are read as many as there are.
        assert_eq!(read_end(&record(100)[..50], false), MESSAGE_BYTES);
        assert_eq!(read_end(&[23, 3, 3], true), BULK_BYTES);
        assert_eq!(read_end(&[], false), MESSAGE_BYTES);
    }

    #[test]
    fn records_are_found_up_to_the_limit() {
        let buf = [record(3), record(0), record(300), record(9)[..10].to_vec()].concat();
        for (start, max, complete, has_more) in [
            (0, 1, 8, true),
            (0, 2, 13, true),
            (0, 3, 318, false),
            (8, 1, 13, true),
            (8, 9, 318, false),
            (318, 1, 318, false),
        ] {
            let records = find_records(&buf, start, max);
            assert_eq!((records.complete, records.has_more), (complete, has_more));
        }
    }
}
