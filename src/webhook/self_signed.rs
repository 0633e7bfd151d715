//! A CA of our own, and the certificate it signs for the Service. Its key is thrown away when that is done: each
//! certificate has a CA of its own, and the API server is told of the new one before it meets it.

use super::serving_cert::ServingCert;
use super::validity::{Seconds, validity};
use crate::limits;
use crate::pem::{self, PairError};
use core::time::Duration;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;

/// What a Secret keeps, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The certificate.
    pub certificate: Box<str>,
    /// Its key.
    pub key: Box<str>,
    /// Its CA, and before that one's successor is known everywhere, the one before.
    pub ca: Box<str>,
}

impl Bundle {
    /// A new one for the Service's name, which goes on trusting what is still valid of an older CA.
    ///
    /// # Errors
    /// rcgen's: a name that is none, no random numbers.
    pub fn make(name: &str, older: Option<&str>, now: Seconds) -> Result<Bundle, Error> {
        let issuer = CertifiedIssuer::self_signed(ca(name, now), KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let mut params = params(CertificateParams::new([name.to_owned()])?, name, now);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &issuer)?;
        let older = older.and_then(|older| newest_valid(older, now));
        Ok(Bundle {
            certificate: certificate.pem().into(),
            key: key.serialize_pem().into(),
            ca: [issuer.pem(), older.unwrap_or_default()].concat().into(),
        })
    }

    /// What is shown to the API server.
    ///
    /// # Errors
    /// Which part cannot be used, and how.
    pub fn pair(&self) -> Result<ServingCert, PairError> {
        ServingCert::parse(self.certificate.as_bytes(), self.key.as_bytes())
    }

    /// Whether it can be used for a good while yet: whoever knows its CA trusts it for this name, and more than a
    /// third of its time is left.
    pub fn is_fresh(&self, name: &str, now: Seconds) -> bool {
        let now = now.max(limits::CLOCK_IS_SET_FROM);
        let Ok(chain) = pem::parse_certificates(self.certificate.as_bytes()) else {
            return false;
        };
        let Some((leaf, between)) = chain.split_first() else {
            return false;
        };
        let has_time =
            |[from, to]: [Seconds; 2]| to.saturating_sub(now) > to.saturating_sub(from) / 3;
        validity(leaf).is_some_and(has_time)
            && self.pair().is_ok()
            && self.is_trusted(leaf, between, name, now).is_some()
    }

    /// Secrets can be edited: with a CA that did not sign it, no pod would be injected for a year.
    fn is_trusted(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &str,
        now: Seconds,
    ) -> Option<()> {
        let roots = pem::parse_roots(self.ca.as_bytes()).ok()?;
        let leaf = ParsedCertificate::try_from(leaf).ok()?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let known = ring::default_provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, between, now, known.all).ok()?;
        let name = ServerName::try_from(name).ok()?;
        verify_server_name(&leaf, &name).ok()
    }
}

fn ca(name: &str, now: Seconds) -> CertificateParams {
    let name = format!("probelet CA {now} {name}");
    let mut params = params(CertificateParams::default(), &name, now);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(mut params: CertificateParams, name: &str, now: Seconds) -> CertificateParams {
    // A board whose clock was not set yet must not make what ends in 1971.
    let now = Duration::from_secs(now.max(limits::CLOCK_IS_SET_FROM));
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + (now - limits::CERTIFICATE_BACKDATE);
    params.not_after = epoch + (now + limits::CERTIFICATE_TIME);
    // At most 64 characters (RFC 5280 appendix A.1, `ub-common-name`).
    let name: String = name.chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// The first CA of a bundle, which is its newest, if it is still valid.
fn newest_valid(bundle: &str, now: Seconds) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let der = CertificateDer::from_pem_slice(bundle.as_bytes()).ok()?;
    let [_, to] = validity(&der)?;
    webpki::anchor_from_trusted_cert(&der).ok()?;
    let end = bundle.find(END)? + END.len();
    (to > now).then(|| [&bundle[..end], "\n"].concat())
}

#[cfg(test)]
mod tests;
