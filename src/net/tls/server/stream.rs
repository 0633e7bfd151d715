//! A TLS connection of a client over a [`Socket`]. One read is processed at a time, in a buffer that all connections share.

use core::future::poll_fn;
use core::task::{Context, Poll, ready};
use std::rc::Rc;

use rustix::io::Errno;

use super::session::{BUFFER_BYTES, ServerSession};
use crate::limits;
use crate::net::socket::Socket;
use crate::net::stream_error::{StreamError, TlsFault};
use crate::net::tls::Tls;

/// A TLS connection of a client. Dropping it closes the socket without `close_notify`.
pub struct TlsServerStream {
    /// Has the shared buffer.
    tls: Rc<Tls>,
    socket: Socket,
    session: ServerSession,
    /// Data that was received with the end of the handshake.
    early: Vec<u8>,
    /// The client's first message of the handshake was answered.
    has_answered: bool,
}

/// The reason why a handshake returned without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeEnd {
    /// Data can be sent.
    Done,
    /// It is not done, and has received the permitted number of bytes.
    ByteLimit,
}

/// What a handshake waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeWait {
    /// The client's first message.
    Hello,
    /// The client's answer to ours.
    Client,
    /// Our turn: the client may have sent something.
    Turn,
}

/// The result of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Bytes of records. The data in them was passed on.
    Bytes,
    /// The client has sent `close_notify`: no more data follows.
    CloseNotify,
}

impl TlsServerStream {
    pub(super) fn new(tls: Rc<Tls>, socket: Socket, session: ServerSession) -> TlsServerStream {
        TlsServerStream {
            tls,
            socket,
            session,
            early: Vec::new(),
            has_answered: false,
        }
    }

    /// Runs the handshake until data can be sent, or until it has received `max_bytes` in all, and up to one read more. A
    /// call that was cancelled can be repeated. Nothing is read before the turn of this task: a message may need a
    /// signature, and many of them must not delay probes. Calls `on_wait` with what it waits for.
    ///
    /// # Errors
    /// The kernel's; the fault, whose alert is sent if it needs no wait.
    pub async fn handshake(
        &mut self,
        max_bytes: usize,
        on_wait: &dyn Fn(HandshakeWait),
    ) -> Result<HandshakeEnd, StreamError> {
        let reactor = self.socket.reactor().clone();
        if self.session.received_in_handshake() == 0 {
            self.wait_first_event().await;
        }
        loop {
            poll_fn(|cx| self.poll_flush(cx)).await?;
            if !self.session.is_handshaking() {
                return Ok(HandshakeEnd::Done);
            }
            if self.session.received_in_handshake() >= max_bytes {
                return Ok(HandshakeEnd::ByteLimit);
            }
            on_wait(HandshakeWait::Turn);
            reactor.wait_handshake_turn().await;
            self.receive_or_wait(on_wait).await?;
        }
    }

    /// Waits for bytes without reading them, or for the end of the connection.
    async fn wait_first_event(&self) {
        let mut is_registered = false;
        poll_fn(|cx| match core::mem::replace(&mut is_registered, true) {
            // Bytes that are there already are an event, too: nothing was registered before.
            false => self.socket.poll_broken(cx).map(drop),
            true => Poll::Ready(()),
        })
        .await;
    }

    /// Reads once. If there is nothing to read, waits for an event: the bytes are read in the next turn.
    async fn receive_or_wait(
        &mut self,
        on_wait: &dyn Fn(HandshakeWait),
    ) -> Result<(), StreamError> {
        let mut is_turn = true;
        poll_fn(|cx| {
            if !core::mem::take(&mut is_turn) {
                return Poll::Ready(Ok(()));
            }
            let received = self.poll_receive_handshake(cx);
            on_wait(match self.has_answered {
                false => HandshakeWait::Hello,
                true => HandshakeWait::Client,
            });
            received
        })
        .await
    }

    /// Processes bytes of the client that were received before TLS began.
    ///
    /// # Errors
    /// The fault, whose alert is sent if that needs no wait.
    pub fn receive_first(&mut self, bytes: &[u8]) -> Result<(), TlsFault> {
        let TlsServerStream {
            tls,
            session,
            early,
            has_answered,
            ..
        } = self;
        let result = tls.with_server_buffer(|buf| {
            buf[..bytes.len()].copy_from_slice(bytes);
            session.receive(buf, bytes.len(), &mut |data| early.extend_from_slice(data))
        });
        *has_answered = !session.outgoing().is_empty();
        if result.is_err() {
            self.try_flush();
        }
        result
    }

    fn poll_receive_handshake(&mut self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        let mut early = core::mem::take(&mut self.early);
        let received = self.poll_receive(cx, false, &mut |data| early.extend_from_slice(data));
        self.early = early;
        self.has_answered |= !self.session.outgoing().is_empty();
        received.map(|received| match received? {
            Received::CloseNotify if self.session.is_handshaking() => {
                Err(TlsFault::ClosedEarly.into())
            }
            Received::Bytes | Received::CloseNotify => Ok(()),
        })
    }

    /// Removes and returns the data that was received with the end of the handshake.
    pub fn take_early(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.early)
    }

    /// Whether the client has sent `close_notify`.
    pub fn is_peer_closed(&self) -> bool {
        self.session.is_peer_closed()
    }

    /// Removes and returns the identity that was refused.
    pub fn take_refused(&self) -> Option<Box<str>> {
        self.session.take_refused()
    }

    /// Reads once, unless complete records are stored, and calls `on_data` with the data of each complete record, which is
    /// less than [`BUFFER_BYTES`] in all; in `bulk` a read has several long records. EOF without `close_notify` is a fault:
    /// data may be missing (RFC 8446 section 6.1).
    ///
    /// # Errors
    /// The kernel's; the fault, whose alert is sent if that needs no wait.
    pub fn poll_receive(
        &mut self,
        cx: &Context<'_>,
        bulk: bool,
        on_data: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<Received, StreamError>> {
        let TlsServerStream {
            tls,
            socket,
            session,
            ..
        } = self;
        let result = tls.with_server_buffer(|buf| {
            let (stored, end) = session.prepare_read(buf, bulk);
            if session.has_unprocessed() {
                let received = session.receive(buf, stored, on_data);
                return Poll::Ready(received.map_err(StreamError::from));
            }
            let len = ready!(socket.poll_read(cx, &mut buf[stored..end]))?;
            Poll::Ready(match len {
                0 if session.is_handshaking() => Err(TlsFault::ClosedEarly.into()),
                0 => Err(TlsFault::Truncated.into()),
                len => {
                    let received = session.receive(buf, stored + len, on_data);
                    received.map_err(StreamError::from)
                }
            })
        });
        if let Poll::Ready(Err(StreamError::Tls(_))) = result {
            self.try_flush();
        }
        result.map_ok(|()| match self.session.is_peer_closed() {
            true => Received::CloseNotify,
            false => Received::Bytes,
        })
    }

    /// Encrypts data, and sends as much of it as is accepted, if nothing waits to be [flushed](Self::poll_flush).
    ///
    /// # Errors
    /// The kernel's; a fault.
    pub fn send(&mut self, cx: &Context<'_>, data: &[u8]) -> Result<(), StreamError> {
        debug_assert!(!data.is_empty() && data.len() <= limits::INBOUND_BULK_STEP_BYTES);
        self.encrypt_and_send(cx, data)
    }

    /// Sends `close_notify`, as `send` does.
    ///
    /// # Errors
    /// The kernel's; a fault.
    pub fn send_close_notify(&mut self, cx: &Context<'_>) -> Result<(), StreamError> {
        self.encrypt_and_send(cx, &[])
    }

    fn encrypt_and_send(&mut self, cx: &Context<'_>, data: &[u8]) -> Result<(), StreamError> {
        let TlsServerStream {
            tls,
            socket,
            session,
            ..
        } = self;
        tls.with_server_buffer(|buf| {
            let len = session.encrypt(data, buf)?;
            let mut rest = &buf[..len];
            // A message of rustls goes first.
            if session.outgoing().is_empty() {
                match socket.poll_write(cx, rest) {
                    Poll::Ready(written) => rest = &rest[written?..],
                    Poll::Pending => {}
                }
            }
            if !rest.is_empty() {
                session.store_outgoing(rest);
            }
            Ok(())
        })
    }

    /// Sends the encrypted bytes that are not sent yet.
    ///
    /// # Errors
    /// The kernel's.
    pub fn poll_flush(&mut self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        while !self.session.outgoing().is_empty() {
            let written = ready!(self.socket.poll_write(cx, self.session.outgoing()))?;
            self.session.remove_outgoing(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends them as far as that needs no wait.
    fn try_flush(&mut self) {
        let outgoing = self.session.outgoing();
        if outgoing.is_empty() {
            return;
        }
        if let Ok(written) = self.socket.try_write(outgoing) {
            self.session.remove_outgoing(written);
        }
    }

    /// Ready once the connection has broken, see [`Socket::poll_broken`].
    pub fn poll_broken(&self, cx: &Context<'_>) -> Poll<Errno> {
        self.socket.poll_broken(cx)
    }

    /// Number of encrypted bytes that are not sent yet.
    pub fn outgoing_bytes(&self) -> usize {
        self.session.outgoing().len()
    }

    /// The connection's socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Ends TLS without `close_notify`, for example to reset the connection.
    pub fn into_socket(self) -> Socket {
        self.socket
    }
}

impl Tls {
    /// Calls `f` with the buffer of TLS records that all connections of clients share. It is allocated at the first call.
    fn with_server_buffer<T>(&self, f: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut buffer = self.server_buffer.borrow_mut();
        if buffer.is_empty() {
            *buffer = vec![0; BUFFER_BYTES].into();
        }
        f(&mut buffer)
    }
}
