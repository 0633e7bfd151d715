//! The certificates that all terminators use: ECDSA P-256 leaves of one CA, and the client's TLS configurations, which
//! determine the version, the cipher suite and the key exchange for every terminator.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite, kx_group};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedCipherSuite};

use crate::Outcome;

/// The name on the server's certificate.
pub const SERVER_NAME: &str = "localhost";

/// A cipher suite of TLS 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// `TLS_AES_128_GCM_SHA256`.
    AesGcm,
    /// `TLS_CHACHA20_POLY1305_SHA256`.
    ChaCha20,
}

impl Suite {
    /// Both, in the order of the report.
    pub const ALL: [Suite; 2] = [Suite::AesGcm, Suite::ChaCha20];

    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Suite::AesGcm => "AES-128-GCM",
            Suite::ChaCha20 => "ChaCha20-Poly1305",
        }
    }

    /// Its identifier in rustls.
    pub fn suite(self) -> SupportedCipherSuite {
        match self {
            Suite::AesGcm => cipher_suite::TLS13_AES_128_GCM_SHA256,
            Suite::ChaCha20 => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        }
    }
}

/// The files of the server's side, and the configurations of the client.
pub struct Certs {
    /// The server's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Both in one file.
    pub pem: PathBuf,
    /// The CA of both sides.
    pub ca: PathBuf,
    /// OpenSSL's configuration: no session tickets, which some programs have no option for.
    pub openssl: PathBuf,
    configs: [Arc<ClientConfig>; 2],
}

impl Certs {
    /// Creates the files in `scratch`.
    pub fn create(scratch: &Path) -> Outcome<Certs> {
        let fault = |error: rcgen::Error| format!("certificates: {error}");
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "bench CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = KeyPair::generate().and_then(|key| CertifiedIssuer::self_signed(params, key));
        let ca = ca.map_err(fault)?;
        let leaf = |account: &str| {
            let mut params = CertificateParams::new([SERVER_NAME.to_string()])?;
            let id = format!("spiffe://bench.example/ns/bench/sa/{account}");
            params.subject_alt_names.push(SanType::URI(id.try_into()?));
            params.distinguished_name.push(DnType::CommonName, account);
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &ca)?, key))
        };
        let (server, server_key) = leaf("server").map_err(fault)?;
        let (client, client_key) = leaf("client").map_err(fault)?;
        let mut roots = RootCertStore::empty();
        roots
            .add(ca.der().clone())
            .map_err(|error| error.to_string())?;
        let configs = Suite::ALL.map(|suite| {
            let key = PrivatePkcs8KeyDer::from(client_key.serialize_der());
            config(suite, &roots, client.der().clone(), key)
        });
        let [aes, chacha] = configs;
        let (cert, key) = (server.pem(), server_key.serialize_pem());
        let file = |name: &str, text: &str| {
            let path = scratch.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(path)
        };
        Ok(Certs {
            pem: file("server.pem", &format!("{cert}{key}"))?,
            cert: file("server.crt", &cert)?,
            key: file("server.key", &key)?,
            ca: file("ca.crt", &ca.pem())?,
            openssl: file("openssl.cnf", OPENSSL)?,
            configs: [aes?, chacha?],
        })
    }

    /// The client's configuration, which offers this suite alone.
    pub fn client(&self, suite: Suite) -> Arc<ClientConfig> {
        let [aes, chacha] = &self.configs;
        match suite {
            Suite::AesGcm => aes.clone(),
            Suite::ChaCha20 => chacha.clone(),
        }
    }
}

const OPENSSL: &str = "openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = all
[all]
Options = -SessionTicket
NumTickets = 0
";

fn config(
    suite: Suite,
    roots: &RootCertStore,
    cert: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
) -> Outcome<Arc<ClientConfig>> {
    let provider = CryptoProvider {
        cipher_suites: vec![suite.suite()],
        kx_groups: vec![kx_group::X25519],
        ..ring::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(vec![cert], key.into())
        .map_err(|error| error.to_string())?;
    config.resumption = Resumption::disabled();
    Ok(config.into())
}
