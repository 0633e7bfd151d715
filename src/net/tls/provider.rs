//! The cryptography: the versions, cipher suites and curves that kubelet's client offers, as far as *ring* has them. Of
//! the providers measured on aarch64 musl it is the second smallest, and the smallest needs twice its time.

use std::sync::Arc;

use crate::net::tls_options::Curves;
use rustls::client::{ResolvesClientCert, Resumption, danger::ServerCertVerifier};
use rustls::crypto::ring::{self, cipher_suite as suite, kx_group};
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, SupportedKxGroup};
use rustls::{ClientConfig, Error, NamedGroup, PeerIncompatible};

/// AES128 is first: half the key schedule of AES256. ChaCha20 is for apps on boards like the Raspberry Pi 4, which have
/// no AES instructions and prefer it. P-384 is for apps that have no other curve.
pub(super) fn provider(curves: Curves) -> CryptoProvider {
    let mut kx_groups = vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    if curves == Curves::WithP521 {
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

/// P-521, which *ring* does not have. A TLS 1.2 app sends a P-521 certificate only to a client that offers the curve
/// (RFC 8422 section 5.1.1); a key exchange on it still fails.
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

/// The configuration that connections share. Sessions are not resumed: that would save the app's processor, not ours,
/// and a probe should test the whole handshake. SNI is sent for a DNS name only (RFC 6066 section 3).
pub(super) fn client_config(
    verifier: Arc<dyn ServerCertVerifier>,
    resolver: Arc<dyn ResolvesClientCert>,
    curves: Curves,
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider(curves)))
        .with_safe_default_protocol_versions()
        .expect("the suites above include TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(resolver);
    config.resumption = Resumption::disabled();
    config
}
