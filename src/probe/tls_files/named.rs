//! The files that the settings name, if they name any. A file of its own, because the linker places code by module, and
//! every agent runs `load_tls` (`.cargo/layout.ld`).

use core::fmt;
use std::rc::Rc;

use crate::config::{ClientCert, FileSetting, TlsSettings};
use crate::net::tls::Tls;
use crate::net::{CaPath, IdentityPaths, KeyPairPaths, TlsOptions};
use crate::pem::{FileError, FileRole, PemError};

/// A file for TLS cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettingError {
    /// The setting that names the file.
    pub setting: FileSetting,
    /// What is wrong with the file.
    pub error: PemError,
}

impl fmt::Display for TlsSettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, which {}", self.setting, self.error)
    }
}

impl core::error::Error for TlsSettingError {}

/// Reads the files.
///
/// # Errors
/// The first file that cannot be used.
#[inline(never)]
pub(super) fn load(settings: &TlsSettings) -> Result<Rc<Tls>, TlsSettingError> {
    match Tls::load(options(settings)) {
        Ok(tls) => Ok(Rc::new(tls)),
        Err(error) => Err(name_setting(settings, error)),
    }
}

/// The options of these settings.
fn options(settings: &TlsSettings) -> TlsOptions {
    let path = |file: &FileSetting| file.path.clone();
    let client = settings.client.as_ref();
    TlsOptions {
        client: client.map(|ClientCert { cert, key }| KeyPairPaths {
            certificate: path(cert),
            key: path(key),
        }),
        app_ca: settings.app_ca.iter().map(path).collect(),
        app_id: settings.app_id.clone(),
        verifies_name: settings.verifies_name,
        identity: settings.identity.as_ref().map(|identity| IdentityPaths {
            pair: KeyPairPaths {
                certificate: path(&identity.cert),
                key: path(&identity.key),
            },
            ca: (identity.ca.iter())
                .map(|ca| CaPath {
                    domain: ca.domain.clone(),
                    path: path(&ca.file),
                })
                .collect(),
        }),
        require_files: settings.require_files,
    }
}

/// The error of a file, with the setting that names it.
fn name_setting(settings: &TlsSettings, error: FileError) -> TlsSettingError {
    let certificate = |file| (FileRole::Certificate, file);
    let key = |file| (FileRole::Key, file);
    let client = settings.client.iter();
    let client = client.flat_map(|client| [certificate(&client.cert), key(&client.key)]);
    let identity = settings.identity.iter().flat_map(|identity| {
        let ca = identity.ca.iter().map(|ca| (FileRole::Ca, &ca.file));
        let pair = [certificate(&identity.cert), key(&identity.key)];
        pair.into_iter().chain(ca)
    });
    let app_ca = settings.app_ca.iter().map(|file| (FileRole::Ca, file));
    // The identity is read first.
    let mut files = identity.chain(client).chain(app_ca);
    let setting = files.find(|(role, file)| *role == error.role && file.path == error.path);
    let setting = setting.map(|(_, file)| file);
    TlsSettingError {
        setting: setting.cloned().unwrap_or_else(|| FileSetting {
            origin: Box::default(),
            path: error.path,
        }),
        error: error.error,
    }
}
