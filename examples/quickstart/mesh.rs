//! The mesh: a proxy on 127.0.0.2:8001, which requires a client certificate and forwards requests to the app in plaintext;
//! and another service of the mesh, which has a certificate.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{app, kubelet};

/// The pod's address and the app's port, as other pods see them.
pub const POD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
pub const MTLS: SocketAddr = SocketAddr::new(POD, 8001);

/// Starts the proxy. Returns a GET with a certificate that it trusts.
pub fn start() -> Result<impl Fn(&str) -> kubelet::Answer, String> {
    let (server, client) = identities().map_err(|error| format!("certificates: {error}"))?;
    let listener = app::bind(MTLS, "the mesh's proxy")?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            terminate(stream, server.clone());
        }
    });
    Ok(move |path: &str| {
        let tls = ClientConnection::new(client.clone(), POD.into()).map_err(|e| e.to_string())?;
        let stream = TcpStream::connect(MTLS).map(|stream| StreamOwned::new(tls, stream));
        kubelet::answer(stream.and_then(|stream| kubelet::exchange(stream, MTLS, path)))
    })
}

/// Serves one connection. Without a certificate the handshake fails on the first read.
fn terminate(stream: TcpStream, config: Arc<ServerConfig>) -> Option<()> {
    let tls = ServerConnection::new(config).ok()?;
    let mut outside = StreamOwned::new(tls, stream);
    let path = app::read_path(&mut outside)?;
    let inside = TcpStream::connect(app::REGULAR).ok()?;
    let raw = kubelet::exchange(inside, app::REGULAR, &path).ok()?;
    outside.write_all(&raw).ok()?;
    outside.conn.send_close_notify();
    outside.flush().ok()
}

/// The configurations of both sides. The mesh trusts a single self-signed certificate, which both present.
fn identities() -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), Box<dyn std::error::Error>> {
    let identity = rcgen::generate_simple_self_signed([POD.to_string()])?;
    let certificate = identity.cert.der();
    let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let verifier = WebPkiClientVerifier::builder(roots.clone().into()).build()?;
    let server = ServerConfig::builder().with_client_cert_verifier(verifier);
    let server = server.with_single_cert(vec![certificate.clone()], key.clone_key().into())?;
    let client = ClientConfig::builder().with_root_certificates(roots);
    let client = client.with_client_auth_cert(vec![certificate.clone()], key.into())?;
    Ok((server.into(), client.into()))
}
