//! Establishes TLS on a TCP connection.

use core::pin::pin;
use std::time::{Duration, Instant};

use rustix::io;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::Tls;
use super::credentials::SharedClientConfig;
use super::stream::{HandshakeEnd, TlsStream};
use crate::limits;
use crate::net::deadline::Elapsed;
use crate::net::socket::Socket;
use crate::net::stream_error::{StreamError, TlsFault};
use crate::net::tls_options::{Curves, TlsConnectOptions};
use crate::pem::{UnixSeconds, validity};

impl Tls {
    /// Runs the TLS handshake on a TCP connection, which may still be connecting. Our last message of the handshake
    /// may be unsent afterwards; the first write sends it. `redial` connects again: a long handshake that delays others
    /// starts over.
    ///
    /// # Errors
    /// The kernel's, of the TCP connection too; a fault of TLS.
    pub async fn connect(
        &self,
        socket: Socket,
        redial: &impl AsyncFn() -> io::Result<Socket>,
        options: TlsConnectOptions<'_>,
    ) -> Result<Box<TlsStream>, StreamError> {
        let reactor = socket.reactor().clone();
        let handshake = pin!(self.handshake(socket, redial, options));
        match options.purpose.handshake_timeout() {
            Some(timeout) => {
                let deadline = Instant::now() + timeout;
                let result = reactor.timeout_at(deadline, handshake).await;
                result.map_err(|Elapsed| TlsFault::TimedOut)?
            }
            None => handshake.await,
        }
    }

    /// Receives a few KiB without a permit, which is enough for nearly all apps. So handshakes that hang early do not
    /// delay others.
    async fn handshake(
        &self,
        mut socket: Socket,
        redial: &impl AsyncFn() -> io::Result<Socket>,
        options: TlsConnectOptions<'_>,
    ) -> Result<Box<TlsStream>, StreamError> {
        let mut slice = limits::LONG_HANDSHAKE_TIME_SLICE;
        loop {
            let mut stream = self.new_stream(socket, options)?;
            let short = limits::HANDSHAKE_BYTES_WITHOUT_PERMIT;
            if stream.handshake(short).await? == HandshakeEnd::Done {
                return Ok(stream);
            }
            if let Some(stream) = self.finish_long(stream, &mut slice, options).await? {
                return Ok(stream);
            }
            socket = redial().await?;
        }
    }

    /// Runs the rest of a long handshake with a permit. Returns `None`, with the connection closed and its memory
    /// freed, if it takes longer than `slice` and another handshake waits for its permit. The slice grows if the app has sent
    /// something: two slow apps must not restart one another until their deadlines.
    async fn finish_long(
        &self,
        mut stream: Box<TlsStream>,
        slice: &mut Duration,
        options: TlsConnectOptions<'_>,
    ) -> Result<Option<Box<TlsStream>>, StreamError> {
        let permit = self.permits.acquire_for(options.port).await;
        let reactor = stream.reactor();
        loop {
            let received = stream.received_in_handshake();
            let slice_end = Instant::now() + *slice;
            let end = {
                let handshake = pin!(stream.handshake(usize::MAX));
                reactor.timeout_at(slice_end, handshake).await
            };
            match end {
                Ok(result) => {
                    result?;
                    break;
                }
                Err(Elapsed) if self.permits.has_waiter_for(options.port) => {
                    if stream.received_in_handshake() > received {
                        *slice *= 4;
                    }
                    return Ok(None);
                }
                Err(Elapsed) => {}
            }
        }
        if options.purpose.may_hold_permit() {
            stream.hold_permit_if_chain_is_long(permit);
        }
        Ok(Some(stream))
    }

    /// Polls the files, then returns the configuration that connections share.
    pub(super) fn shared_config(&self, curves: Curves) -> Result<SharedClientConfig, TlsFault> {
        let mut files = self.files.borrow_mut();
        let mut credentials = self.credentials.borrow_mut();
        credentials.poll_shared_config(&mut files, curves)
    }

    /// The last alert of an app (RFC 8446 section 6).
    pub fn last_alert(&self) -> Option<u8> {
        self.credentials.borrow().last_alert()
    }

    /// Reads changed files again.
    pub fn poll_files(&self) {
        self.files.borrow_mut().poll();
    }

    /// The end of the validity of each certificate in use, and the name of its file in metrics.
    pub fn not_after(&self) -> Vec<(&'static str, UnixSeconds)> {
        let files = self.files.borrow();
        let pairs = files.pairs.iter().filter_map(|pair| {
            let leaf = pair.contents.as_ref()?.cert.first()?;
            Some((pair.file.as_str(), validity(leaf)?.not_after))
        });
        pairs.collect()
    }

    fn new_stream(
        &self,
        socket: Socket,
        options: TlsConnectOptions<'_>,
    ) -> Result<Box<TlsStream>, StreamError> {
        let shared = self.shared_config(options.curves)?;
        let name = options.server_name;
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        // rustls sends no SNI for an address, and the verifiers ignore it.
        let no_name = ServerName::IpAddress(core::net::Ipv4Addr::UNSPECIFIED.into());
        let name = name.map_or(no_name, |name| name.to_owned());
        let protocols = options.purpose.alpn().iter();
        let protocols = protocols.map(|protocol| protocol.to_vec()).collect();
        // This fails only if the system has no random numbers or no memory.
        let connection = ClientConnection::new_with_alpn(shared.config, name, protocols)
            .map_err(|_| TlsFault::Internal)?;
        Ok(TlsStream::new(socket, connection, shared.client_auth))
    }
}
