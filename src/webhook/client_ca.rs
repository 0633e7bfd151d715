//! `--client-ca`: the CAs of the clients that may send reviews, and the file from which they are reloaded.

use super::poll_timer::PollTimer;
use crate::limits;
use crate::pem::{FailureFilter, FileError, FileRole, PemError, RootsFile};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::sync::Arc;
use std::time::Instant;

/// Verifies the certificates of clients.
pub type Verifier = Arc<dyn ClientCertVerifier>;

/// The CAs in use, and their file.
#[derive(Debug)]
pub struct ClientCa {
    path: Box<str>,
    file: RootsFile,
    poll_timer: PollTimer,
    failures: FailureFilter,
    verifier: Verifier,
}

/// The verifier that has accepted the certificate of a connection, if one has.
#[derive(Debug, Default)]
pub struct VerifiedBy(Option<Verifier>);

impl ClientCa {
    /// Reads the file.
    ///
    /// # Errors
    /// The error of the file.
    pub fn load(path: &str) -> Result<ClientCa, FileError> {
        let mut file = RootsFile::new(path);
        Ok(ClientCa {
            path: path.into(),
            verifier: read(&mut file, path)?,
            file,
            poll_timer: PollTimer::new(limits::PEM_POLL_INTERVAL),
            failures: FailureFilter::default(),
        })
    }

    /// The verifier of new connections.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Reads the file again if it changed. Polls at most once per [`limits::PEM_POLL_INTERVAL`], and returns a repeated
    /// failure only once. After a failure the previous CAs stay in use.
    pub fn reload(&mut self, now: Instant) -> Option<Result<(), FileError>> {
        if !self.poll_timer.try_start(now) || !self.file.poll_changed() {
            return None;
        }
        let read = read(&mut self.file, &self.path);
        let is_reported = self.failures.observe(&read);
        let result = read.map(|verifier| self.verifier = verifier);
        is_reported.then_some(result)
    }
}

/// The client may send no certificate, as kubelet's probes and Prometheus do. One that it sends must be valid. The CAs are
/// named in the handshake, so that a client with certificates of other CAs alone sends none (Go `crypto/tls`:
/// `CertificateRequestInfo.AcceptableCAs`).
fn read(file: &mut RootsFile, path: &str) -> Result<Verifier, FileError> {
    let roots = file.read()?;
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let built = builder.allow_unauthenticated().build();
    built.map_err(|_| FileError {
        role: FileRole::Ca,
        path: path.into(),
        error: PemError::NoCertificate,
    })
}

impl VerifiedBy {
    /// Whether `verifier` accepts this certificate chain of the connection, the client's own first. The handshake has
    /// proven the possession of its key. A connection remains accepted until the CAs change.
    pub fn accepts(&mut self, verifier: &Verifier, chain: Option<&[CertificateDer<'_>]>) -> bool {
        let same = |accepted: &Verifier| Arc::ptr_eq(accepted, verifier);
        if self.0.as_ref().is_some_and(same) {
            return true;
        }
        let Some((client, intermediates)) = chain.and_then(<[_]>::split_first) else {
            return false;
        };
        let verified = verifier.verify_client_cert(client, intermediates, UnixTime::now());
        if verified.is_ok() {
            self.0 = Some(verifier.clone());
        }
        verified.is_ok()
    }
}
