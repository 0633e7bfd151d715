//! When a self-signed certificate is valid, trusted and fresh.

use super::CertBundle;
use crate::limits::{CERTIFICATE_VALIDITY, CLOCK_IS_SET_FROM};
use crate::pem::validity;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{RootCertStore, client};
use std::time::Duration;

const NAME: &str = "probelet-injector.probelet.svc";
const NOW: u64 = CLOCK_IS_SET_FROM + 1000;

fn generate(previous_ca: Option<&str>, now: u64) -> CertBundle {
    CertBundle::generate(NAME, previous_ca, now).expect("a bundle")
}

/// Whether a client that has these CAs accepts the certificate for this name.
fn is_trusted(bundle: &CertBundle, cas: &str, name: &'static str, at: u64) -> bool {
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(cas.as_bytes()) {
        roots.add(ca.expect("PEM")).expect("a CA");
    }
    let der = CertificateDer::from_pem_slice(bundle.certificate.as_bytes()).expect("PEM");
    let parsed = ParsedCertificate::try_from(&der).expect("a certificate");
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let name = ServerName::try_from(name).expect("a name");
    client::verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], at, algorithms.all)
        .and_then(|()| client::verify_server_name(&parsed, &name))
        .is_ok()
}

#[test]
fn a_certificate_is_valid_for_a_year_by_its_own_ca_alone() {
    let bundle = generate(None, NOW);
    assert!(bundle.serving_cert().is_ok());
    let end = NOW + CERTIFICATE_VALIDITY.as_secs();
    for (at, trusted) in [
        (NOW - 3600, true),
        (NOW, true),
        (end - 1, true),
        (end + 1, false),
    ] {
        assert_eq!(is_trusted(&bundle, &bundle.ca, NAME, at), trusted, "{at}");
    }
    assert!(!is_trusted(&bundle, &bundle.ca, "other.probelet.svc", NOW));
    assert!(!is_trusted(&bundle, &generate(None, NOW).ca, NAME, NOW));
}

#[test]
fn a_certificate_is_fresh_for_two_thirds_of_its_lifetime() {
    let bundle = generate(None, NOW);
    let time = CERTIFICATE_VALIDITY.as_secs();
    assert!(bundle.is_fresh(NAME, NOW));
    assert!(bundle.is_fresh(NAME, NOW + time / 2));
    assert!(!bundle.is_fresh(NAME, NOW + time * 7 / 10));
    assert!(!bundle.is_fresh("other.probelet.svc", NOW));
    let other = generate(None, NOW);
    let broken = CertBundle {
        key: other.key,
        ..bundle.clone()
    };
    assert!(!broken.is_fresh(NAME, NOW));
    for ca in [
        &*other.ca,
        "nothing",
        &[&bundle.ca, "-----BEGIN CERTIFICATE-----"].concat(),
    ] {
        let strange = CertBundle {
            ca: ca.into(),
            ..bundle.clone()
        };
        assert!(!strange.is_fresh(NAME, NOW), "{ca}");
    }
}

#[test]
fn a_certificate_from_a_clock_in_the_future_is_not_fresh() {
    let years = 5 * CERTIFICATE_VALIDITY.as_secs();
    assert!(!generate(None, NOW + years).is_fresh(NAME, NOW));
    // On a board that was just switched on it is the clock that is wrong.
    assert!(generate(None, NOW).is_fresh(NAME, 3600));
    assert!(generate(None, 3600).is_fresh(NAME, NOW));
}

#[test]
fn a_certificate_is_fresh_only_with_the_ca_that_signed_it() {
    let (bundle, other) = (generate(None, NOW), generate(None, NOW));
    let with = |ca: &str| CertBundle {
        ca: ca.into(),
        ..bundle.clone()
    };
    assert!(with(&[&*other.ca, &*bundle.ca].concat()).is_fresh(NAME, NOW));
    let half = &bundle.ca[..bundle.ca.len() / 2];
    let broken = bundle.ca.replacen("MII", "AAA", 1);
    for ca in ["", half, &*broken, &*other.ca, &*bundle.certificate] {
        assert!(!with(ca).is_fresh(NAME, NOW), "{ca}");
        let next = generate(Some(ca), NOW);
        assert!(next.is_fresh(NAME, NOW), "{ca}");
    }
    // An unset clock must not cause a renewal at each refresh.
    assert!(generate(None, 3600).is_fresh(NAME, 3600));
}

#[test]
fn the_previous_ca_is_trusted_until_the_next_rotation() {
    let first = generate(None, NOW);
    let second = generate(Some(&first.ca), NOW + 10);
    let third = generate(Some(&second.ca), NOW + 20);
    assert!(is_trusted(&first, &second.ca, NAME, NOW + 30));
    assert!(is_trusted(&second, &third.ca, NAME, NOW + 30));
    assert!(is_trusted(&third, &third.ca, NAME, NOW + 30));
    assert!(!is_trusted(&first, &third.ca, NAME, NOW + 30));
    let late = NOW + 2 * CERTIFICATE_VALIDITY.as_secs();
    assert_eq!(
        generate(Some(&first.ca), late).ca.matches("BEGIN").count(),
        1
    );
}

#[test]
fn a_certificate_from_an_unset_clock_is_valid_once_the_clock_is_set() {
    let bundle = generate(None, 3600);
    let der = CertificateDer::from_pem_slice(bundle.certificate.as_bytes()).expect("PEM");
    let validity = validity(&der).expect("dates");
    let (from, to) = (validity.not_before, validity.not_after);
    assert!(
        from < CLOCK_IS_SET_FROM && to > CLOCK_IS_SET_FROM,
        "{from} {to}"
    );
}
