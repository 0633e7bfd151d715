//! The rustls configuration of a listener, made of the identity's files and made again when they change.

use core::cell::RefCell;
use core::fmt;
use std::rc::Rc;
use std::sync::Arc;

use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, UnbufferedServerConnection,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use super::session::ServerSession;
use super::stream::TlsServerStream;
use super::verify::{AuthorizePeer, ChainVerifier, ClientVerifier};
use super::{Bundle, ServerIdentity};
use crate::net::socket::Socket;
use crate::net::stream_error::TlsFault;
use crate::net::tls::files::CertFiles;
use crate::net::tls::{Tls, provider};
use crate::net::tls_options::Curves;

/// Accepts the TLS connections of one listener.
pub struct TlsAcceptor {
    tls: Rc<Tls>,
    /// The application protocols, the preferred one first. Without any, ALPN is ignored.
    alpn: Vec<Vec<u8>>,
    authorize: Arc<AuthorizePeer>,
    shared: RefCell<Option<SharedServerConfig>>,
}

/// The configuration that connections share.
#[derive(Clone)]
struct SharedServerConfig {
    config: Arc<ServerConfig>,
    verifier: Arc<ClientVerifier>,
    /// Whether a file was not loaded yet: all handshakes fail.
    is_incomplete: bool,
    /// The version of the files.
    version: u32,
}

/// Our certificate. Without one rustls sends the alert `access_denied`.
struct ServerCert(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for ServerCert {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

impl fmt::Debug for ServerCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCert")
    }
}

impl TlsAcceptor {
    /// An acceptor with the identity of `tls`. `authorize` decides which peers may connect.
    pub fn new(
        tls: Rc<Tls>,
        alpn: impl Iterator<Item = Vec<u8>>,
        authorize: Arc<AuthorizePeer>,
    ) -> TlsAcceptor {
        TlsAcceptor {
            tls,
            alpn: alpn.collect(),
            authorize,
            shared: RefCell::default(),
        }
    }

    /// The files of the identity.
    #[cfg(test)]
    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Starts TLS on an accepted connection. Nothing is received yet.
    ///
    /// # Errors
    /// [`TlsFault::Internal`] if there is no identity.
    pub fn accept(&self, socket: Socket) -> Result<TlsServerStream, TlsFault> {
        Ok(TlsServerStream::new(
            self.tls.clone(),
            socket,
            self.session()?,
        ))
    }

    /// The TLS state of a new connection.
    pub fn session(&self) -> Result<ServerSession, TlsFault> {
        let shared = self.poll_shared_config().ok_or(TlsFault::Internal)?;
        let connection = UnbufferedServerConnection::new(shared.config);
        Ok(ServerSession::new(
            connection.map_err(|_| TlsFault::Internal)?,
            shared.verifier,
            shared.is_incomplete,
        ))
    }

    /// Polls the files, then returns the configuration made of them. `None` if there is no identity.
    fn poll_shared_config(&self) -> Option<SharedServerConfig> {
        let identity = self.tls.identity.as_ref()?;
        let mut files = self.tls.files.borrow_mut();
        files.poll();
        let mut shared = self.shared.borrow_mut();
        match &*shared {
            Some(shared) if shared.version == files.version() => Some(shared.clone()),
            _ => Some(shared.insert(self.build_config(identity, &files)).clone()),
        }
    }

    fn build_config(&self, identity: &ServerIdentity, files: &CertFiles) -> SharedServerConfig {
        let provider = Arc::new(provider::provider(Curves::Default));
        let contents = identity.contents(files);
        let is_incomplete = contents.is_none();
        let (pair, bundles) = contents.unzip();
        let chain_verifier = |(bundle, roots): (&Bundle, Arc<RootCertStore>)| ChainVerifier {
            domain: bundle.domain.clone(),
            roots,
        };
        let bundles = bundles.unwrap_or_default().into_iter();
        let verifier = Arc::new(ClientVerifier::new(
            identity
                .bundles
                .iter()
                .zip(bundles)
                .map(chain_verifier)
                .collect(),
            provider.signature_verification_algorithms,
            self.authorize.clone(),
        ));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the suites include TLS 1.2 and 1.3")
            .with_client_cert_verifier(verifier.clone())
            .with_cert_resolver(Arc::new(ServerCert(pair)));
        config.alpn_protocols = self.alpn.clone();
        // Each connection is authorized: nothing is resumed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // Like Go's server: AES only if the client prefers it and this CPU has instructions for it.
        config.ignore_client_order = !provider::has_aes_instructions();
        SharedServerConfig {
            config: Arc::new(config),
            verifier,
            is_incomplete,
            version: files.version(),
        }
    }
}

impl ServerIdentity {
    /// The contents of all files; `None` while one has not been read yet.
    fn contents(&self, files: &CertFiles) -> Option<(Arc<CertifiedKey>, Vec<Arc<RootCertStore>>)> {
        let pair = files.pair(self.pair)?.clone();
        let bundles = self.bundles.iter();
        let bundles = bundles.map(|bundle| files.bundle(bundle.id).cloned());
        Some((pair, bundles.collect::<Option<_>>()?))
    }
}
