//! `--client-ca`: the CAs of the clients that may send reviews, and the file from which they are reloaded.

use super::poll_timer::PollTimer;
use crate::limits;
use crate::net::tls::considered_intermediates;
use crate::pem::{FailureFilter, FileError, FileRole, PemError, RootsFile};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::sync::Arc;
use std::time::Instant;

/// Verifies the certificates of clients.
pub type Verifier = Arc<dyn ClientCertVerifier>;

/// The CAs in use, and their file.
#[derive(Debug)]
pub struct ClientCa {
    path: Box<str>,
    file: RootsFile,
    poll_timer: PollTimer,
    failures: FailureFilter,
    verifier: Verifier,
}

/// Verifies with a bounded number of intermediates: anybody may send some.
#[derive(Debug)]
struct BoundedVerifier(Verifier);

impl ClientCertVerifier for BoundedVerifier {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let intermediates = considered_intermediates(intermediates);
        self.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The verifier that has accepted the certificate of a connection, if one has.
#[derive(Debug, Default)]
pub struct VerifiedBy(Option<Verifier>);

impl ClientCa {
    /// Reads the file.
    ///
    /// # Errors
    /// The error of the file.
    pub fn load(path: &str) -> Result<ClientCa, FileError> {
        let mut file = RootsFile::new(path);
        Ok(ClientCa {
            path: path.into(),
            verifier: read(&mut file, path)?,
            file,
            poll_timer: PollTimer::new(limits::PEM_POLL_INTERVAL),
            failures: FailureFilter::default(),
        })
    }

    /// The verifier of new connections.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Reads the file again if it changed. Polls at most once per [`limits::PEM_POLL_INTERVAL`], and returns a repeated
    /// failure only once. After a failure the previous CAs stay in use.
    pub fn reload(&mut self, now: Instant) -> Option<Result<(), FileError>> {
        if !self.poll_timer.try_start(now) || !self.file.poll_changed() {
            return None;
        }
        let read = read(&mut self.file, &self.path);
        let is_reported = self.failures.observe(&read);
        let result = read.map(|verifier| self.verifier = verifier);
        is_reported.then_some(result)
    }
}

/// The client may send no certificate, as kubelet's probes and Prometheus do. One that it sends must be valid. The CAs are
/// named in the handshake, so that a client with certificates of other CAs alone sends none (Go `crypto/tls`:
/// `CertificateRequestInfo.AcceptableCAs`).
fn read(file: &mut RootsFile, path: &str) -> Result<Verifier, FileError> {
    let roots = file.read()?;
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let built = builder.allow_unauthenticated().build();
    let bounded = |verifier| Arc::new(BoundedVerifier(verifier)) as Verifier;
    built.map(bounded).map_err(|_| FileError {
        role: FileRole::Ca,
        path: path.into(),
        error: PemError::NoCertificate,
    })
}

impl VerifiedBy {
    /// Whether `verifier` accepts this certificate chain of the connection, the client's own first. The handshake has
    /// proven the possession of its key. A connection remains accepted until the CAs change.
    pub fn accepts(&mut self, verifier: &Verifier, chain: Option<&[CertificateDer<'_>]>) -> bool {
        let same = |accepted: &Verifier| Arc::ptr_eq(accepted, verifier);
        if self.0.as_ref().is_some_and(same) {
            return true;
        }
        let Some((client, intermediates)) = chain.and_then(<[_]>::split_first) else {
            return false;
        };
        let verified = verifier.verify_client_cert(client, intermediates, UnixTime::now());
        if verified.is_ok() {
            self.0 = Some(verifier.clone());
        }
        verified.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    fn params(name: &str, is_ca: IsCa) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = is_ca;
        params
    }

    fn key() -> KeyPair {
        KeyPair::generate().expect("a key")
    }

    /// The search for a path among more takes seconds in the worst case.
    #[test]
    fn only_the_first_intermediates_are_considered() {
        let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
        let (root_key, middle_key) = (key(), key());
        let root_params = params("root", ca());
        let root = root_params.self_signed(&root_key).expect("a certificate");
        let root_issuer = Issuer::new(root_params, root_key);
        let middle_params = params("middle", ca());
        let middle = middle_params.signed_by(&middle_key, &root_issuer);
        let middle = middle.expect("a certificate").der().clone();
        let leaf =
            params("leaf", IsCa::NoCa).signed_by(&key(), &Issuer::new(middle_params, middle_key));
        let leaf = leaf.expect("a certificate").der().clone();
        let other = params("other", ca())
            .self_signed(&key())
            .expect("a certificate");

        let name = format!("probelet-client-ca-{}.pem", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, root.pem()).expect("written");
        let client_ca = ClientCa::load(file.to_str().expect("UTF-8")).expect("a CA");
        std::fs::remove_file(&file).expect("it was written");
        for before in [0, limits::INTERMEDIATES - 1, limits::INTERMEDIATES] {
            let mut intermediates = vec![other.der().clone(); before];
            intermediates.push(middle.clone());
            let verifier = client_ca.verifier();
            let verified = verifier.verify_client_cert(&leaf, &intermediates, UnixTime::now());
            assert_eq!(verified.is_ok(), before < limits::INTERMEDIATES, "{before}");
        }
    }
}
