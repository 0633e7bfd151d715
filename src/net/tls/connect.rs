//! Establishes TLS on a TCP connection.

use core::pin::pin;
use std::time::Instant;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::Tls;
use super::stream::TlsStream;
use crate::net::deadline::Elapsed;
use crate::net::socket::Socket;
use crate::net::stream_error::{StreamError, TlsFault};
use crate::net::tls_options::TlsConnectOptions;

impl Tls {
    /// Runs the TLS handshake on a TCP connection, which may still be connecting. Our last message of the handshake
    /// may be unsent afterwards; the first write sends it.
    ///
    /// # Errors
    /// The kernel's, of the TCP connection too; a fault of TLS.
    pub async fn connect(
        &self,
        socket: Socket,
        options: TlsConnectOptions<'_>,
    ) -> Result<Box<TlsStream>, StreamError> {
        let permit = match self.permits.try_acquire(options.port) {
            Some(permit) => permit,
            // A connection that is refused does not need to wait for a permit.
            None => {
                socket.wait_connected().await?;
                self.permits.acquire(options.port).await
            }
        };
        let mut stream = self.new_stream(socket, options)?;
        match options.purpose.handshake_timeout() {
            Some(timeout) => {
                let reactor = stream.reactor();
                let deadline = Instant::now() + timeout;
                let handshake = reactor.timeout_at(deadline, pin!(stream.handshake())).await;
                handshake.map_err(|Elapsed| TlsFault::TimedOut)??;
            }
            None => stream.handshake().await?,
        }
        if options.purpose.may_hold_permit() {
            stream.hold_permit_if_chain_is_long(permit);
        }
        Ok(stream)
    }

    fn new_stream(
        &self,
        socket: Socket,
        options: TlsConnectOptions<'_>,
    ) -> Result<Box<TlsStream>, StreamError> {
        let shared = self
            .credentials
            .borrow_mut()
            .poll_shared_config(options.curves);
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
