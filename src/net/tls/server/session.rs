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

/// Bytes of the buffer that records are received and encrypted in: the longest record that rustls accepts, and the header
/// of the next one.
pub const BUFFER_BYTES: usize = MAX_RECORD_BYTES + HEADER_BYTES;

/// Encrypted bytes that wait to be sent, at most: a record of data, and our flight of a handshake or other messages. A
/// client that causes messages and does not read them fails.
const OUTGOING_BYTES: usize = 4 * BUFFER_BYTES;

/// A record of this length is read to its end, so that little of the next one has to be stored.
const LONG_RECORD_BYTES: usize = 4096;

/// The TLS state of one connection.
pub struct ServerSession {
    connection: UnbufferedServerConnection,
    verifier: Arc<ClientVerifier>,
    /// Received bytes that rustls has not consumed: a part of a record or of a handshake message.
    incoming: Vec<u8>,
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

    /// Copies the stored bytes to the start of `buf`. Returns their number, and the end of the next read: a long record is
    /// read to its end and the header of the next one.
    pub fn prepare_read(&self, buf: &mut [u8]) -> (usize, usize) {
        let stored = self.incoming.len().min(buf.len());
        buf[..stored].copy_from_slice(&self.incoming[..stored]);
        let end = match (&self.incoming[..], self.is_handshaking()) {
            (_, true) => stored + limits::TLS_IO_BYTES,
            ([_, _, _, high, low, ..], false) => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                match len {
                    LONG_RECORD_BYTES.. => (HEADER_BYTES + len + HEADER_BYTES).max(stored + 1),
                    _ => buf.len(),
                }
            }
            (_, false) => buf.len(),
        };
        (stored, end.min(buf.len()))
    }

    /// Processes the first `end` bytes of `buf`, of which the first ones were stored, and calls `on_data` with the data of
    /// each record.
    ///
    /// # Errors
    /// The fault. Its alert is in [`outgoing`](Self::outgoing).
    pub fn receive(
        &mut self,
        buf: &mut [u8],
        end: usize,
        on_data: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TlsFault> {
        let is_full = end == buf.len();
        let buf = &mut buf[..end];
        if self.is_handshaking() && !self.is_header_complete(buf)? {
            self.incoming = buf.to_vec();
            return Ok(());
        }
        let mut start = 0;
        let result = loop {
            match self.step(&mut buf[start..], on_data) {
                Ok((discard, Step::Again)) => start += discard,
                Ok((discard, Step::Blocked)) => {
                    start += discard;
                    // No message is longer than the buffer, except for one that is not accepted.
                    break match start == 0 && is_full {
                        true if self.is_handshaking() => Err(TlsFault::HandshakeTooLong),
                        true => Err(TlsFault::ProtocolViolation),
                        false => Ok(()),
                    };
                }
                Err(fault) => break Err(fault),
            }
        };
        match result {
            Ok(()) if self.is_peer_closed => self.incoming = Vec::new(),
            Ok(()) => self.incoming = buf[start..].to_vec(),
            Err(_) => {
                self.incoming = Vec::new();
                self.encode_alert();
            }
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

    /// Moves the alert of a fault to the outgoing bytes.
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
            // A part of a handshake message may be stored, to which rustls has indices.
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut self.incoming);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let encrypted = match data {
                        [] => traffic.queue_close_notify(out),
                        data => traffic.encrypt(data, out),
                    };
                    self.incoming.drain(..discard);
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
            self.incoming.drain(..discard);
        }
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
