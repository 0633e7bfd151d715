//! Verifies the app's certificate: accepts any, as kubelet does, unless `--app-ca` is set.

use core::time::Duration;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use webpki::RawPublicKeyEntity;

use crate::limits;
use crate::pem::{Validity, is_trust_anchor, subject_public_key, uri_names, validity};

/// The schemes that Go's client offers, in its order (`crypto/tls/defaults.go`). *ring* cannot verify all of them, but
/// nothing is verified here, and an app that has no other scheme must not fail.
const EVERY_SCHEME: [SignatureScheme; 12] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PKCS1_SHA1,
    SignatureScheme::ECDSA_SHA1_Legacy,
];

/// The intermediates of a peer that are considered. webpki searches all paths through them, and a peer without a trusted
/// certificate can make dozens whose search takes seconds.
pub fn considered_intermediates<'a, 'b>(
    intermediates: &'a [CertificateDer<'b>],
) -> &'a [CertificateDer<'b>] {
    &intermediates[..intermediates.len().min(limits::INTERMEDIATES)]
}

/// Verifies nothing: certificates that are expired, for another name, X.509 v1 or RSA of 1024 bits all pass.
#[derive(Debug)]
pub(super) struct AcceptAny;

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        EVERY_SCHEME.to_vec()
    }
}

/// Requires a chain to one of these CAs, or a certificate that is one of them, and the URI if one is set. For the agent
/// names and addresses in the certificate are ignored: it connects to the pod's address, which few certificates have.
#[derive(Debug)]
pub(super) struct AppCaVerifier {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) id: Option<Box<str>>,
    pub(super) verifies_name: bool,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AppCaVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if is_trust_anchor(end_entity, &self.roots) {
            check_validity(end_entity, now)?;
        } else {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.roots,
                considered_intermediates(intermediates),
                now,
                self.algorithms.all,
            )?;
        }
        if self.verifies_name {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
        }
        match &self.id {
            Some(id) if !has_id(end_entity, id) => Err(CertificateError::NotValidForName.into()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(cert)?;
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateError::BadEncoding)?;
        // TLS 1.2's scheme does not name the curve, so it may have several algorithms.
        let mut schemes = self.algorithms.mapping.iter();
        let scheme = schemes.find(|(scheme, _)| *scheme == dss.scheme);
        let (_, algorithms) = scheme.ok_or(CertificateError::BadSignature)?;
        let is_valid = |algorithm: &&dyn SignatureVerificationAlgorithm| {
            let verified = key.verify_signature(*algorithm, message, dss.signature());
            verified.is_ok()
        };
        match algorithms.iter().any(is_valid) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(message, &public_key(cert)?, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The public key of the app's certificate, which may be of X.509 v1.
fn public_key(cert: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    subject_public_key(cert).ok_or_else(|| CertificateError::BadEncoding.into())
}

/// Checks the dates of a certificate that is a trust anchor. Its extensions do not matter, as its file names the
/// certificate itself.
fn check_validity(cert: &CertificateDer<'_>, time: UnixTime) -> Result<(), CertificateError> {
    let Validity {
        not_before,
        not_after,
    } = validity(cert).ok_or(CertificateError::BadEncoding)?;
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    if time.as_secs() < not_before {
        let not_before = at(not_before);
        return Err(CertificateError::NotValidYetContext { time, not_before });
    }
    if time.as_secs() > not_after {
        let not_after = at(not_after);
        return Err(CertificateError::ExpiredContext { time, not_after });
    }
    Ok(())
}

/// Whether this is the certificate's only URI: SPIFFE does not allow two (X509-SVID, section 2).
fn has_id(end_entity: &CertificateDer<'_>, id: &str) -> bool {
    uri_names(end_entity).is_some_and(|uris| uris == [id])
}
