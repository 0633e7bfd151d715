//! The current serving certificate, and the files from which it is reloaded.

use super::client_ca::Verifier;
use super::poll_timer::PollTimer;
use crate::limits;
use crate::pem::{FailureFilter, FileError, KeyPairError, KeyPairFiles, parse_key_pair};
use crate::pem::{UnixSeconds, validity};
use rustls::crypto::ring;
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A certificate, its chain, and its key.
#[derive(Clone, Debug)]
pub struct ServingCert {
    pair: Arc<CertifiedKey>,
    /// Its expiration time; `None` if its dates cannot be parsed.
    pub not_after: Option<UnixSeconds>,
}

/// The certificate for new connections. The lock is never contended; rustls requires `Sync`.
#[derive(Debug, Default)]
pub struct CurrentCert(Mutex<Option<ServingCert>>);

/// Reads certificate and key again after a change.
#[derive(Debug)]
pub struct CertWatcher {
    files: KeyPairFiles,
    poll_timer: PollTimer,
    failures: FailureFilter,
}

impl ServingCert {
    /// Parses both as PEM.
    ///
    /// # Errors
    /// The error of the certificate or of the key.
    pub fn parse(certificate: &[u8], key: &[u8]) -> Result<ServingCert, KeyPairError> {
        parse_key_pair(certificate, key, &ring::default_provider()).map(Self::new)
    }

    fn new(pair: Arc<CertifiedKey>) -> ServingCert {
        let validity = pair.cert.first().and_then(|leaf| validity(leaf));
        ServingCert {
            pair,
            not_after: validity.map(|validity| validity.not_after),
        }
    }
}

impl CurrentCert {
    /// Replaces the certificate. Returns whether there was none before.
    pub fn replace(&self, cert: ServingCert) -> bool {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        current.replace(cert).is_none()
    }

    /// The expiration time of the certificate; `None` if there is none, or its dates cannot be parsed.
    pub fn not_after(&self) -> Option<UnixSeconds> {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref()?.not_after
    }
}

impl ResolvesServerCert for CurrentCert {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(current.as_ref()?.pair.clone())
    }
}

impl CertWatcher {
    /// Reads both files.
    ///
    /// # Errors
    /// The error of the certificate or of the key.
    pub fn load(
        certificate_path: &str,
        key_path: &str,
    ) -> Result<(CertWatcher, ServingCert), FileError> {
        let mut files = KeyPairFiles::new(certificate_path, key_path);
        let pair = files.read(&ring::default_provider())?;
        let watcher = CertWatcher {
            files,
            poll_timer: PollTimer::new(limits::PEM_POLL_INTERVAL),
            failures: FailureFilter::default(),
        };
        Ok((watcher, ServingCert::new(pair)))
    }

    /// Reads the files again if they changed. Polls at most once per [`limits::PEM_POLL_INTERVAL`], and returns a
    /// repeated failure only once.
    pub fn reload(&mut self, now: Instant) -> Option<Result<ServingCert, FileError>> {
        if !self.poll_timer.try_start(now) || !self.files.poll_changed() {
            return None;
        }
        let read = self.files.read(&ring::default_provider());
        let is_reported = self.failures.observe(&read);
        is_reported.then(|| read.map(ServingCert::new))
    }
}

/// The TLS configuration of all connections. There is no session resumption: the API server reuses its connections,
/// and tickets would need memory for each. `clients` verifies the certificates of clients; none are requested without it.
///
/// # Errors
/// rustls' error if the provider had no cipher suite for a version.
pub fn server_config(
    current: Arc<CurrentCert>,
    clients: Option<Verifier>,
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients.unwrap_or_else(|| Arc::new(NoClientAuth)))
        .with_cert_resolver(current);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
