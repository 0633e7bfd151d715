//! The self-signed certificate. Each certificate is signed by a new CA, whose private key is then discarded. The CA is
//! published before its certificate is served.

use super::ca_bundle;
use super::serving_cert::ServingCert;
use crate::limits;
use crate::pem::{self, KeyPairError};
use crate::pem::{UnixSeconds, Validity, validity};
use core::time::Duration;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;

/// The data of the Secret, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct CertBundle {
    /// The serving certificate.
    pub certificate: Box<str>,
    /// Its key.
    pub key: Box<str>,
    /// Its CA, followed by the previous CA: replicas serve the previous certificate until their next refresh.
    pub ca: Box<str>,
}

impl CertBundle {
    /// Generates a CA and a certificate for `dns_name`. The CA bundle includes the newest CA of `previous_ca` if it is
    /// still valid.
    ///
    /// # Errors
    /// rcgen's: an invalid name, or no random numbers.
    pub fn generate(
        dns_name: &str,
        previous_ca: Option<&str>,
        now: UnixSeconds,
    ) -> Result<CertBundle, Error> {
        let issuer = CertifiedIssuer::self_signed(ca_params(dns_name, now), KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let params = CertificateParams::new([dns_name.to_owned()])?;
        let mut params = with_validity_and_subject(params, dns_name, now);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &issuer)?;
        let previous_ca = previous_ca.and_then(|previous| ca_bundle::newest(previous, now));
        Ok(CertBundle {
            certificate: certificate.pem().into(),
            key: key.serialize_pem().into(),
            ca: [issuer.pem(), previous_ca.unwrap_or_default()]
                .concat()
                .into(),
        })
    }

    /// The certificate and its key, parsed.
    ///
    /// # Errors
    /// The error of the certificate or of the key.
    pub fn serving_cert(&self) -> Result<ServingCert, KeyPairError> {
        ServingCert::parse(self.certificate.as_bytes(), self.key.as_bytes())
    }

    /// Whether it needs no renewal: its CA verifies it for `dns_name`, and more than a third of its lifetime remains.
    pub fn is_fresh(&self, dns_name: &str, now: UnixSeconds) -> bool {
        let now = now.max(limits::CLOCK_IS_SET_FROM);
        let Ok(chain) = pem::parse_certificates(self.certificate.as_bytes()) else {
            return false;
        };
        let Some((leaf, intermediates)) = chain.split_first() else {
            return false;
        };
        let has_lifetime = |validity: Validity| {
            let lifetime = validity.not_after.saturating_sub(validity.not_before);
            validity.not_after.saturating_sub(now) > lifetime / 3
        };
        validity(leaf).is_some_and(has_lifetime)
            && self.serving_cert().is_ok()
            && self.verify(leaf, intermediates, dns_name, now).is_some()
    }

    /// Verifies the certificate as the API server does. The Secret may have been edited, and with a CA that did not sign
    /// the certificate no pod would be injected for a year.
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        dns_name: &str,
        now: UnixSeconds,
    ) -> Option<()> {
        let roots = pem::parse_roots(self.ca.as_bytes()).ok()?;
        let leaf = ParsedCertificate::try_from(leaf).ok()?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let algorithms = ring::default_provider()
            .signature_verification_algorithms
            .all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, intermediates, now, algorithms)
            .ok()?;
        let name = ServerName::try_from(dns_name).ok()?;
        verify_server_name(&leaf, &name).ok()
    }
}

fn ca_params(dns_name: &str, now: UnixSeconds) -> CertificateParams {
    let name = format!("probelet CA {now} {dns_name}");
    let mut params = with_validity_and_subject(CertificateParams::default(), &name, now);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn with_validity_and_subject(
    mut params: CertificateParams,
    name: &str,
    now: UnixSeconds,
) -> CertificateParams {
    // On a board whose clock is not set yet the certificate would expire in 1971.
    let now = Duration::from_secs(now.max(limits::CLOCK_IS_SET_FROM));
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + (now - limits::CERTIFICATE_BACKDATE);
    params.not_after = epoch + (now + limits::CERTIFICATE_VALIDITY);
    // At most 64 characters (RFC 5280 appendix A.1, `ub-common-name`).
    let name: String = name.chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

#[cfg(test)]
mod tests;
