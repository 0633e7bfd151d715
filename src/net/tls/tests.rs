//! TLS with a server of rustls and with a plain socket, both on loopback, and files that change.

mod faults;
mod files;
mod streams;

use core::future::Future;
use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use smol::LocalExecutor;

use super::verify::AppCaVerifier;
use super::*;
use crate::limits;
use crate::net::{
    Curves, KeyPairPaths, Reactor, Socket, StreamError, TlsConnectOptions, TlsFault, TlsPurpose,
    run,
};

type Served = StreamOwned<ServerConnection, TcpStream>;

/// A CA, and a directory for its certificates.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
    pub(super) directory: std::path::PathBuf,
}

impl Ca {
    /// A CA with the default subject, which others have as well.
    fn new(name: &str) -> Ca {
        Ca::of(name, CertificateParams::default())
    }

    /// A CA with a subject of its own.
    pub(super) fn named(name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        Ca::of(name, params)
    }

    /// A CA that this one has signed.
    pub(super) fn intermediate(&self, name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        Ca::signed(name, params, Some(&self.issuer))
    }

    fn of(name: &str, params: CertificateParams) -> Ca {
        Ca::signed(name, params, None)
    }

    fn signed(
        name: &str,
        mut params: CertificateParams,
        issuer: Option<&Issuer<'static, KeyPair>>,
    ) -> Ca {
        let unique = format!("probelet-tls-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(unique);
        std::fs::create_dir(&directory).expect("a new directory");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, issuer),
            None => params.self_signed(&key),
        };
        let pem = certificate.expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Ca {
            issuer,
            pem,
            directory,
        }
    }

    /// A certificate for these URIs, and its key, as PEM.
    pub(super) fn pair(&self, uris: &[&str]) -> [String; 2] {
        self.pair_with(uris, |_| ())
    }

    /// The same, with parameters that `change` edits.
    pub(super) fn pair_with(
        &self,
        uris: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> [String; 2] {
        let mut params = CertificateParams::default();
        let uri = |uri: &&str| SanType::URI((*uri).try_into().expect("a URI"));
        params.subject_alt_names = uris.iter().map(uri).collect();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer);
        [
            certificate.expect("a certificate").pem(),
            key.serialize_pem(),
        ]
    }

    /// Replaces the file by a rename, as certificate tools do.
    pub(super) fn file(&self, name: &str, text: &str) -> Box<str> {
        let (path, aside) = (self.directory.join(name), self.directory.join("new"));
        std::fs::write(&aside, text).expect("a file");
        std::fs::rename(&aside, &path).expect("the same directory");
        path.to_str().expect("a plain path").into()
    }

    fn client(&self, pair: &[String; 2]) -> TlsOptions {
        TlsOptions {
            client: Some(KeyPairPaths {
                certificate: self.file("c.pem", &pair[0]),
                key: self.file("k.pem", &pair[1]),
            }),
            ..TlsOptions::default()
        }
    }

    fn server(&self, wants_client: bool, protocols: &[&str]) -> ServerConfig {
        let [certificate, key] = self.pair(&["spiffe://td/web"]);
        let builder =
            ServerConfig::builder_with_provider(Arc::new(provider::provider(Curves::Default)));
        let builder = builder.with_safe_default_protocol_versions().expect("both");
        let builder = match wants_client {
            true => {
                let mut roots = RootCertStore::empty();
                roots.add(der(&self.pem)).expect("a CA");
                let provider = Arc::new(provider::provider(Curves::Default));
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
            false => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let mut config = builder
            .with_single_cert(vec![der(&certificate)], key)
            .expect("a pair");
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(super) fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// Serves one TCP connection.
fn bare(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let addr = listener.local_addr().expect("its address");
    thread::spawn(move || {
        if let Ok((socket, _)) = listener.accept() {
            serve(socket);
        }
    });
    addr
}

/// Serves one TLS connection. Errors are checked at the client.
fn served(config: ServerConfig, serve: impl FnOnce(&mut Served) + Send + 'static) -> SocketAddr {
    bare(move |socket| {
        let connection = ServerConnection::new(Arc::new(config)).expect("a connection");
        serve(&mut StreamOwned::new(connection, socket));
    })
}

/// Reads a request to its blank line and responds with its length.
fn respond(stream: &mut Served) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    let length = request.len().to_string();
    let _ = stream.write_all(length.as_bytes());
}

/// The application protocol that was chosen, and the response.
type AppResponse = Result<(Option<Vec<u8>>, String), StreamError>;

fn request(tls: &Rc<Tls>, addr: SocketAddr, purpose: TlsPurpose, len: usize) -> AppResponse {
    let tls = tls.clone();
    run_client(move |reactor| async move { exchange(&reactor, &tls, addr, purpose, len).await })
}

/// Runs a client, which has to end before a deadline.
fn run_client<T: 'static, F: Future<Output = T> + 'static>(
    client: impl FnOnce(Rc<Reactor>) -> F + 'static,
) -> T {
    let reactor = Rc::new(Reactor::new(vec![0; limits::SCRATCH_BYTES].leak()).expect("epoll"));
    let main_reactor = reactor.clone();
    let main = async move {
        let client = pin!(client(main_reactor.clone()));
        let deadline = Instant::now() + Duration::from_secs(20);
        main_reactor.timeout_at(deadline, client).await
    };
    let result = run(&reactor, &LocalExecutor::new(), main).expect("epoll_wait");
    result.expect("the client ends before the deadline")
}

async fn exchange(
    reactor: &Rc<Reactor>,
    tls: &Tls,
    addr: SocketAddr,
    purpose: TlsPurpose,
    len: usize,
) -> AppResponse {
    let socket = Socket::start_connect(reactor, addr, None)?;
    let mut stream = tls.connect(socket, &never, options(purpose)).await?;
    let request = [vec![b'a'; len - 4], b"\r\n\r\n".to_vec()].concat();
    let fill = |buf: &mut [u8], sent: usize| {
        let rest = &request[sent..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        len
    };
    stream.write_with(fill).await?;
    let mut text = String::new();
    loop {
        let len = stream.read_with(|bytes| {
            text.push_str(core::str::from_utf8(bytes).expect("text"));
            bytes.len()
        });
        if len.await? == 0 {
            return Ok((stream.alpn().map(<[u8]>::to_vec), text));
        }
    }
}

/// A handshake starts over only if it is long and others wait.
async fn never() -> rustix::io::Result<Socket> {
    panic!("the handshake starts over");
}

fn options(purpose: TlsPurpose) -> TlsConnectOptions<'static> {
    TlsConnectOptions {
        port: 0,
        server_name: None,
        purpose,
        curves: Curves::Default,
    }
}

fn no_files() -> Rc<Tls> {
    Rc::new(Tls::load(TlsOptions::default()).expect("no files to read"))
}
