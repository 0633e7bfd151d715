//! Verifies a client's certificate: its chain, usage and validity, then whether its identity is allowed.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

use crate::net::tls::verify::considered_intermediates;
use crate::pem::uri_names;

/// Decides which identities may connect.
pub type AuthorizePeer = dyn Fn(&PeerNames<'_>) -> bool + Send + Sync;

/// The names in the certificate of a peer (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, Default)]
pub struct PeerNames<'a> {
    /// Those of type URI, such as SPIFFE IDs.
    pub uris: Vec<&'a str>,
    /// Those of type DNS.
    pub dns_names: Vec<&'a str>,
}

impl<'a> PeerNames<'a> {
    /// `None` if a name is malformed: webpki would skip it, and a second URI with it.
    fn of(der: &'a [u8], certificate: &'a EndEntityCert<'a>) -> Option<PeerNames<'a>> {
        Some(PeerNames {
            uris: uri_names(der)?,
            dns_names: certificate.valid_dns_names().collect(),
        })
    }

    /// The name in log lines: the first URI, else the first DNS name.
    fn first(&self) -> Option<&'a str> {
        self.uris.first().or(self.dns_names.first()).copied()
    }

    /// Whether all URIs are in the trust domain.
    fn are_in(&self, domain: &str) -> bool {
        self.uris.iter().all(|uri| {
            let rest = uri.strip_prefix("spiffe://");
            let rest = rest.and_then(|rest| rest.strip_prefix(domain));
            rest.is_some_and(|path| path.is_empty() || path.starts_with('/'))
        })
    }
}

/// A verifier of certificate chains, and the trust domain of the identities that its CAs may sign.
pub(super) struct ChainVerifier {
    pub(super) domain: Option<Box<str>>,
    pub(super) roots: Arc<RootCertStore>,
}

/// Verifies certificates of clients.
pub(super) struct ClientVerifier {
    /// One for each CA bundle; none while a file is not loaded yet.
    chains: Vec<ChainVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
    authorize: Arc<AuthorizePeer>,
    /// The identity that was refused last, for the log. There is one thread; it is locked because rustls requires `Sync`.
    refused: Mutex<Option<Box<str>>>,
}

impl ClientVerifier {
    pub(super) fn new(
        chains: Vec<ChainVerifier>,
        algorithms: WebPkiSupportedAlgorithms,
        authorize: Arc<AuthorizePeer>,
    ) -> ClientVerifier {
        ClientVerifier {
            chains,
            algorithms,
            authorize,
            refused: Mutex::default(),
        }
    }

    /// Removes and returns the identity that was refused last.
    pub(super) fn take_refused(&self) -> Option<Box<str>> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.take()
    }

    /// Whether one of the CAs signed the certificate, and its trust domain permits the names.
    fn verify_chain(
        &self,
        names: &PeerNames<'_>,
        end_entity: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut first_error = None;
        for ChainVerifier { domain, roots } in &self.chains {
            let usage = KeyUsage::client_auth();
            let (algorithms, anchors) = (self.algorithms.all, &roots.roots);
            let verified = end_entity.verify_for_usage(
                algorithms,
                anchors,
                intermediates,
                now,
                usage,
                None,
                None,
            );
            let error = match (verified, domain) {
                (Ok(_), Some(domain)) if !names.are_in(domain) => not_allowed(),
                (Ok(_), _) => return Ok(()),
                (Err(error), _) => rejected(&error),
            };
            // An unknown issuer says the least: another CA may be the right one.
            match &first_error {
                None | Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                    first_error = Some(error);
                }
                Some(_) => {}
            }
        }
        Err(first_error.unwrap_or_else(|| CertificateError::UnknownIssuer.into()))
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let certificate = EndEntityCert::try_from(end_entity);
        let certificate = certificate.map_err(|_| CertificateError::BadEncoding)?;
        let names = PeerNames::of(end_entity, &certificate);
        let names = names.ok_or(CertificateError::BadEncoding)?;
        let intermediates = considered_intermediates(intermediates);
        let mut result = self.verify_chain(&names, &certificate, intermediates, now);
        if result.is_ok() && !(self.authorize)(&names) {
            result = Err(not_allowed());
        }
        if result.is_err() {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            *refused = names.first().map(Into::into);
        }
        result
    }
}

/// The error whose alert explains why the chain is rejected, as in rustls (`webpki/mod.rs`: `pki_error`).
fn rejected(error: &webpki::Error) -> Error {
    let error = match *error {
        webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_) => {
            CertificateError::BadEncoding
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        webpki::Error::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }
        }
        webpki::Error::InvalidCertValidity => CertificateError::Expired,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        webpki::Error::UnsupportedSignatureAlgorithmContext(ref context) => {
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: context.signature_algorithm_id.clone(),
                supported_algorithms: context.supported_algorithms.clone(),
            }
        }
        webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(ref context) => {
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: context.signature_algorithm_id.clone(),
                public_key_algorithm_id: context.public_key_algorithm_id.clone(),
            }
        }
        _ => CertificateError::Other(OtherError(Arc::new(error.clone()))),
    };
    error.into()
}

/// rustls sends the alert `access_denied` for it.
fn not_allowed() -> Error {
    CertificateError::ApplicationVerificationFailure.into()
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientVerifier")
    }
}

impl ClientCertVerifier for ClientVerifier {
    /// None: a client that selects its certificate by them would send none while a CA is replaced, and the alert for a
    /// certificate explains more than that for none.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verify(end_entity, intermediates, now);
        verified.map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
