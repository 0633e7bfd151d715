//! Certificates made for a test, and TLS configurations of fake apps and clients.

use super::folder::Folder;
use super::stream::ServerTls;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    SignatureAlgorithm,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientCertVerifierBuilder, WantsServerCert, WebPkiClientVerifier};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::path::PathBuf;
use std::sync::Arc;

/// A certificate chain and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The chain, the leaf first.
    pub chain: String,
    /// The key, PKCS #8.
    pub key: String,
}

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new authority of this name.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(ca_params(name), key).expect("a certificate"))
    }

    /// An authority that this one signed, with parameters that `change` edits.
    pub fn intermediate(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = ca_params(name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::signed_by(params, key, &self.0).expect("a certificate"))
    }

    /// Its certificate as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn verifier(&self) -> ClientCertVerifierBuilder {
        WebPkiClientVerifier::builder(self.roots().into())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        roots
    }

    /// A client that trusts this authority, with a certificate or without.
    pub fn client(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder().with_root_certificates(self.roots());
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.der();
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        Arc::new(config)
    }

    /// Signs a certificate for a DNS name, an IP address, or a URI such as a SPIFFE ID.
    pub fn sign(&self, name: &str) -> Identity {
        self.sign_with(name, |_| ())
    }

    /// Like `sign`, with parameters that `change` edits.
    pub fn sign_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = params(name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity {
            chain: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    // With the default name it could not be distinguished from the certificates that it signs.
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn params(name: &str) -> CertificateParams {
    if name.contains("://") {
        let mut params = CertificateParams::default();
        let uri = name.to_owned().try_into().expect("ASCII");
        params.subject_alt_names = vec![SanType::URI(uri)];
        return params;
    }
    CertificateParams::new([name.to_owned()]).expect("a name")
}

impl Identity {
    /// A self-signed certificate for 127.0.0.1.
    pub fn self_signed() -> Self {
        Self::self_signed_with(&rcgen::PKCS_ECDSA_P256_SHA256, |_| ())
    }

    /// Like `self_signed`, with a key of this algorithm and parameters that `change` edits.
    pub fn self_signed_with(
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let mut params = params("127.0.0.1");
        change(&mut params);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            chain: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes the chain and the key into a folder. Returns their paths.
    pub fn write(&self, folder: &Folder, name: &str) -> (PathBuf, PathBuf) {
        let chain = folder.file(&format!("{name}.pem"), &self.chain);
        let key = folder.file(&format!("{name}.key"), &self.key);
        (chain, key)
    }

    /// The TLS configuration of an app: its ALPN protocols, and the authority of the clients that it accepts.
    pub fn server_tls(&self, alpn: &[&str], clients: Option<&Authority>) -> ServerTls {
        let builder = ServerConfig::builder();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let verifier = authority.verifier().build();
                builder.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        self.finish(builder, alpn)
    }

    /// The TLS configuration of an app that requests a client certificate but does not require it.
    pub fn requesting_client_cert(&self, clients: &Authority) -> ServerTls {
        self.requesting_client_cert_in(rustls::ALL_VERSIONS, clients)
    }

    /// Like `requesting_client_cert`, with these TLS versions only.
    pub fn requesting_client_cert_in(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        clients: &Authority,
    ) -> ServerTls {
        let verifier = clients.verifier().allow_unauthenticated().build();
        let builder = ServerConfig::builder_with_protocol_versions(versions);
        let builder = builder.with_client_cert_verifier(verifier.expect("a verifier"));
        self.finish(builder, &[])
    }

    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM");
        (chain, key)
    }

    fn finish(
        &self,
        builder: ConfigBuilder<ServerConfig, WantsServerCert>,
        alpn: &[&str],
    ) -> ServerTls {
        let (chain, key) = self.der();
        let mut config = builder.with_single_cert(chain, key).expect("a pair");
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Some(Arc::new(config))
    }
}
