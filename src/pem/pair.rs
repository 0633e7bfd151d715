//! Files that are used together: a certificate with its key, and a bundle of CA certificates.

use core::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::CertifiedKey;

use super::error::{FileError, FileRole, PemError};
use super::file::{FileBytes, WatchedFile};
use super::parse::{parse_certificates, parse_key, parse_roots};
use crate::limits;

/// A certificate file and the file of its key.
#[derive(Debug)]
pub struct KeyPairFiles {
    certificate: WatchedFile,
    key: WatchedFile,
}

/// A file of CA certificates.
#[derive(Debug)]
pub struct RootsFile(WatchedFile);

/// Why a certificate and a key cannot be used together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPairError {
    /// The error of the certificate.
    Certificate(PemError),
    /// The error of the key.
    Key(PemError),
}

impl fmt::Display for KeyPairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyPairError::Certificate(error) => write!(f, "the certificate {error}"),
            KeyPairError::Key(error) => write!(f, "the key {error}"),
        }
    }
}

impl core::error::Error for KeyPairError {}

impl KeyPairFiles {
    /// Files that were not polled yet.
    pub fn new(certificate: &str, key: &str) -> KeyPairFiles {
        KeyPairFiles {
            certificate: WatchedFile::new(certificate),
            key: WatchedFile::new(key),
        }
    }

    /// The paths of the certificate and of the key.
    pub fn paths(&self) -> (&str, &str) {
        (self.certificate.path(), self.key.path())
    }

    /// Returns whether one of them changed since the last poll or read.
    pub fn poll_changed(&mut self) -> bool {
        // Both are polled: a change of the second must not wait for the next poll.
        self.certificate.poll_changed() | self.key.poll_changed()
    }

    /// Reads both and checks that they belong together.
    ///
    /// # Errors
    /// The error of the certificate or of the key.
    #[inline(never)] // Runs in few pods, but its caller in all of them: see `.cargo/layout.ld`.
    pub fn read(&mut self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, FileError> {
        let pair = self.read_both(provider);
        pair.map_err(|error| match error {
            KeyPairError::Certificate(error) => FileError {
                role: FileRole::Certificate,
                path: self.certificate.path().into(),
                error,
            },
            KeyPairError::Key(error) => FileError {
                role: FileRole::Key,
                path: self.key.path().into(),
                error,
            },
        })
    }

    fn read_both(&mut self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, KeyPairError> {
        let chain = read(&mut self.certificate).and_then(|pem| parse_certificates(&pem));
        // Read also if the certificate is invalid: the next poll would find a key that was never read.
        let key = read(&mut self.key).and_then(|pem| parse_key(&pem));
        let chain = chain.map_err(KeyPairError::Certificate)?;
        check_key_pair(chain, key.map_err(KeyPairError::Key)?, provider)
    }
}

impl RootsFile {
    /// A file that was not polled yet.
    pub fn new(path: &str) -> RootsFile {
        RootsFile(WatchedFile::new(path))
    }

    /// Its path.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// Returns whether it changed since the last poll or read.
    pub fn poll_changed(&mut self) -> bool {
        self.0.poll_changed()
    }

    /// Reads its certificates as trust anchors.
    ///
    /// # Errors
    /// The error of the file.
    #[inline(never)] // As `KeyPairFiles::read`.
    pub fn read(&mut self) -> Result<Arc<RootCertStore>, FileError> {
        let roots = read(&mut self.0).and_then(|pem| parse_roots(&pem));
        roots.map(Arc::new).map_err(|error| FileError {
            role: FileRole::Ca,
            path: self.0.path().into(),
            error,
        })
    }
}

/// Parses a certificate chain and its key, and checks that they match.
///
/// # Errors
/// The error of the certificate or of the key.
pub fn parse_key_pair(
    certificate: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, KeyPairError> {
    let chain = parse_certificates(certificate).map_err(KeyPairError::Certificate)?;
    check_key_pair(chain, parse_key(key).map_err(KeyPairError::Key)?, provider)
}

fn check_key_pair(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, KeyPairError> {
    let bytes = chain.iter().map(|certificate| certificate.len()).sum();
    if bytes > limits::OWN_CHAIN_BYTES {
        return Err(KeyPairError::Certificate(PemError::ChainTooLong(bytes)));
    }
    let signing_key = provider.key_provider.load_private_key(key);
    let signing_key = signing_key.map_err(|_| KeyPairError::Key(PemError::UnsupportedKey))?;
    // A key that does not expose its public key is not compared.
    if let Some(public_key) = signing_key.public_key() {
        check_public_key(&chain, &public_key)?;
    }
    Ok(Arc::new(CertifiedKey::new(chain, signing_key)))
}

/// Checks that the first certificate has this key (RFC 8446 section 4.4.2: "The sender's certificate MUST come in the
/// first CertificateEntry in the list").
fn check_public_key(
    chain: &[CertificateDer<'_>],
    public_key: &SubjectPublicKeyInfoDer<'_>,
) -> Result<(), KeyPairError> {
    let mut keys = chain.iter().map(subject_public_key);
    let first = keys.next().flatten();
    let first = first.ok_or(KeyPairError::Certificate(PemError::BadCertificate))?;
    if first == *public_key {
        Ok(())
    } else if keys.flatten().any(|later| later == *public_key) {
        Err(KeyPairError::Certificate(PemError::LeafNotFirst))
    } else {
        Err(KeyPairError::Key(PemError::KeyMismatch))
    }
}

/// Whether a certificate has the name and the public key of one of these trust anchors (RFC 5280 section 6.1.1): it is in
/// their file. webpki builds paths for end entities only, so it rejects a CA that is shown as one, and X.509 v1.
pub fn is_trust_anchor(certificate: &CertificateDer<'_>, roots: &RootCertStore) -> bool {
    let anchor = webpki::anchor_from_trusted_cert(certificate);
    anchor.is_ok_and(|anchor| roots.roots.contains(&anchor))
}

/// The public key of a certificate. `None` if it cannot be parsed. Parsed as a trust anchor, because webpki parses other
/// certificates only if they are X.509 v3. `openssl x509 -req` without an extension file makes v1.
pub fn subject_public_key(
    certificate: &CertificateDer<'_>,
) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let anchor = webpki::anchor_from_trusted_cert(certificate).ok()?;
    Some(webpki::spki_for_anchor(&anchor))
}

fn read(file: &mut WatchedFile) -> Result<FileBytes, PemError> {
    file.read(limits::PEM_BYTES).map_err(PemError::Read)
}
