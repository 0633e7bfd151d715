//! Loads the certificates and keys that the settings name, and names the setting in errors.

mod named;

use std::rc::Rc;

use crate::config::TlsSettings;
use crate::net::tls::Tls;
pub use named::TlsSettingError;

/// Reads the files of `settings`, of which there may be none.
///
/// # Errors
/// The first file that cannot be used.
pub fn load_tls(settings: &TlsSettings) -> Result<Rc<Tls>, TlsSettingError> {
    let has_files =
        settings.client.is_some() || settings.identity.is_some() || !settings.app_ca.is_empty();
    match has_files {
        true => named::load(settings),
        false => Ok(Rc::new(Tls::without_files())),
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests;
