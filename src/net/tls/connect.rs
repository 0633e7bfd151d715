//! Makes a TLS connection of a TCP connection.

use core::pin::pin;
use std::time::Instant;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::Tls;
use super::stream::TlsStream;
use crate::limits;
use crate::net::deadline::Elapsed;
use crate::net::socket::Socket;
use crate::net::stream_error::{StreamError, TlsFault};
use crate::net::tls_options::{Alpn, TlsHello};

impl Tls {
    /// Runs the TLS handshake on a TCP connection, which may still be connecting. Our last message of the handshake
    /// may be unsent afterwards; the first write sends it.
    ///
    /// # Errors
    /// The kernel's, of the TCP connection too; what TLS finds wrong with the app's bytes.
    pub async fn connect(
        &self,
        socket: Socket,
        hello: TlsHello<'_>,
    ) -> Result<Box<TlsStream>, StreamError> {
        let permit = match self.permits.try_acquire(hello.port) {
            Some(permit) => permit,
            // A connection that is refused needs no place in the queue.
            None => {
                socket.connected().await?;
                self.permits.acquire(hello.port).await
            }
        };
        let mut stream = self.stream(socket, hello)?;
        match hello.alpn {
            Alpn::Http => {
                let reactor = stream.reactor();
                let deadline = Instant::now() + limits::TLS_HANDSHAKE_TIMEOUT;
                let handshake = reactor.before(deadline, pin!(stream.handshake())).await;
                handshake.map_err(|Elapsed| TlsFault::TimedOut)??;
            }
            // kubelet's clients for gRPC and for hooks have no such limit.
            Alpn::H2 | Alpn::Nothing => stream.handshake().await?,
        }
        // A hook may take minutes, and few of them run at once.
        if hello.alpn != Alpn::Nothing {
            stream.hold_permit_if_chain_is_long(permit);
        }
        Ok(stream)
    }

    fn stream(&self, socket: Socket, hello: TlsHello<'_>) -> Result<Box<TlsStream>, StreamError> {
        let shared = self.credentials.borrow_mut().shared(hello.curves);
        let name = hello.server_name;
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        // rustls sends no SNI for an address, and the verifiers ignore it.
        let no_name = ServerName::IpAddress(core::net::Ipv4Addr::UNSPECIFIED.into());
        let name = name.map_or(no_name, |name| name.to_owned());
        let protocols: &[&[u8]] = match hello.alpn {
            Alpn::Http => &[b"h2", b"http/1.1"],
            Alpn::H2 => &[b"h2"],
            Alpn::Nothing => &[],
        };
        let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // This fails only if the system has no random numbers or no memory.
        let connection = ClientConnection::new_with_alpn(shared.config, name, protocols)
            .map_err(|_| TlsFault::Broken)?;
        Ok(TlsStream::new(socket, connection, shared.client_auth))
    }
}
