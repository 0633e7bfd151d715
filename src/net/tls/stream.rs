//! A TLS connection over a [`Socket`]: polled like one, through the same shared buffer.
//!
//! rustls does no I/O here: it receives the bytes of one read, and returns the bytes of one write. It limits a handshake
//! message to 64 KiB and the number of key updates, warnings and empty records, but not of session tickets. So records
//! without data are limited here, by number as Go does, and by bytes.

use core::future::poll_fn;
use core::task::{Context, Poll, ready};
use std::io::{self, BufRead, IoSlice, Write};
use std::rc::Rc;
use std::sync::Arc;

use heapless::Vec;
use rustix::io::Errno;
use rustls::{ClientConnection, Error, ProtocolVersion};

use super::client_auth::ClientAuth;
use super::fault::{HandshakeProgress, fault};
use super::permits::{HandshakePermit, HandshakeShare};
use super::records::{HEADER_BYTES, RecordTracker, check_first};
use crate::limits;
use crate::net::reactor::Reactor;
use crate::net::socket::Socket;
use crate::net::stream_error::{StreamError, TlsFault};
use crate::net::task::yield_now;

/// A TLS connection to the app. Dropping it sends `close_notify` if that needs no wait.
pub struct TlsStream {
    socket: Socket,
    connection: ClientConnection,
    client_auth: Arc<ClientAuth>,
    is_cert_requested: bool,
    /// The header of the first record, which shows whether this is TLS.
    first_header: Vec<u8, HEADER_BYTES>,
    records: RecordTracker,
    /// Bytes and records since the last application data.
    bytes_without_data: usize,
    records_without_data: usize,
    /// The app has sent close_notify or EOF.
    is_peer_closed: bool,
    /// Application data was received.
    has_received_data: bool,
    /// A fault after the data that is not read yet.
    pending_fault: Option<TlsFault>,
    /// The handshake permit, if it outlasts the handshake.
    permit: Option<HandshakePermit>,
}

/// The reason why a handshake returned without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeEnd {
    /// Data can be sent.
    Done,
    /// It is not done, and has received the permitted number of bytes.
    ByteLimit,
}

impl TlsStream {
    pub(super) fn new(
        socket: Socket,
        connection: ClientConnection,
        client_auth: Arc<ClientAuth>,
    ) -> Box<TlsStream> {
        Box::new(TlsStream {
            socket,
            connection,
            client_auth,
            is_cert_requested: false,
            first_header: Vec::new(),
            records: RecordTracker::default(),
            bytes_without_data: 0,
            records_without_data: 0,
            is_peer_closed: false,
            has_received_data: false,
            pending_fault: None,
            permit: None,
        })
    }

    /// Runs the handshake until data can be sent, or until it has received `max_bytes` in all, and up to one read more.
    /// A call that was cancelled can be repeated.
    pub(super) async fn handshake(
        &mut self,
        max_bytes: usize,
    ) -> Result<HandshakeEnd, StreamError> {
        while self.connection.is_handshaking() {
            if self.bytes_without_data >= max_bytes {
                return Ok(HandshakeEnd::ByteLimit);
            }
            poll_fn(|cx| self.poll_flush_and_receive(cx)).await?;
            // An app that sends faster than we read must not hold the thread.
            if self.connection.is_handshaking() {
                yield_now().await;
            }
        }
        self.bytes_without_data = 0;
        self.records_without_data = 0;
        Ok(HandshakeEnd::Done)
    }

    /// After a long handshake: if the certificate chain is long, the permit is reduced to its bytes and held for as long as
    /// the connection. rustls stores the chain that long, and the permits limit the memory of all of them. With a short
    /// chain the permit ends with the handshake.
    pub(super) fn hold_permit_if_chain_is_long(&mut self, mut permit: HandshakePermit) {
        self.shrink_buffer();
        let chain = self.connection.peer_certificates().unwrap_or_default();
        let bytes: usize = chain.iter().map(|der| der.len()).sum();
        if bytes > limits::HANDSHAKE_BYTES_WITHOUT_PERMIT {
            permit.reduce_to(HandshakeShare::Chain(bytes));
            self.permit = Some(permit);
        }
    }

    /// Frees the receive buffer of rustls, which has grown to the longest message of the handshake. rustls shrinks it when
    /// it starts to read.
    fn shrink_buffer(&mut self) {
        struct NothingToRead;
        impl io::Read for NothingToRead {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
        // The error is that of `NothingToRead`.
        let _ = self.connection.read_tls(&mut NothingToRead);
    }

    /// Bytes received so far in the handshake.
    pub(super) fn received_in_handshake(&self) -> usize {
        self.bytes_without_data
    }

    pub(super) fn reactor(&self) -> Rc<Reactor> {
        self.socket.reactor().clone()
    }

    /// The application protocol that the app chose.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// The name of the negotiated version, such as `TLSv1_3`.
    pub fn version(&self) -> Option<&'static str> {
        self.connection.protocol_version()?.as_str()
    }

    /// The name of the negotiated cipher suite in IANA's registry.
    pub fn cipher_suite(&self) -> Option<&'static str> {
        let suite = self.connection.negotiated_cipher_suite()?;
        suite.suite().as_str()
    }

    /// Waits for data and passes it to `f`; an empty slice means EOF. Between records EOF without `close_notify` counts
    /// as orderly, as it does for Go.
    ///
    /// # Errors
    /// The kernel's; a fault of TLS.
    pub async fn read_with<T>(&mut self, mut f: impl FnMut(&[u8]) -> T) -> Result<T, StreamError> {
        loop {
            let mut reader = self.connection.reader();
            if let Ok(data @ [_, ..]) = reader.fill_buf() {
                let (len, value) = (data.len(), f(data));
                reader.consume(len);
                self.bytes_without_data = 0;
                self.records_without_data = 0;
                self.has_received_data = true;
                return Ok(value);
            }
            if let Some(fault) = self.pending_fault {
                // The alert that explains the fault, if it can be sent without a wait.
                self.try_flush();
                return Err(fault.into());
            }
            if self.is_peer_closed {
                return match self.closed_without_client_cert() {
                    true => Err(TlsFault::ClientCertificateRequired.into()),
                    false => Ok(f(&[])),
                };
            }
            if self.bytes_without_data > 0 {
                yield_now().await;
            }
            poll_fn(|cx| self.poll_flush_and_receive(cx)).await?;
        }
    }

    /// Writes a message of any length without storing it, as [`Socket::write_with`] does.
    ///
    /// # Errors
    /// The kernel's; the app's alert, if it explains why a write failed.
    pub async fn write_with(
        &mut self,
        fill: impl Fn(&mut [u8], usize) -> usize,
    ) -> Result<(), StreamError> {
        let mut sent = 0;
        loop {
            let mut writer = self.connection.writer();
            let len = self.socket.reactor().with_scratch(|buf| {
                let buf = &mut buf[..limits::TLS_IO_BYTES];
                let len = fill(buf, sent);
                writer.write_all(&buf[..len]).map(|()| len)
            });
            // rustls accepts all of it, because its buffer was flushed before.
            let len = len.map_err(|_| TlsFault::Internal)?;
            poll_fn(|cx| self.poll_flush(cx)).await?;
            if len < limits::TLS_IO_BYTES {
                return Ok(());
            }
            sent += len;
        }
    }

    /// Sends the pending records of rustls, then reads once.
    fn poll_flush_and_receive(&mut self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_flush(cx))?;
        self.poll_receive(cx)
    }

    /// Sends the pending records of rustls.
    fn poll_flush(&mut self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        while self.connection.wants_write() {
            let mut to_socket = ToSocket {
                socket: &self.socket,
                cx: Some(cx),
                error: Errno::AGAIN,
            };
            if self.connection.write_tls(&mut to_socket).is_err() {
                return match to_socket.error {
                    Errno::AGAIN => Poll::Pending,
                    error => Poll::Ready(Err(self.explain(error, cx))),
                };
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The app's alert, if one explains why a write failed.
    fn explain(&mut self, error: Errno, cx: &Context<'_>) -> StreamError {
        match self.poll_receive(cx) {
            Poll::Ready(Err(StreamError::Tls(fault))) if fault != TlsFault::ClosedEarly => {
                fault.into()
            }
            _ => error.into(),
        }
    }

    fn poll_receive(&mut self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        let reactor = self.socket.reactor().clone();
        let received = reactor.with_scratch(|buf| {
            let room = self.records.room().min(limits::TLS_IO_BYTES);
            let len = ready!(self.socket.poll_read(cx, &mut buf[..room]))?;
            Poll::Ready(self.on_bytes(&buf[..len]).map_err(StreamError::from))
        });
        match received {
            Poll::Ready(Err(
                StreamError::Io(Errno::CONNRESET)
                | StreamError::Tls(TlsFault::ClosedEarly | TlsFault::Truncated),
            )) if self.closed_without_client_cert() => {
                Poll::Ready(Err(TlsFault::ClientCertificateRequired.into()))
            }
            Poll::Ready(Err(StreamError::Tls(_))) => {
                // The alert that explains the fault, if it can be sent without a wait.
                self.try_flush();
                received
            }
            received => received,
        }
    }

    /// Whether an app that closes now has requested a certificate, received none and sent no data: not every server
    /// sends an alert for that. In TLS 1.2 a server decides before its Finished, in TLS 1.3 before its first record after
    /// ours.
    fn closed_without_client_cert(&self) -> bool {
        let is_tls13 = self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let is_undecided =
            self.connection.is_handshaking() || (is_tls13 && self.bytes_without_data == 0);
        self.is_cert_requested
            && !self.has_received_data
            && is_undecided
            && !self.client_auth.has_pair()
    }

    /// Processes the bytes of one read; an empty slice means EOF.
    fn on_bytes(&mut self, mut bytes: &[u8]) -> Result<(), TlsFault> {
        if bytes.is_empty() {
            return self.handle_eof();
        }
        if !self.first_header.is_full() {
            let missing = bytes.len().min(HEADER_BYTES - self.first_header.len());
            // `missing` is at most the free capacity.
            let _ = self.first_header.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if !self.first_header.is_full() {
                return Ok(());
            }
            check_first(&self.first_header)?;
            let header = self.first_header.clone();
            self.pass_to_rustls(&header)?;
        }
        self.pass_to_rustls(bytes)
    }

    fn handle_eof(&mut self) -> Result<(), TlsFault> {
        if self.connection.is_handshaking() {
            return Err(TlsFault::ClosedEarly);
        }
        if !self.records.is_at_boundary() {
            return Err(TlsFault::Truncated);
        }
        self.is_peer_closed = true;
        Ok(())
    }

    fn pass_to_rustls(&mut self, mut bytes: &[u8]) -> Result<(), TlsFault> {
        self.records_without_data += self.records.advance(bytes);
        self.bytes_without_data += bytes.len();
        if self.bytes_without_data > limits::TLS_BYTES_WITHOUT_DATA {
            return Err(TlsFault::ProtocolViolation);
        }
        while !bytes.is_empty() && !self.is_peer_closed && self.pending_fault.is_none() {
            // rustls has room for one read in addition to a partial record.
            if !matches!(self.connection.read_tls(&mut bytes), Ok(1..)) {
                return Err(TlsFault::ProtocolViolation);
            }
            self.process_records()?;
        }
        let is_idle = !self.connection.is_handshaking() && !self.is_peer_closed && !self.has_data();
        if is_idle && self.records_without_data > limits::TLS_RECORDS_WITHOUT_DATA {
            return Err(TlsFault::ProtocolViolation);
        }
        Ok(())
    }

    fn process_records(&mut self) -> Result<(), TlsFault> {
        let result = self.connection.process_new_packets();
        self.is_cert_requested |= self.client_auth.take_requested();
        let progress = HandshakeProgress {
            has_server_hello: self.connection.protocol_version().is_some(),
            is_cert_requested: self.is_cert_requested,
            has_client_cert: self.client_auth.has_pair(),
        };
        if let Err(Error::AlertReceived(alert)) = &result {
            self.client_auth.record_alert(u8::from(*alert));
        }
        match result.map_err(|error| fault(&error, progress)) {
            Ok(state) => {
                self.is_peer_closed |= state.peer_has_closed();
                Ok(())
            }
            Err(fault) => {
                // Data before the fault is read first, as in Go, which processes one record after the other.
                if !self.has_data() {
                    return Err(fault);
                }
                self.pending_fault = Some(fault);
                Ok(())
            }
        }
    }

    /// Whether there is unread data.
    fn has_data(&mut self) -> bool {
        matches!(self.connection.reader().fill_buf(), Ok([_, ..]))
    }

    /// Sends the pending records of rustls as far as that needs no wait.
    fn try_flush(&mut self) {
        let mut to_socket = ToSocket {
            socket: &self.socket,
            cx: None,
            error: Errno::AGAIN,
        };
        while self.connection.wants_write() && self.connection.write_tls(&mut to_socket).is_ok() {}
    }
}

impl Drop for TlsStream {
    /// A connection that is reset must not send `close_notify`, and one in its handshake cannot.
    fn drop(&mut self) {
        if !self.socket.reactor().resets_on_drop() && !self.connection.is_handshaking() {
            self.connection.send_close_notify();
            self.try_flush();
        }
    }
}

/// The writer for rustls. It stores the kernel's error, which `io::Error` would only wrap.
struct ToSocket<'a, 'c> {
    socket: &'a Socket,
    /// The task that waits when nothing fits, if any.
    cx: Option<&'a Context<'c>>,
    error: Errno,
}

impl Write for ToSocket<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let wrote = match self.cx {
            Some(cx) => match self.socket.poll_write_vectored(cx, pieces) {
                Poll::Ready(wrote) => wrote,
                Poll::Pending => Err(Errno::AGAIN),
            },
            None => self.socket.try_write_vectored(pieces),
        };
        wrote.map_err(|error| {
            self.error = error;
            error.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
