//! TLS handshakes of attackers: clients that verify nothing, so that they need less CPU time than the webhook.

use super::fixture::NAME;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct};
use rustls::{Error, NamedGroup, SignatureScheme};
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::task::Poll;

/// The configuration of a client that verifies nothing.
pub fn unverifying() -> Arc<ClientConfig> {
    config(default_provider())
}

/// The configuration of a client whose first ClientHello has a key share of P-521, which the webhook does not support, so
/// that it sends a HelloRetryRequest (RFC 8446 section 4.1.4).
pub fn unverifying_with_p521() -> Arc<ClientConfig> {
    let mut provider = default_provider();
    provider.kx_groups.insert(0, &P521);
    config(provider)
}

fn config(provider: CryptoProvider) -> Arc<ClientConfig> {
    let schemes = provider
        .signature_verification_algorithms
        .supported_schemes();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("cipher suites")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny(schemes)))
        .with_no_client_auth();
    config.into()
}

/// A client before its first message.
pub fn connection(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from(NAME).expect("a name");
    ClientConnection::new(config.clone(), name).expect("a client")
}

/// The bytes of a ClientHello.
pub fn client_hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut hello = Vec::new();
    connection(config).write_tls(&mut hello).expect("a hello");
    hello
}

/// Reads and discards what has arrived. Returns whether the connection has ended.
pub fn has_ended(tcp: &mut TcpStream) -> bool {
    tcp.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 4096];
    loop {
        match tcp.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// A handshake that never blocks.
pub struct Handshake {
    client: ClientConnection,
    tcp: TcpStream,
}

impl Handshake {
    /// A handshake over a connection.
    pub fn new(tcp: TcpStream, config: &Arc<ClientConfig>) -> Handshake {
        tcp.set_nonblocking(true).expect("a socket");
        Handshake {
            client: connection(config),
            tcp,
        }
    }

    /// Sends and receives what is possible without waiting.
    pub fn advance(&mut self) -> Poll<std::io::Result<()>> {
        match self.try_complete() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            completed => Poll::Ready(completed),
        }
    }

    fn try_complete(&mut self) -> std::io::Result<()> {
        loop {
            while self.client.wants_write() {
                self.client.write_tls(&mut self.tcp)?;
            }
            if !self.client.is_handshaking() {
                return Ok(());
            }
            if self.client.read_tls(&mut self.tcp)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let processed = self.client.process_new_packets();
            processed.map_err(std::io::Error::other)?;
        }
    }
}

/// P-521, of which the client never computes a shared secret.
#[derive(Debug)]
struct P521;

impl SupportedKxGroup for P521 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(P521KeyShare))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

struct P521KeyShare;

impl ActiveKeyExchange for P521KeyShare {
    fn complete(self: Box<Self>, _: &[u8]) -> Result<SharedSecret, Error> {
        Err(Error::General("the webhook supports P-521".into()))
    }

    /// Of the length of an uncompressed point (RFC 8446 section 4.2.8.2).
    fn pub_key(&self) -> &[u8] {
        &[4; 133]
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

/// Accepts every certificate and signature of these schemes.
#[derive(Debug)]
struct AcceptAny(Vec<SignatureScheme>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
