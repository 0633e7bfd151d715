//! TLS peers of the bench: a minimal blocking client that probes an app with probelet's TLS configuration, and an app that
//! never finishes a handshake.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use probelet::net::TlsOptions;
use probelet::net::tls::Tls;
use rustls::crypto::ring;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

/// Bytes at the end of the server's flight that a stalling app does not send.
const KEPT_BACK: usize = 16;

/// Probes `app` for each byte on standard input and writes a byte after each probe. The first byte means that it is ready.
///
/// # Errors
/// The error of a probe, or the end of the input.
pub fn direct(app: u16) -> io::Result<()> {
    // The agent's configuration, so that the ClientHello has the same length and the app chooses the same suite.
    let tls =
        Tls::load(TlsOptions::default()).map_err(|error| io::Error::other(format!("{error:?}")))?;
    let config = tls.client_config().expect("no files");
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
    let protocols = ["h2", "http/1.1"].map(|name| name.as_bytes().to_vec());
    let connection = ClientConnection::new_with_alpn(config.clone(), name, protocols.to_vec());
    let connection = connection.map_err(io::Error::other)?;
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

/// Responds to every ClientHello with its flight except for the last bytes, so that the client has computed its keys and
/// waits.
///
/// # Errors
/// Those of the certificate and of the listener.
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
    // Until the client closes.
    while stream.read(&mut [0; 512])? > 0 {}
    Ok(())
}
