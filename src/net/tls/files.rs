//! The certificate files that the settings name: our certificates with their keys, and CA bundles. Read again when they
//! change. Files that both the client and the server use are read once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;

use super::provider;
use crate::limits;
use crate::net::tls_options::{CertFile, Curves, KeyPairPaths, TlsReload};
use crate::pem::{FailureFilter, FileError, KeyPairFiles, RootsFile};

/// All files, and the time of their next poll.
#[derive(Default)]
pub(super) struct CertFiles {
    pub(super) pairs: Vec<ReloadableFiles<KeyPairFiles>>,
    bundles: Vec<ReloadableFiles<RootsFile>>,
    /// When the files are polled next.
    pub(super) poll_at: Option<Instant>,
    /// Results of reading files that are not logged yet.
    pub(super) reloads: VecDeque<TlsReload>,
    version: u32,
}

/// Identifies a certificate with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PairId(usize);

/// Identifies a CA bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BundleId(usize);

/// Files that are read together, and their contents.
pub(super) struct ReloadableFiles<F: Files> {
    pub(super) files: F,
    pub(super) contents: Option<Arc<F::Contents>>,
    pub(super) file: CertFile,
    failures: FailureFilter,
}

/// Files that are read together.
pub(super) trait Files {
    type Contents;

    /// Whether one of them has changed since the last poll or read.
    fn poll_changed(&mut self) -> bool;

    /// Reads them.
    fn read(&mut self) -> Result<Arc<Self::Contents>, FileError>;
}

impl CertFiles {
    /// Adds a certificate with its key, unless the same files were added before.
    pub(super) fn add_pair(&mut self, file: CertFile, paths: &KeyPairPaths) -> PairId {
        let is_same = |pair: &ReloadableFiles<KeyPairFiles>| {
            pair.files.paths() == (&*paths.certificate, &*paths.key)
        };
        PairId(self.pairs.iter().position(is_same).unwrap_or_else(|| {
            let files = KeyPairFiles::new(&paths.certificate, &paths.key);
            self.pairs.push(ReloadableFiles::new(file, files));
            self.pairs.len() - 1
        }))
    }

    /// Adds a CA bundle, unless the same file was added before.
    pub(super) fn add_bundle(&mut self, file: CertFile, path: &str) -> BundleId {
        let is_same = |bundle: &ReloadableFiles<RootsFile>| bundle.files.path() == path;
        BundleId(self.bundles.iter().position(is_same).unwrap_or_else(|| {
            let files = RootsFile::new(path);
            self.bundles.push(ReloadableFiles::new(file, files));
            self.bundles.len() - 1
        }))
    }

    /// Reads all files for the first time. One that cannot be used is read again later, unless files are required.
    ///
    /// # Errors
    /// The first file that cannot be used, if files are required.
    pub(super) fn load(&mut self, require_files: bool) -> Result<(), FileError> {
        for pair in &mut self.pairs {
            pair.load(require_files, &mut self.reloads)?;
        }
        for bundle in &mut self.bundles {
            bundle.load(require_files, &mut self.reloads)?;
        }
        Ok(())
    }

    /// The certificate and its key, once they were read.
    pub(super) fn pair(&self, id: PairId) -> Option<&Arc<CertifiedKey>> {
        self.pairs[id.0].contents.as_ref()
    }

    /// The trust anchors, once they were read.
    pub(super) fn bundle(&self, id: BundleId) -> Option<&Arc<RootCertStore>> {
        self.bundles[id.0].contents.as_ref()
    }

    /// Changes with each change of the contents.
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// Reads changed files again. If they cannot be used, the previous contents stay in use.
    pub(super) fn poll(&mut self) {
        if self.pairs.is_empty() && self.bundles.is_empty() {
            return;
        }
        let now = Instant::now();
        if self.poll_at.is_some_and(|poll_at| now < poll_at) {
            return;
        }
        self.poll_at = Some(now + limits::PEM_POLL_INTERVAL);
        let reloads = &mut self.reloads;
        let pairs = self.pairs.iter_mut().map(|pair| pair.poll(reloads));
        let mut changes = pairs.filter(|is_changed| *is_changed).count();
        let bundles = self.bundles.iter_mut().map(|bundle| bundle.poll(reloads));
        changes += bundles.filter(|is_changed| *is_changed).count();
        self.version += changes as u32;
    }
}

impl<F: Files> ReloadableFiles<F> {
    fn new(file: CertFile, files: F) -> ReloadableFiles<F> {
        ReloadableFiles {
            files,
            contents: None,
            file,
            failures: FailureFilter::default(),
        }
    }

    fn load(
        &mut self,
        require_files: bool,
        reloads: &mut VecDeque<TlsReload>,
    ) -> Result<(), FileError> {
        match self.files.read() {
            Ok(contents) => self.contents = Some(contents),
            // It may become valid later, and the probes of others must not fail for it.
            Err(error) if !require_files => {
                let is_reported = self.failures.observe::<()>(&Err(error.clone()));
                let file = self.file;
                if is_reported {
                    reloads.push_back(TlsReload::NotLoaded { file, error });
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads them again if they have changed. Returns whether there are new contents.
    fn poll(&mut self, reloads: &mut VecDeque<TlsReload>) -> bool {
        self.files.poll_changed() && self.reload(reloads)
    }

    /// Reads them again. Returns whether there are new contents.
    pub(super) fn reload(&mut self, reloads: &mut VecDeque<TlsReload>) -> bool {
        let (file, is_first) = (self.file, self.contents.is_none());
        let result = self.files.read();
        let is_reported = self.failures.observe(&result);
        let (is_new, reload) = match (result, is_first) {
            (Ok(contents), _) => {
                self.contents = Some(contents);
                match is_first {
                    true => (true, TlsReload::Loaded { file }),
                    false => (true, TlsReload::Reloaded { file }),
                }
            }
            (Err(error), true) => (false, TlsReload::NotLoaded { file, error }),
            (Err(error), false) => (false, TlsReload::Failed { file, error }),
        };
        if is_reported {
            reloads.push_back(reload);
        }
        is_new
    }
}

impl Files for KeyPairFiles {
    type Contents = CertifiedKey;

    fn poll_changed(&mut self) -> bool {
        KeyPairFiles::poll_changed(self)
    }

    fn read(&mut self) -> Result<Arc<CertifiedKey>, FileError> {
        KeyPairFiles::read(self, &provider::provider(Curves::Default))
    }
}

impl Files for RootsFile {
    type Contents = RootCertStore;

    fn poll_changed(&mut self) -> bool {
        RootsFile::poll_changed(self)
    }

    fn read(&mut self) -> Result<Arc<RootCertStore>, FileError> {
        RootsFile::read(self)
    }
}
