//! The cryptography, chosen by hand: what kubelet's own client offers, as far as *ring* has it. Of the
//! providers measured on aarch64 musl it is the smallest but one, and that one needs twice its time.

use std::sync::Arc;

use crate::net::tls_options::Curves;
use rustls::client::{ResolvesClientCert, Resumption, danger::ServerCertVerifier};
use rustls::crypto::ring::{self, cipher_suite as suite, kx_group};
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, SupportedKxGroup};
use rustls::{ClientConfig, Error, NamedGroup, PeerIncompatible};

/// AES128 goes first: half the key schedule of AES256. ChaCha20 is for apps on boards like the Raspberry
/// Pi 4, which has no AES instructions and chooses it for itself. P-384 is for apps that have only that.
pub(super) fn provider(curves: Curves) -> CryptoProvider {
    let mut kx_groups = vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    if curves == Curves::AndP521 {
        kx_groups.push(&P521);
    }
    CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups,
        ..ring::default_provider()
    }
}

/// P-521, which *ring* does not have. A TLS 1.2 app shows a P-521 certificate only to whoever names the curve
/// (RFC 8422 section 5.1.1); a key exchange on it is then still beyond us.
#[derive(Debug)]
struct P521;

impl SupportedKxGroup for P521 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Err(PeerIncompatible::NoKxGroupsInCommon.into())
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

/// What connections share. No session is kept: resuming one saves the app's processor, not ours, and a
/// probe is to see the whole way a client goes. SNI goes out for a DNS name alone (RFC 6066 section 3).
pub(super) fn client_config(
    verifier: Arc<dyn ServerCertVerifier>,
    resolver: Arc<dyn ResolvesClientCert>,
    curves: Curves,
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider(curves)))
        .with_safe_default_protocol_versions()
        .expect("there are suites for TLS 1.2 and 1.3 above")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(resolver);
    config.resumption = Resumption::disabled();
    config
}
