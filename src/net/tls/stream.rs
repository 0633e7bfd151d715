//! A TLS connection over a [`Socket`]: polled like one, through the same shared buffer.
//!
//! rustls does no I/O here: it is handed what one read brought, and gives what one write takes. It bounds
//! a handshake message to 64 KiB, and key updates, warnings and empty records by number; session tickets
//! it does not, so records that bring no data are bounded here, by number as Go bounds them, and by bytes.

use core::future::poll_fn;
use core::task::{Context, Poll, ready};
use std::io::{self, BufRead, IoSlice, Write};
use std::rc::Rc;
use std::sync::Arc;

use heapless::Vec;
use rustix::io::Errno;
use rustls::{ClientConnection, ProtocolVersion};

use super::client_auth::ClientAuth;
use super::fault::{Progress, fault};
use super::permits::HandshakePermit;
use super::records::{HEADER, Records, check_first};
use crate::limits;
use crate::net::reactor::Reactor;
use crate::net::socket::Socket;
use crate::net::stream_error::{StreamError, TlsFault};
use crate::net::task::yield_now;

/// A TLS connection to the app. Dropping it says goodbye, as far as that goes without a wait.
pub struct TlsStream {
    socket: Socket,
    connection: ClientConnection,
    client_auth: Arc<ClientAuth>,
    asked: bool,
    /// The first record's header: until it is there, nobody knows whether this is TLS.
    first: Vec<u8, HEADER>,
    records: Records,
    /// Bytes since data last came, and records.
    fruitless: usize,
    useless: usize,
    /// The app has ended its side.
    ended: bool,
    /// Data has come.
    spoke: bool,
    /// What is wrong with what came behind the data that is still to be handed over.
    broken: Option<TlsFault>,
    /// The handshake permit, if it outlasts the handshake.
    permit: Option<HandshakePermit>,
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
            asked: false,
            first: Vec::new(),
            records: Records::default(),
            fruitless: 0,
            useless: 0,
            ended: false,
            spoke: false,
            broken: None,
            permit: None,
        })
    }

    /// Goes on until data can be sent.
    pub(super) async fn handshake(&mut self) -> Result<(), StreamError> {
        while self.connection.is_handshaking() {
            poll_fn(|cx| self.poll_more(cx)).await?;
            // An app that sends faster than we read must not hold the thread.
            if self.connection.is_handshaking() {
                yield_now().await;
            }
        }
        (self.fruitless, self.useless) = (0, 0);
        Ok(())
    }

    /// rustls keeps the app's certificates for as long as the connection is there. With few of them the turn
    /// at the handshake ends with it, so that apps that are slow to answer do not keep others from theirs;
    /// with many it goes on, as it is there to bound what all connections hold together.
    pub(super) fn keep_if_heavy(&mut self, permit: HandshakePermit) {
        let certificates = self.connection.peer_certificates().unwrap_or_default();
        let bytes: usize = certificates.iter().map(|der| der.len()).sum();
        self.permit = (bytes > limits::LIGHT_CERTIFICATES).then_some(permit);
    }

    pub(super) fn reactor(&self) -> Rc<Reactor> {
        self.socket.reactor().clone()
    }

    /// The application protocol that the app chose.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Version and cipher suite, by the names RFC 8446 and its registry have for them.
    pub fn names(&self) -> [Option<&'static str>; 2] {
        let version = self.connection.protocol_version();
        let suite = self.connection.negotiated_cipher_suite();
        [
            version.and_then(|version| version.as_str()),
            suite.and_then(|suite| suite.suite().as_str()),
        ]
    }

    /// Hands over some data once it has come; nothing is the end. An end without `close_notify` counts as
    /// one between records, as it does for Go.
    ///
    /// # Errors
    /// The kernel's; what TLS made of the app's bytes.
    pub async fn read_with<T>(&mut self, mut f: impl FnMut(&[u8]) -> T) -> Result<T, StreamError> {
        loop {
            let mut reader = self.connection.reader();
            if let Ok(data @ [_, ..]) = reader.fill_buf() {
                let (len, value) = (data.len(), f(data));
                reader.consume(len);
                (self.fruitless, self.useless) = (0, 0);
                self.spoke = true;
                return Ok(value);
            }
            if let Some(fault) = self.broken {
                // The alert that says why, if it can be sent at once.
                self.flush_now();
                return Err(fault.into());
            }
            if self.ended {
                return match self.is_shown_out() {
                    true => Err(TlsFault::ClientCertificateRequired.into()),
                    false => Ok(f(&[])),
                };
            }
            if self.fruitless > 0 {
                yield_now().await;
            }
            poll_fn(|cx| self.poll_more(cx)).await?;
        }
    }

    /// Writes what `fill` puts into the buffer when told how much was taken already, until it does not fill
    /// it: a message of any length, made again from where it stopped.
    ///
    /// # Errors
    /// The kernel's; what TLS made of the app's bytes, when a write failed for what they say.
    pub async fn write_with(
        &mut self,
        fill: impl Fn(&mut [u8], usize) -> usize,
    ) -> Result<(), StreamError> {
        let mut sent = 0;
        loop {
            let mut writer = self.connection.writer();
            let len = self.socket.reactor().with_scratch(|buf| {
                let buf = &mut buf[..limits::TLS_BYTES];
                let len = fill(buf, sent);
                writer.write_all(&buf[..len]).map(|()| len)
            });
            // It takes what it is given, as all before that has gone out.
            let len = len.map_err(|_| TlsFault::Broken)?;
            poll_fn(|cx| self.poll_flush(cx)).await?;
            if len < limits::TLS_BYTES {
                return Ok(());
            }
            sent += len;
        }
    }

    /// Sends what is to be sent, then reads once.
    fn poll_more(&mut self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_flush(cx))?;
        self.poll_receive(cx)
    }

    /// Sends what rustls has to send.
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

    /// A write that fails may have been refused with an alert, which says more.
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
            let room = self.records.room().min(limits::TLS_BYTES);
            let len = ready!(self.socket.poll_read(cx, &mut buf[..room]))?;
            Poll::Ready(self.take(&buf[..len]).map_err(StreamError::from))
        });
        match received {
            Poll::Ready(Err(
                StreamError::Io(Errno::CONNRESET)
                | StreamError::Tls(TlsFault::ClosedEarly | TlsFault::Truncated),
            )) if self.is_shown_out() => {
                Poll::Ready(Err(TlsFault::ClientCertificateRequired.into()))
            }
            Poll::Ready(Err(StreamError::Tls(_))) => {
                // The alert that says why, if it can be sent at once.
                self.flush_now();
                received
            }
            received => received,
        }
    }

    /// Whether an app that hangs up now asked for a certificate, got none and has not said a word: not every
    /// server has an alert for that. In TLS 1.2 the server has made up its mind before its Finished, in TLS 1.3
    /// before the first record after ours.
    fn is_shown_out(&self) -> bool {
        let is_late = self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let is_undecided = self.connection.is_handshaking() || (is_late && self.fruitless == 0);
        self.asked && !self.spoke && is_undecided && !self.client_auth.has_pair()
    }

    /// Takes what one read brought; nothing is the end.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), TlsFault> {
        if bytes.is_empty() {
            return self.end();
        }
        if !self.first.is_full() {
            let missing = bytes.len().min(HEADER - self.first.len());
            // They fit.
            let _ = self.first.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if !self.first.is_full() {
                return Ok(());
            }
            check_first(&self.first)?;
            let first = self.first.clone();
            self.feed(&first)?;
        }
        self.feed(bytes)
    }

    fn end(&mut self) -> Result<(), TlsFault> {
        if self.connection.is_handshaking() {
            return Err(TlsFault::ClosedEarly);
        }
        if !self.records.is_between() {
            return Err(TlsFault::Truncated);
        }
        self.ended = true;
        Ok(())
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), TlsFault> {
        self.useless += self.records.pass(bytes);
        self.fruitless += bytes.len();
        if self.fruitless > limits::TLS_FRUITLESS_BYTES {
            return Err(TlsFault::Broken);
        }
        while !bytes.is_empty() && !self.ended && self.broken.is_none() {
            // It has room for what is read at once, beside what it holds of a record.
            if !matches!(self.connection.read_tls(&mut bytes), Ok(1..)) {
                return Err(TlsFault::Broken);
            }
            self.process()?;
        }
        let is_idle = !self.connection.is_handshaking() && !self.ended && !self.has_data();
        if is_idle && self.useless > limits::TLS_USELESS_RECORDS {
            return Err(TlsFault::Broken);
        }
        Ok(())
    }

    fn process(&mut self) -> Result<(), TlsFault> {
        let result = self.connection.process_new_packets();
        let hello = self.connection.protocol_version().is_some();
        self.asked |= self.client_auth.take_asked();
        let progress = Progress {
            hello,
            asked: self.asked,
            has_pair: self.client_auth.has_pair(),
        };
        match result.map_err(|error| fault(&error, progress)) {
            Ok(state) => self.ended |= state.peer_has_closed(),
            // What was sent before it counts, as it does for Go, which takes one record after the other.
            Err(fault) if self.has_data() => self.broken = Some(fault),
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// Whether there is data to be handed over.
    fn has_data(&mut self) -> bool {
        matches!(self.connection.reader().fill_buf(), Ok([_, ..]))
    }

    /// Sends what goes without a wait.
    fn flush_now(&mut self) {
        let mut to_socket = ToSocket {
            socket: &self.socket,
            cx: None,
            error: Errno::AGAIN,
        };
        while self.connection.wants_write() && self.connection.write_tls(&mut to_socket).is_ok() {}
    }
}

impl Drop for TlsStream {
    /// What is cut off must not look as if it had ended, and before the handshake is done there is nothing
    /// to end.
    fn drop(&mut self) {
        if !self.socket.reactor().resets() && !self.connection.is_handshaking() {
            self.connection.send_close_notify();
            self.flush_now();
        }
    }
}

/// What rustls writes to; the kernel's error is kept, as `io::Error` would be made of it and back.
struct ToSocket<'a, 'c> {
    socket: &'a Socket,
    /// Who waits when nothing fits, if anybody.
    cx: Option<&'a Context<'c>>,
    error: Errno,
}

impl Write for ToSocket<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let wrote = match self.cx {
            Some(cx) => match self.socket.poll_write_pieces(cx, pieces) {
                Poll::Ready(wrote) => wrote,
                Poll::Pending => Err(Errno::AGAIN),
            },
            None => self.socket.write_pieces_now(pieces),
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
