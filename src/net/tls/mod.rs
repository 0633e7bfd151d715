//! TLS to the app, by rustls: the entry points. A build without TLS has `tls_absent` instead.
//!
//! The agent calls this file at start-up and after each probe, so it has no TLS code: that is in the modules below,
//! which are in the cold section (`.cargo/layout.ld`).

mod client_auth;
mod connect;
mod credentials;
mod fault;
mod files;
mod load;
mod permits;
mod provider;
mod records;
mod server;
mod stream;
mod verify;

pub use server::{
    AuthorizePeer, HandshakeEnd, HandshakeWait, PeerNames, Received, ServerSession,
    TLS_SERVER_BUFFER_BYTES, TlsAcceptor, TlsServerStream,
};
pub use stream::TlsStream;
#[cfg(feature = "inject-library")]
pub use verify::considered_intermediates;

use core::cell::RefCell;
use core::fmt;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;

use super::tls_options::{Curves, TlsOptions, TlsReload};
use crate::pem::FileError;
use credentials::Credentials;
use files::CertFiles;
use load::LoadedFiles;
use permits::{HandshakePermits, HandshakeShares};
use server::ServerIdentity;

/// Whether this build has TLS.
pub const IS_BUILT: bool = true;

/// TLS to the app: credentials and handshake permits.
pub struct Tls {
    /// Whether there may be files that are read.
    has_files: bool,
    files: RefCell<CertFiles>,
    credentials: RefCell<Credentials>,
    permits: Rc<HandshakePermits>,
    /// The identity of the server, if there is one.
    identity: Option<ServerIdentity>,
    /// The buffer of TLS records of all connections of clients.
    server_buffer: RefCell<Box<[u8]>>,
}

impl Tls {
    /// TLS without certificate files: nothing is verified, and no client certificate is sent.
    pub fn without_files() -> Tls {
        Tls::new(LoadedFiles::default(), false)
    }

    /// Reads the files, of which there may be none. One that cannot be used is read again later, unless files are
    /// required.
    ///
    /// # Errors
    /// The first file that cannot be used, if files are required.
    pub fn load(options: TlsOptions) -> Result<Tls, FileError> {
        Ok(Tls::new(LoadedFiles::load(&options)?, true))
    }

    fn new(loaded: LoadedFiles, has_files: bool) -> Tls {
        Tls {
            has_files,
            files: RefCell::new(loaded.files),
            credentials: RefCell::new(loaded.credentials),
            permits: HandshakePermits::new(HandshakeShares::default()),
            identity: loaded.identity,
            server_buffer: RefCell::default(),
        }
    }

    /// The configuration that a probe's connections share, without ALPN; for other clients that are compared with the
    /// agent. `None` while a file is missing.
    pub fn client_config(&self) -> Option<Arc<ClientConfig>> {
        Some(self.shared_config(Curves::Default).ok()?.config)
    }

    /// Number of connections given up while they waited for a handshake permit, since the last call.
    pub fn take_abandoned(&self) -> usize {
        self.permits.take_abandoned()
    }

    /// Whether there may be files that are read.
    pub fn has_files(&self) -> bool {
        self.has_files
    }

    /// Removes and returns the oldest result of reading files that is not logged yet.
    pub fn take_reload(&self) -> Option<TlsReload> {
        self.files.borrow_mut().reloads.pop_front()
    }
}

impl fmt::Debug for Tls {
    /// Prints no keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

#[cfg(test)]
mod tests;
