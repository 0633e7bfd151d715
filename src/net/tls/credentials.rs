//! The credentials of the client, and the rustls configuration made of them.

use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};

use super::client_auth::ClientAuth;
use super::files::{BundleId, CertFiles, PairId};
use super::provider;
use super::verify::{AcceptAny, AppCaVerifier};
use crate::net::stream_error::TlsFault;
use crate::net::tls_options::{CertFile, Curves, TlsOptions};

/// The files that the client uses, and the configuration made of their contents.
#[derive(Default)]
pub(super) struct Credentials {
    pair: Option<PairId>,
    /// The trust anchors of the app's certificate; without them nothing is verified.
    bundles: Box<[BundleId]>,
    /// The URI that the app's certificate must have.
    id: Option<Box<str>>,
    /// Whether it must have the server name.
    verifies_name: bool,
    /// Made when it is first needed: a pod without TLS probes pays no memory for it.
    shared: Option<SharedClientConfig>,
    /// The version of the files that `shared` was made of.
    version: u32,
}

/// The configuration that connections share.
#[derive(Clone)]
pub(super) struct SharedClientConfig {
    pub(super) config: Arc<ClientConfig>,
    pub(super) client_auth: Arc<ClientAuth>,
}

/// The contents of the files.
struct Contents {
    pair: Option<Arc<CertifiedKey>>,
    roots: Option<Arc<RootCertStore>>,
}

impl Credentials {
    /// Adds the client's files to `files`. Reads nothing yet.
    pub(super) fn new(options: &TlsOptions, files: &mut CertFiles) -> Credentials {
        let pair = options.client.as_ref();
        let app_ca = options.app_ca.iter();
        Credentials {
            pair: pair.map(|paths| files.add_pair(CertFile::ClientCertificate, paths)),
            bundles: app_ca
                .map(|path| files.add_bundle(CertFile::AppCa, path))
                .collect(),
            id: options.app_id.clone(),
            verifies_name: options.verifies_name,
            ..Credentials::default()
        }
    }

    /// The last alert of an app.
    pub(super) fn last_alert(&self) -> Option<u8> {
        self.shared.as_ref()?.client_auth.last_alert()
    }

    /// Polls the files, then returns the configuration that connections share.
    ///
    /// # Errors
    /// [`TlsFault::CertificateMissing`] while a file has not been read yet.
    pub(super) fn poll_shared_config(
        &mut self,
        files: &mut CertFiles,
        curves: Curves,
    ) -> Result<SharedClientConfig, TlsFault> {
        files.poll();
        if self.version != files.version() {
            self.version = files.version();
            self.shared = None;
        }
        match (curves, &self.shared) {
            (Curves::Default, Some(shared)) => Ok(shared.clone()),
            (Curves::Default, None) => {
                let shared = self.build_config(files, curves)?;
                Ok(self.shared.insert(shared).clone())
            }
            // Few apps need it, so it is made each time.
            (Curves::WithP521, _) => self.build_config(files, curves),
        }
    }

    fn build_config(
        &self,
        files: &CertFiles,
        curves: Curves,
    ) -> Result<SharedClientConfig, TlsFault> {
        let contents = self.contents(files).ok_or(TlsFault::CertificateMissing)?;
        let client_auth = Arc::new(ClientAuth::new(contents.pair));
        let config = match contents.roots {
            Some(roots) => {
                let verifier = AppCaVerifier {
                    roots,
                    id: self.id.clone(),
                    verifies_name: self.verifies_name,
                    algorithms: provider::provider(curves).signature_verification_algorithms,
                };
                provider::client_config(Arc::new(verifier), client_auth.clone(), curves)
            }
            None => provider::client_config(Arc::new(AcceptAny), client_auth.clone(), curves),
        };
        Ok(SharedClientConfig {
            config: Arc::new(config),
            client_auth,
        })
    }

    /// The contents of all files; `None` while one has not been read yet.
    fn contents(&self, files: &CertFiles) -> Option<Contents> {
        let pair = match self.pair {
            Some(id) => Some(files.pair(id)?.clone()),
            None => None,
        };
        let bundles = self.bundles.iter().map(|id| files.bundle(*id));
        let bundles = bundles.collect::<Option<Vec<_>>>()?;
        let roots = match &*bundles {
            [] => None,
            [bundle] => Some((*bundle).clone()),
            bundles => {
                let anchors = bundles.iter().flat_map(|bundle| bundle.roots.iter());
                Some(Arc::new(anchors.cloned().collect()))
            }
        };
        Some(Contents { pair, roots })
    }
}
