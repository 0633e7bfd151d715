//! The two ends of TLS that the bench plays by itself: the least that probes an app over TLS, blocking
//! and in few lines, with the cipher suites and groups of probelet; and an app that never finishes a
//! handshake.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite as suite, kx_group};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls::{DigitallySignedStruct, Error, SignatureScheme, StreamOwned};

/// Bytes at the end of the server's flight that an app which stalls keeps to itself.
const KEPT_BACK: usize = 16;

/// Probes `app` for each byte on standard input and writes a byte when done. The first byte
/// that it writes means that it is ready.
///
/// # Errors
/// A probe's; the end of the input.
pub fn direct(app: u16) -> io::Result<()> {
    let config = Arc::new(client().map_err(io::Error::other)?);
    let head = crate::client::head("/healthz", app);
    let (mut requests, mut done) = (io::stdin().lock(), io::stdout().lock());
    let mut byte = *b".";
    loop {
        done.write_all(&byte)?;
        done.flush()?;
        requests.read_exact(&mut byte)?;
        probe(&config, app, &head)?;
    }
}

fn probe(config: &Arc<ClientConfig>, app: u16, head: &str) -> io::Result<()> {
    let name = ServerName::from(Ipv4Addr::LOCALHOST);
    let connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, app))?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(head.as_bytes())?;
    let (mut answer, mut length) = ([0; 4096], 0);
    loop {
        match stream.read(&mut answer[length..])? {
            0 => break,
            count => length += count,
        }
    }
    match answer.starts_with(b"HTTP/1.1 200") {
        true => Ok(()),
        false => Err(io::Error::other("the app did not answer with 200")),
    }
}

/// The suites, groups and signature schemes of `net::tls`, in its order: the hello is as long and the app
/// chooses alike. Nothing is verified, no session is kept.
fn client() -> Result<ClientConfig, Error> {
    let provider = CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..ring::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What Go's client offers.
const SCHEMES: [SignatureScheme; 12] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PKCS1_SHA1,
    SignatureScheme::ECDSA_SHA1_Legacy,
];

/// Takes any certificate, as kubelet does.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
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
        SCHEMES.to_vec()
    }
}

/// Answers every hello with its own flight but for the last bytes, so that the client has made its keys
/// and waits.
///
/// # Errors
/// Of the certificate, or of the listener.
pub fn stall(listener: TcpListener) -> io::Result<()> {
    let identity =
        rcgen::generate_simple_self_signed(["localhost".to_string()]).map_err(io::Error::other)?;
    let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.der().clone()], key.into())
        .map_err(io::Error::other)?;
    let config = Arc::new(config);
    for stream in listener.incoming() {
        let (stream, config) = (stream?, config.clone());
        thread::spawn(move || half_a_handshake(stream, config));
    }
    Ok(())
}

fn half_a_handshake(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    while !connection.wants_write() {
        if connection.read_tls(&mut stream)? == 0 {
            return Ok(());
        }
        connection.process_new_packets().map_err(io::Error::other)?;
    }
    let mut flight = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut flight)?;
    }
    flight.truncate(flight.len().saturating_sub(KEPT_BACK));
    stream.write_all(&flight)?;
    // Until the client goes.
    while stream.read(&mut [0; 512])? > 0 {}
    Ok(())
}
