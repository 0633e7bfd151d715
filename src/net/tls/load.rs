//! Reads the certificate files of the client and of the server at the start.

use super::credentials::Credentials;
use super::files::CertFiles;
use super::server::ServerIdentity;
use crate::net::tls_options::TlsOptions;
use crate::pem::FileError;

/// The certificate files, and who uses which of them.
#[derive(Default)]
pub(super) struct LoadedFiles {
    pub(super) files: CertFiles,
    pub(super) credentials: Credentials,
    pub(super) identity: Option<ServerIdentity>,
}

impl LoadedFiles {
    /// Reads the files of `options`. One that cannot be used is read again later, unless files are required.
    ///
    /// # Errors
    /// The first file that cannot be used, if files are required.
    // Inlined into its only caller, it would not be in the cold section.
    #[inline(never)]
    pub(super) fn load(options: &TlsOptions) -> Result<LoadedFiles, FileError> {
        let mut files = CertFiles::default();
        // The identity is first: files that the client uses as well are reported as those of the identity.
        let identity = options.identity.as_ref();
        let identity = identity.map(|paths| ServerIdentity::new(paths, &mut files));
        let credentials = Credentials::new(options, &mut files);
        files.load(options.require_files)?;
        Ok(LoadedFiles {
            files,
            credentials,
            identity,
        })
    }
}
