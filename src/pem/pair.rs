//! Files that are used together: a certificate with its key, and a bundle of CA certificates.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::error::{FileError, FileRole, PemError};
use super::file::{FileBytes, WatchedFile};
use super::parse::{parse_certificates, parse_key, parse_roots};
use crate::limits;

/// A certificate file and the file of its key.
#[derive(Debug)]
pub struct PairFiles {
    certificate: WatchedFile,
    key: WatchedFile,
}

/// A file of CA certificates.
#[derive(Debug)]
pub struct RootsFile(WatchedFile);

/// Which half of a pair is wrong, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairError {
    /// Certificate or key.
    pub role: FileRole,
    /// What is wrong with it.
    pub error: PemError,
}

impl PairFiles {
    /// Files that were not polled yet.
    pub fn new(certificate: &str, key: &str) -> PairFiles {
        PairFiles {
            certificate: WatchedFile::new(certificate),
            key: WatchedFile::new(key),
        }
    }

    /// Returns whether one of them changed since the last poll or read.
    pub fn poll_changed(&mut self) -> bool {
        // Both are polled: a change of the second must not wait for the next poll.
        self.certificate.poll_changed() | self.key.poll_changed()
    }

    /// Reads both and checks that they belong together.
    ///
    /// # Errors
    /// Which file is wrong, and why.
    #[inline(never)] // Runs in few pods, but its caller in all of them: see `.cargo/layout.ld`.
    pub fn read(&mut self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, FileError> {
        let pair = self.read_both(provider);
        pair.map_err(|PairError { role, error }| FileError {
            role,
            path: match role {
                FileRole::Key => self.key.path().into(),
                FileRole::Certificate | FileRole::Ca => self.certificate.path().into(),
            },
            error,
        })
    }

    fn read_both(&mut self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, PairError> {
        let chain = read(&mut self.certificate).and_then(|pem| parse_certificates(&pem));
        let chain = chain.map_err(certificate_error)?;
        let key = read(&mut self.key).and_then(|pem| parse_key(&pem));
        check_pair(chain, key.map_err(key_error)?, provider)
    }
}

impl RootsFile {
    /// A file that was not polled yet.
    pub fn new(path: &str) -> RootsFile {
        RootsFile(WatchedFile::new(path))
    }

    /// Returns whether it changed since the last poll or read.
    pub fn poll_changed(&mut self) -> bool {
        self.0.poll_changed()
    }

    /// Reads its certificates as trust anchors.
    ///
    /// # Errors
    /// What is wrong with the file.
    #[inline(never)] // As `PairFiles::read`.
    pub fn read(&mut self) -> Result<Arc<RootCertStore>, FileError> {
        let roots = read(&mut self.0).and_then(|pem| parse_roots(&pem));
        roots.map(Arc::new).map_err(|error| FileError {
            role: FileRole::Ca,
            path: self.0.path().into(),
            error,
        })
    }
}

/// A pair from memory.
///
/// # Errors
/// Which half is wrong, and why.
pub fn parse_pair(
    certificate: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, PairError> {
    let chain = parse_certificates(certificate).map_err(certificate_error)?;
    check_pair(chain, parse_key(key).map_err(key_error)?, provider)
}

fn check_pair(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, PairError> {
    let signing_key = provider.key_provider.load_private_key(key);
    let signing_key = signing_key.map_err(|_| key_error(PemError::UnsupportedKey))?;
    let pair = CertifiedKey::new(chain, signing_key);
    match pair.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(pair)),
        Err(Error::InconsistentKeys(_)) if has_later_leaf(&pair) => {
            Err(certificate_error(PemError::LeafNotFirst))
        }
        Err(Error::InconsistentKeys(_)) => Err(key_error(PemError::KeyMismatch)),
        Err(_) => Err(certificate_error(PemError::BadCertificate)),
    }
}

/// Whether the certificate of the key is in the chain, but not as the first one (RFC 8446 section 4.4.2: "The sender's
/// certificate MUST come in the first CertificateEntry in the list").
fn has_later_leaf(pair: &CertifiedKey) -> bool {
    let later = pair.cert.iter().skip(1);
    later
        .map(|certificate| CertifiedKey::new(vec![certificate.clone()], pair.key.clone()))
        .any(|candidate| candidate.keys_match().is_ok())
}

fn read(file: &mut WatchedFile) -> Result<FileBytes, PemError> {
    file.read(limits::PEM_BYTES).map_err(PemError::Read)
}

fn certificate_error(error: PemError) -> PairError {
    PairError {
        role: FileRole::Certificate,
        error,
    }
}

fn key_error(error: PemError) -> PairError {
    PairError {
        role: FileRole::Key,
        error,
    }
}
