//! The cryptography: the versions, cipher suites and curves that kubelet's client offers, as far as *ring* has them. Of
//! the providers measured on aarch64 musl it is the second smallest, and the smallest needs twice its time.

use std::sync::Arc;

use crate::net::tls_options::Curves;
use rustls::client::{ResolvesClientCert, Resumption, danger::ServerCertVerifier};
use rustls::crypto::ring::{self, cipher_suite as suite, kx_group};
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, SupportedKxGroup};
use rustls::{
    CipherSuite, ClientConfig, Error, NamedGroup, PeerIncompatible, ProtocolVersion,
    SupportedCipherSuite,
};

/// The cipher suites. With AES instructions AES128 is first: half the key schedule of AES256. Without them, as on the
/// Raspberry Pi 4, ChaCha20 is several times as fast. Go orders them in the same way (`crypto/tls/cipher_suites.go`).
fn cipher_suites(has_aes: bool) -> Vec<SupportedCipherSuite> {
    let mut suites = vec![
        suite::TLS13_AES_128_GCM_SHA256,
        suite::TLS13_AES_256_GCM_SHA384,
        suite::TLS13_CHACHA20_POLY1305_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    if !has_aes {
        // TLS 1.3 before TLS 1.2 in both orders. The sort is stable.
        suites.sort_by_key(|suite| {
            let is_tls12 = suite.version().version == ProtocolVersion::TLSv1_2;
            (is_tls12, !is_chacha20(*suite))
        });
    }
    suites
}

fn is_chacha20(suite: SupportedCipherSuite) -> bool {
    matches!(
        suite.suite(),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

/// Whether *ring* encrypts AES-GCM with instructions for AES and for GHASH. On 32-bit ARM it uses none (`cpu/arm/linux.rs`).
pub(super) fn has_aes_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // Bits of ECX: PCLMULQDQ and AESNI.
        const GCM: u32 = 1 << 1 | 1 << 25;
        core::arch::x86_64::__cpuid(1).ecx & GCM == GCM
    }
    #[cfg(target_arch = "aarch64")]
    {
        // HWCAP_AES and HWCAP_PMULL (`arch/arm64/include/uapi/asm/hwcap.h`).
        const GCM: usize = 1 << 3 | 1 << 4;
        rustix::param::linux_hwcap().0 & GCM == GCM
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

/// P-384 is for apps that have no other curve.
pub(super) fn provider(curves: Curves) -> CryptoProvider {
    let mut kx_groups = vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    if curves == Curves::WithP521 {
        kx_groups.push(&P521);
    }
    CryptoProvider {
        cipher_suites: cipher_suites(has_aes_instructions()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chacha20_is_first_where_there_are_no_aes_instructions() {
        use CipherSuite::*;
        let suites = |has_aes| -> Vec<CipherSuite> {
            let suites = cipher_suites(has_aes).into_iter();
            suites.map(|suite| suite.suite()).collect()
        };
        let without_aes = [
            TLS13_CHACHA20_POLY1305_SHA256,
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ];
        assert_eq!(suites(false), without_aes);
        let with_aes = suites(true);
        assert_eq!(with_aes[0], TLS13_AES_128_GCM_SHA256);
        assert_eq!(with_aes[3], TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
        let mut sorted = [with_aes, without_aes.into()];
        sorted
            .iter_mut()
            .for_each(|suites| suites.sort_by_key(|suite| u16::from(*suite)));
        assert_eq!(sorted[0], sorted[1]);
    }

    /// The kernel's list of the CPU's features, as a second opinion.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn aes_instructions_are_those_that_the_kernel_lists() {
        let info = std::fs::read_to_string("/proc/cpuinfo").expect("Linux");
        let features = info.lines().find(|line| line.starts_with("flags"));
        let has =
            |name: &str| features.is_some_and(|line| line.split(' ').any(|word| word == name));
        assert_eq!(has_aes_instructions(), has("aes") && has("pclmulqdq"));
    }
}
