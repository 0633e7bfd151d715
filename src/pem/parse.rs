//! Sections of a PEM file as rustls' types.

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as SectionError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::PemError;

/// All certificates, in the order of the file.
///
/// # Errors
/// A malformed section; no certificate.
pub fn parse_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    reject_byte_order_mark(pem)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Err(_) => Err(PemError::NotPem),
        Ok(none) if none.is_empty() => Err(PemError::NoCertificate),
        Ok(certificates) => Ok(certificates),
    }
}

/// The first private key.
///
/// # Errors
/// A malformed section; no key; an encrypted one.
pub(super) fn parse_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    reject_byte_order_mark(pem)?;
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        // `BEGIN ENCRYPTED PRIVATE KEY`, and OpenSSL's older `Proc-Type: 4,ENCRYPTED`.
        let is_encrypted = memchr::memmem::find(pem, b"ENCRYPTED").is_some();
        match error {
            _ if is_encrypted => PemError::EncryptedKey,
            SectionError::NoItemsFound => PemError::NoKey,
            _ => PemError::NotPem,
        }
    })
}

/// All certificates as trust anchors.
///
/// # Errors
/// A malformed section or certificate; no certificate.
pub fn parse_roots(pem: &[u8]) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    for certificate in parse_certificates(pem)? {
        let added = roots.add(certificate);
        added.map_err(|_| PemError::BadCertificate)?;
    }
    Ok(roots)
}

/// Parses the certificates as trust anchors and skips those that cannot be parsed: the cluster's CA bundle may contain
/// others.
///
/// # Errors
/// No certificate that can be parsed.
pub fn parse_valid_roots(pem: &[u8]) -> Result<RootCertStore, PemError> {
    reject_byte_order_mark(pem)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
    match roots.is_empty() {
        true => Err(PemError::NoCertificate),
        false => Ok(roots),
    }
}

/// A line of PEM is a boundary only if it starts with the dashes. After a byte order mark the parser would skip
/// the first section without an error.
fn reject_byte_order_mark(pem: &[u8]) -> Result<(), PemError> {
    match pem.starts_with(b"\xef\xbb\xbf-----BEGIN") {
        true => Err(PemError::ByteOrderMark),
        false => Ok(()),
    }
}
