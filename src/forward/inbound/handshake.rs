//! The handshake of an inbound connection, and how a permissive port distinguishes TLS and plaintext.

use core::net::IpAddr;
use core::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use super::port::Port;
use super::result::InboundResult;
use crate::config::InboundMode;
use crate::forward::connections::ConnectionEntry;
use crate::limits;
use crate::net::tls::{HandshakeEnd, HandshakeWait, TlsServerStream};
use crate::net::{Elapsed, Share, Socket, StreamError, TlsFault, network_of};

/// A connection that is admitted for its handshake.
pub(super) struct HandshakeEntry {
    pub(super) port: Rc<Port>,
    pub(super) peer: IpAddr,
    /// Counts for the address of the peer and for its network.
    pub(super) entry: ConnectionEntry,
}

/// A connection that may use the app.
pub(super) enum Authorized {
    /// Over TLS, of a peer whose identity is allowed.
    Tls(Box<TlsServerStream>),
    /// In plaintext, through a permissive port.
    Plaintext {
        client: Socket,
        /// The bytes that it has sent.
        first: Vec<u8>,
    },
}

/// How a connection begins.
enum Beginning {
    /// With TLS, or with nothing yet.
    Tls(Vec<u8>),
    Plaintext(Vec<u8>),
}

impl HandshakeEntry {
    /// Runs the handshake. `None` if the connection was refused: it is closed then.
    pub(super) async fn authorize(self, client: Socket) -> Option<Authorized> {
        let deadline = Instant::now() + limits::INBOUND_HANDSHAKE_TIMEOUT;
        let first = match self.port.inbound.mode {
            InboundMode::Strict => Vec::new(),
            InboundMode::Permissive { server_first } => {
                match self.detect(&client, server_first, deadline).await {
                    Some(Ok(Beginning::Tls(first))) => first,
                    Some(Ok(Beginning::Plaintext(first))) => {
                        return Some(Authorized::Plaintext { client, first });
                    }
                    Some(Err(error)) => return self.refuse_socket(client, error),
                    None => return self.evicted(client),
                }
            }
        };
        let mut stream = match self.port.acceptor.accept(client) {
            Ok(stream) => Box::new(stream),
            // Without random numbers no alert can be sent.
            Err(fault) => {
                let result = InboundResult::of_error(fault.into());
                self.port.decided(self.peer, result, None);
                return None;
            }
        };
        let result = {
            let handshake = pin!(self.handshake(&mut stream, &first));
            let limited = pin!(self.port.reactor.timeout_at(deadline, handshake));
            self.entry.unless_evicted(limited).await
        };
        match result {
            Some(Ok(Ok(()))) => {
                self.entry.record_handshake_done();
                Some(Authorized::Tls(stream))
            }
            Some(Ok(Err(error))) => {
                self.refuse(stream, error).await;
                None
            }
            Some(Err(Elapsed)) => {
                self.refuse_socket(stream.into_socket(), TlsFault::TimedOut.into())
            }
            None => self.evicted(stream.into_socket()),
        }
    }

    /// Runs the handshake. It needs a permit only after a few KiB, which nearly no peer sends.
    async fn handshake(
        &self,
        stream: &mut TlsServerStream,
        first: &[u8],
    ) -> Result<(), StreamError> {
        let on_wait = |wait| self.entry.record_handshake(wait);
        if !first.is_empty() {
            on_wait(HandshakeWait::Turn);
            self.port.reactor.wait_handshake_turn().await;
            stream.receive_first(first)?;
        }
        let short = limits::HANDSHAKE_BYTES_WITHOUT_PERMIT;
        if stream.handshake(short, &on_wait).await? == HandshakeEnd::Done {
            return Ok(());
        }
        let share = Share {
            peer: network_of(self.peer),
            amount: limits::INBOUND_HANDSHAKE_BYTES,
        };
        let permits = &self.port.tables.long_handshakes;
        let _permit = permits.acquire(share).await;
        loop {
            let slice_end = Instant::now() + limits::LONG_HANDSHAKE_TIME_SLICE;
            let handshake = pin!(stream.handshake(usize::MAX, &on_wait));
            match self.port.reactor.timeout_at(slice_end, handshake).await {
                Ok(result) => return result.map(|_| ()),
                Err(Elapsed) if permits.next_waiting().is_some() => {
                    return Err(TlsFault::TimedOut.into());
                }
                Err(Elapsed) => {}
            }
        }
    }

    /// Waits for the first bytes of a client of a permissive port. A client that sends none is plaintext: it waits for the
    /// app's bytes.
    async fn detect(
        &self,
        client: &Socket,
        server_first: bool,
        deadline: Instant,
    ) -> Option<Result<Beginning, StreamError>> {
        let deadline = match server_first {
            true => Instant::now() + limits::INBOUND_SERVER_FIRST_WAIT,
            false => deadline,
        };
        let mut first = Vec::new();
        let detected = {
            let detecting = pin!(async {
                loop {
                    let len = client.read_with(|bytes| {
                        first.extend_from_slice(bytes);
                        bytes.len()
                    });
                    let len = len.await?;
                    match (&first[..], len) {
                        ([0x16, 0x03, ..], _) => return Ok(true),
                        ([], 0) => return Err(TlsFault::ClosedEarly.into()),
                        ([0x16], 1..) => {}
                        _ => return Ok(false),
                    }
                }
            });
            let limited = pin!(self.port.reactor.timeout_at(deadline, detecting));
            self.entry.unless_evicted(limited).await?
        };
        Some(match detected {
            Ok(Ok(true)) => Ok(Beginning::Tls(first)),
            Ok(Ok(false)) | Err(Elapsed) => Ok(Beginning::Plaintext(first)),
            Ok(Err(error)) => Err(error),
        })
    }

    /// Closes a connection whose handshake failed, after its alert if there is one.
    async fn refuse(&self, stream: Box<TlsServerStream>, error: StreamError) {
        let result = InboundResult::of_error(error);
        let id = stream.take_refused();
        self.port.decided(self.peer, result, id.as_deref());
        let client = stream.into_socket();
        match error {
            StreamError::Io(_) | StreamError::Tls(TlsFault::NotTls) => client.reset(),
            StreamError::Tls(_) => self.port.linger(&client, &self.entry).await,
        }
    }

    /// Resets a connection that gets no alert.
    fn refuse_socket<T>(&self, client: Socket, error: StreamError) -> Option<T> {
        let result = InboundResult::of_error(error);
        self.port.decided(self.peer, result, None);
        client.reset();
        None
    }

    fn evicted<T>(&self, client: Socket) -> Option<T> {
        self.port.decided(self.peer, InboundResult::Evicted, None);
        client.reset();
        None
    }
}
