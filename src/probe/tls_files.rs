//! Loads the certificates and keys that the settings name, and names the setting in errors.

mod named;

use core::fmt;
use std::rc::Rc;

use crate::config::{FileSetting, TlsSettings};
use crate::net::TlsOptions;
use crate::net::tls::Tls;
use crate::pem::PemError;

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

/// Reads the files of `settings`, of which there may be none.
///
/// # Errors
/// The first file that cannot be used.
pub fn load_tls(settings: &TlsSettings) -> Result<Rc<Tls>, TlsSettingError> {
    let has_files =
        settings.client.is_some() || settings.identity.is_some() || !settings.app_ca.is_empty();
    let options = match has_files {
        true => named::options(settings),
        false => TlsOptions::default(),
    };
    match Tls::load(options) {
        Ok(tls) => Ok(Rc::new(tls)),
        Err(error) => Err(named::name_setting(settings, error)),
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests;
