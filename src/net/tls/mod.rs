//! TLS to the app, by rustls: what connections share, and how one is made.

mod client_auth;
mod fault;
mod permits;
mod provider;
mod records;
mod stream;
mod verify;

pub use stream::TlsStream;

use core::cell::RefCell;
use core::fmt;
use core::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::deadline::Elapsed;
use super::socket::Socket;
use super::stream_error::{StreamError, TlsFault};
use super::tls_options::{Alpn, Curves, TlsFiles, TlsReload};
use crate::limits;
use crate::pem::{FailureFilter, FileError, FileRole, PairFiles, RootsFile};
use client_auth::ClientAuth;
use permits::{HandshakePermits, permits};
use verify::{Anyone, AppCa};

/// Whether this build has TLS.
pub const IS_BUILT: bool = true;

/// TLS to the app: what is shown to it, what is asked of it, and turns at the handshake.
pub struct Tls {
    material: RefCell<Material>,
    permits: Rc<HandshakePermits>,
}

/// What the files had in them, and what was made of that.
struct Material {
    pair_files: Option<PairFiles>,
    pair: Option<Arc<CertifiedKey>>,
    roots_file: Option<RootsFile>,
    roots: Option<Arc<RootCertStore>>,
    id: Option<Box<str>>,
    /// Made when it is first needed: a pod that probes no TLS has no memory for it.
    shared: Option<Shared>,
    /// Not before this are the files looked at again.
    look_at: Instant,
    reloads: Vec<TlsReload>,
    pair_failures: FailureFilter,
    roots_failures: FailureFilter,
}

/// What connections share.
#[derive(Clone)]
struct Shared {
    config: Arc<ClientConfig>,
    client_auth: Arc<ClientAuth>,
}

impl Tls {
    /// Reads the files, of which there may be none.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(files: TlsFiles) -> Result<Tls, FileError> {
        let mut material = Material {
            pair_files: files
                .client
                .map(|[certificate, key]| PairFiles::new(&certificate, &key)),
            pair: None,
            roots_file: files.app_ca.map(|ca| RootsFile::new(&ca)),
            roots: None,
            id: files.app_id,
            shared: None,
            look_at: Instant::now(),
            reloads: Vec::new(),
            pair_failures: FailureFilter::default(),
            roots_failures: FailureFilter::default(),
        };
        material.read_pair()?;
        material.read_roots()?;
        Ok(Tls {
            material: RefCell::new(material),
            permits: permits(limits::HANDSHAKES),
        })
    }

    /// Makes a TLS connection of a TCP connection to the app's `port` that stands, or is about to. `name` is
    /// what SNI says, if anything, `curves` what is named in the first message. Our last words of the handshake
    /// may still have to go out: they go with the first write.
    ///
    /// # Errors
    /// The kernel's, of the TCP connection too; what TLS made of the app's bytes.
    pub async fn connect(
        &self,
        (socket, port): (Socket, u16),
        name: Option<&str>,
        alpn: Alpn,
        curves: Curves,
    ) -> Result<Box<TlsStream>, StreamError> {
        let permit = match self.permits.try_acquire(port) {
            Some(permit) => permit,
            // A connection that is refused needs no place in the queue.
            None => {
                socket.connected().await?;
                self.permits.acquire(port).await
            }
        };
        let mut stream = self.stream(socket, name, alpn, curves)?;
        match alpn {
            Alpn::Http => {
                let reactor = stream.reactor();
                let late = Instant::now() + limits::TLS_HANDSHAKE_TIME;
                let made = reactor.before(late, pin!(stream.handshake())).await;
                made.map_err(|Elapsed| TlsFault::TimedOut)??;
            }
            // Neither has such a limit.
            Alpn::H2 | Alpn::Nothing => stream.handshake().await?,
        }
        // A hook may take minutes, and there are few of them at once.
        if alpn != Alpn::Nothing {
            stream.keep_if_heavy(permit);
        }
        Ok(stream)
    }

    fn stream(
        &self,
        socket: Socket,
        name: Option<&str>,
        alpn: Alpn,
        curves: Curves,
    ) -> Result<Box<TlsStream>, StreamError> {
        let shared = self.material.borrow_mut().shared(curves);
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        // An address: it is not sent, and nothing is verified by it.
        let nobody = ServerName::IpAddress(core::net::Ipv4Addr::UNSPECIFIED.into());
        let name = name.map_or(nobody, |name| name.to_owned());
        let protocols: &[&[u8]] = match alpn {
            Alpn::Http => &[b"h2", b"http/1.1"],
            Alpn::H2 => &[b"h2"],
            Alpn::Nothing => &[],
        };
        let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // Only for want of random numbers, or of memory, could this fail.
        let connection = ClientConnection::new_with_alpn(shared.config, name, protocols)
            .map_err(|_| TlsFault::Broken)?;
        Ok(TlsStream::new(socket, connection, shared.client_auth))
    }

    /// Number of connections given up before they had a handshake permit, since the last call.
    pub fn take_abandoned(&self) -> usize {
        self.permits.take_abandoned()
    }

    /// Takes one result of reading changed files again.
    pub fn take_reload(&self) -> Option<TlsReload> {
        self.material.borrow_mut().reloads.pop()
    }
}

impl Material {
    fn read_pair(&mut self) -> Result<(), FileError> {
        if let Some(files) = &mut self.pair_files {
            self.pair = Some(files.read(&provider::provider(Curves::Usable))?);
        }
        Ok(())
    }

    fn read_roots(&mut self) -> Result<(), FileError> {
        if let Some(file) = &mut self.roots_file {
            self.roots = Some(file.read()?);
        }
        Ok(())
    }

    /// What connections share, by the files as they are now.
    fn shared(&mut self, curves: Curves) -> Shared {
        self.look();
        match (curves, &self.shared) {
            (Curves::Usable, Some(shared)) => shared.clone(),
            (Curves::Usable, None) => self.shared.insert(self.make(curves)).clone(),
            // Hardly any app needs it, so nothing is kept for it.
            (Curves::AndP521, _) => self.make(curves),
        }
    }

    fn make(&self, curves: Curves) -> Shared {
        let client_auth = Arc::new(ClientAuth::new(self.pair.clone()));
        let config = match &self.roots {
            Some(roots) => {
                let verifier = AppCa {
                    roots: roots.clone(),
                    id: self.id.clone(),
                    algorithms: provider::provider(curves).signature_verification_algorithms,
                };
                provider::client_config(Arc::new(verifier), client_auth.clone(), curves)
            }
            None => provider::client_config(Arc::new(Anyone), client_auth.clone(), curves),
        };
        Shared {
            config: Arc::new(config),
            client_auth,
        }
    }

    /// Reads again what has changed; what is broken then does not replace what is there.
    fn look(&mut self) {
        if self.pair_files.is_none() && self.roots_file.is_none() {
            return;
        }
        let now = Instant::now();
        if now < self.look_at {
            return;
        }
        self.look_at = now + limits::PEM_LOOK;
        if self
            .pair_files
            .as_mut()
            .is_some_and(PairFiles::poll_changed)
        {
            self.reload_pair();
        }
        if self
            .roots_file
            .as_mut()
            .is_some_and(RootsFile::poll_changed)
        {
            self.reload_roots();
        }
    }

    fn reload_pair(&mut self) {
        let read = self.read_pair();
        let is_reported = self.pair_failures.observe(&read);
        self.record(FileRole::Certificate, read, is_reported);
    }

    fn reload_roots(&mut self) {
        let read = self.read_roots();
        let is_reported = self.roots_failures.observe(&read);
        self.record(FileRole::Ca, read, is_reported);
    }

    fn record(&mut self, role: FileRole, read: Result<(), FileError>, is_reported: bool) {
        if read.is_ok() {
            self.shared = None;
        }
        if is_reported {
            self.reloads.push(match read {
                Ok(()) => TlsReload::Renewed(role),
                Err(error) => TlsReload::Failed(error),
            });
        }
    }
}

impl fmt::Debug for Tls {
    /// Keys are nothing to print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

#[cfg(test)]
mod tests;
