//! Our certificate and key, the trust anchors, and the rustls configuration made of them. Files are read again when
//! they change.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};

use super::client_auth::ClientAuth;
use super::provider;
use super::verify::{AcceptAny, AppCaVerifier};
use crate::limits;
use crate::net::stream_error::TlsFault;
use crate::net::tls_options::{Curves, TlsOptions, TlsReload};
use crate::pem::{FailureFilter, FileError, FileRole, KeyPairFiles, RootsFile};

/// The contents of the files, and the configuration made of them.
#[derive(Default)]
pub(super) struct Credentials {
    pub(super) pair_files: Option<KeyPairFiles>,
    pub(super) pair: Option<Arc<CertifiedKey>>,
    roots_file: Option<RootsFile>,
    roots: Option<Arc<RootCertStore>>,
    /// The URI that the app's certificate must have.
    id: Option<Box<str>>,
    /// Made when it is first needed: a pod without TLS probes pays no memory for it.
    shared: Option<SharedConfig>,
    /// When the files are polled next.
    pub(super) poll_at: Option<Instant>,
    /// Results of reading files again that are not logged yet.
    pub(super) reloads: VecDeque<TlsReload>,
    pair_failures: FailureFilter,
    roots_failures: FailureFilter,
}

/// The configuration that connections share.
#[derive(Clone)]
pub(super) struct SharedConfig {
    pub(super) config: Arc<ClientConfig>,
    pub(super) client_auth: Arc<ClientAuth>,
}

impl Credentials {
    /// Reads the files. One that does not exist is read later, unless it is required.
    ///
    /// # Errors
    /// The first file that cannot be used.
    // Inlined into its only caller, it would not be in the cold section.
    #[inline(never)]
    pub(super) fn load(options: TlsOptions) -> Result<Credentials, FileError> {
        let mut credentials = Credentials {
            pair_files: options
                .client
                .map(|pair| KeyPairFiles::new(&pair.certificate, &pair.key)),
            roots_file: options.app_ca.map(|ca| RootsFile::new(&ca)),
            id: options.app_id,
            ..Credentials::default()
        };
        let pair = credentials.read_pair();
        let roots = credentials.read_roots();
        for result in [pair, roots] {
            match result {
                Err(error) if error.is_not_found() && !options.require_files => {
                    credentials.record(error.role, true, Err(error));
                }
                result => result?,
            }
        }
        Ok(credentials)
    }

    /// Polls the files, then returns the configuration that connections share.
    ///
    /// # Errors
    /// [`TlsFault::CertificateMissing`] while a file has not been read yet.
    pub(super) fn poll_shared_config(&mut self, curves: Curves) -> Result<SharedConfig, TlsFault> {
        self.poll_files();
        let has_pair = self.pair.is_some() || self.pair_files.is_none();
        let has_roots = self.roots.is_some() || self.roots_file.is_none();
        if !has_pair || !has_roots {
            return Err(TlsFault::CertificateMissing);
        }
        Ok(match (curves, &self.shared) {
            (Curves::Default, Some(shared)) => shared.clone(),
            (Curves::Default, None) => self.shared.insert(self.build_config(curves)).clone(),
            // Few apps need it, so it is made each time.
            (Curves::WithP521, _) => self.build_config(curves),
        })
    }

    fn build_config(&self, curves: Curves) -> SharedConfig {
        let client_auth = Arc::new(ClientAuth::new(self.pair.clone()));
        let config = match &self.roots {
            Some(roots) => {
                let verifier = AppCaVerifier {
                    roots: roots.clone(),
                    id: self.id.clone(),
                    algorithms: provider::provider(curves).signature_verification_algorithms,
                };
                provider::client_config(Arc::new(verifier), client_auth.clone(), curves)
            }
            None => provider::client_config(Arc::new(AcceptAny), client_auth.clone(), curves),
        };
        SharedConfig {
            config: Arc::new(config),
            client_auth,
        }
    }

    fn read_pair(&mut self) -> Result<(), FileError> {
        if let Some(files) = &mut self.pair_files {
            self.pair = Some(files.read(&provider::provider(Curves::Default))?);
        }
        Ok(())
    }

    fn read_roots(&mut self) -> Result<(), FileError> {
        if let Some(file) = &mut self.roots_file {
            self.roots = Some(file.read()?);
        }
        Ok(())
    }

    /// Reads changed files again. If they cannot be used, the previous contents stay in use.
    pub(super) fn poll_files(&mut self) {
        if self.pair_files.is_none() && self.roots_file.is_none() {
            return;
        }
        let now = Instant::now();
        if self.poll_at.is_some_and(|poll_at| now < poll_at) {
            return;
        }
        self.poll_at = Some(now + limits::PEM_POLL_INTERVAL);
        if (self.pair_files.as_mut()).is_some_and(KeyPairFiles::poll_changed) {
            self.reload_pair();
        }
        if (self.roots_file.as_mut()).is_some_and(RootsFile::poll_changed) {
            self.reload_roots();
        }
    }

    pub(super) fn reload_pair(&mut self) {
        let is_first = self.pair.is_none();
        let result = self.read_pair();
        self.record(FileRole::Certificate, is_first, result);
    }

    fn reload_roots(&mut self) {
        let is_first = self.roots.is_none();
        let result = self.read_roots();
        self.record(FileRole::Ca, is_first, result);
    }

    fn record(&mut self, role: FileRole, is_first: bool, result: Result<(), FileError>) {
        let failures = match role {
            FileRole::Certificate | FileRole::Key => &mut self.pair_failures,
            FileRole::Ca => &mut self.roots_failures,
        };
        let is_reported = failures.observe(&result);
        if result.is_ok() {
            self.shared = None;
        }
        if is_reported {
            self.reloads.push_back(match (result, is_first) {
                (Ok(()), true) => TlsReload::Loaded(role),
                (Ok(()), false) => TlsReload::Reloaded(role),
                (Err(error), true) => TlsReload::NotLoaded(error),
                (Err(error), false) => TlsReload::Failed(error),
            });
        }
    }
}
