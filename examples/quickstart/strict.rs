//! A second app, which itself requires client certificates on 127.0.0.1:8443, without a proxy. The client's certificate is
//! in PEM files in a temporary folder.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::app;
use crate::files::Files;

/// The app's address.
const STRICT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);

/// Starts the app. Returns the folder with `client.pem` and `client.key` of the only client that it trusts.
pub fn start() -> Result<Files, String> {
    let files = Files::new("strict").map_err(|error| format!("files: {error}"))?;
    let config = configure(&files).map_err(|error| format!("certificates: {error}"))?;
    let listener = app::bind(STRICT, "the strict app")?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, config.clone());
        }
    });
    Ok(files)
}

/// Serves one connection. Without the certificate the handshake fails on the first read.
fn answer(stream: TcpStream, config: Arc<ServerConfig>) -> Option<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    app::read_path(&mut stream)?;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell";
    stream.write_all(answer).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

fn configure(files: &Files) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error>> {
    let [own, client] =
        ["app", "client"].map(|name| rcgen::generate_simple_self_signed([name.to_string()]));
    let (own, client) = (own?, client?);
    files.write("client.pem", client.cert.pem())?;
    files.write("client.key", client.signing_key.serialize_pem())?;
    let mut trusted = RootCertStore::empty();
    trusted.add(client.cert.der().clone())?;
    let verifier = WebPkiClientVerifier::builder(trusted.into()).build()?;
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own.cert.der().clone()], key.into())?;
    Ok(config.into())
}
