//! TLS to the app: the files that the agent reads, and the identity that the app must have.

use super::flags;
use super::peer_id::{is_segment, is_trust_domain};
use super::settings::{RawSettings, SettingValue};
use super::settings_error::{ConfigError, FileSetting, SettingRule};

/// What the settings for TLS name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The client certificate that the app requests: that of `--client-cert`, else the workload's.
    pub client: Option<ClientCert>,
    /// Files of the trust anchors of the app's certificate: that of `--app-ca`, else all of the workload's. Without any
    /// nothing is verified.
    pub app_ca: Vec<FileSetting>,
    /// The SPIFFE ID that the app's certificate must have.
    pub app_id: Option<Box<str>>,
    /// Whether the app's certificate must have the host of the URL. Only `check` has a URL.
    pub verifies_name: bool,
    /// The workload's identity, with which inbound ports serve.
    pub identity: Option<IdentitySettings>,
    /// Whether a file that does not exist is an error at the start. If not, probes over TLS fail until it can be loaded.
    pub require_files: bool,
}

/// PEM files of a certificate, with its intermediates, and of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCert {
    /// The certificate chain.
    pub cert: FileSetting,
    /// The private key.
    pub key: FileSetting,
}

/// The workload's certificate, and the CAs of its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySettings {
    /// The certificate chain.
    pub cert: FileSetting,
    /// The private key.
    pub key: FileSetting,
    /// The CAs. Either all of them have a trust domain, or none has.
    pub ca: Box<[TrustAnchors]>,
}

/// A file of CA certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchors {
    /// The trust domain of all SPIFFE IDs that these CAs may sign; `None` for any.
    pub domain: Option<Box<str>>,
    /// The CA certificates.
    pub file: FileSetting,
}

impl From<&SettingValue> for FileSetting {
    fn from(setting: &SettingValue) -> Self {
        FileSetting {
            origin: setting.origin.clone(),
            path: setting.value.clone(),
        }
    }
}

impl RawSettings {
    /// Refuses settings for TLS in a build without it.
    pub(super) fn check_build(&self) -> Result<(), Box<ConfigError>> {
        if cfg!(feature = "tls") {
            return Ok(());
        }
        for flag in [
            flags::CLIENT_CERT,
            flags::CLIENT_KEY,
            flags::APP_CA,
            flags::APP_ID,
            flags::REQUIRE_FILES,
            flags::INBOUND,
            flags::ALLOW_ID,
            flags::CERT,
            flags::KEY,
            flags::CA,
            flags::MAX_INBOUND,
        ] {
            if let Some(setting) = self.find(flag) {
                let origin = setting.origin.clone();
                return Err(Box::new(ConfigError::NoTls { origin }));
            }
        }
        Ok(())
    }

    pub(super) fn tls(&self) -> Result<TlsSettings, Box<ConfigError>> {
        let cert = self.find(flags::CLIENT_CERT);
        let key = self.find(flags::CLIENT_KEY);
        let ca = self.find(flags::APP_CA);
        let id = self.find(flags::APP_ID);
        let app_id = id.map(|id| id.parse(spiffe_id)).transpose()?;
        // Most agents have none, and its code is in the cold section (`.cargo/layout.ld`).
        let mut flags = [flags::CERT, flags::KEY, flags::CA].into_iter();
        let identity = match flags.any(|flag| self.find(flag).is_some()) {
            true => self.identity()?,
            false => None,
        };
        let client = match (cert, key) {
            (Some(cert), Some(key)) => Some(ClientCert {
                cert: cert.into(),
                key: key.into(),
            }),
            (Some(cert), None) => return Err(incomplete(cert, flags::CLIENT_KEY)),
            (None, Some(key)) => return Err(incomplete(key, flags::CLIENT_CERT)),
            (None, None) => identity.as_ref().map(IdentitySettings::client_cert),
        };
        let app_ca = match (ca, &identity) {
            (Some(ca), _) => vec![ca.into()],
            (None, Some(identity)) => identity.ca_files(app_id.as_deref()),
            (None, None) => Vec::new(),
        };
        if let (Some(id), []) = (id, &*app_ca) {
            return Err(incomplete(id, flags::APP_CA));
        }
        Ok(TlsSettings {
            client,
            app_ca,
            app_id,
            verifies_name: false,
            identity,
            require_files: self
                .parse(flags::REQUIRE_FILES, parse_bool)?
                .unwrap_or(false),
        })
    }
}

fn parse_bool(text: &str) -> Result<bool, SettingRule> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(SettingRule::Bool),
    }
}

pub(super) fn incomplete(setting: &SettingValue, missing: &'static str) -> Box<ConfigError> {
    let setting = setting.label();
    Box::new(ConfigError::Incomplete { setting, missing })
}

/// `spiffe://`, a trust domain, and segments of a path (SPIFFE-ID, section 2). It is compared with the certificate's
/// byte by byte, so an ID that breaks the rules never matches.
fn spiffe_id(text: &str) -> Result<Box<str>, SettingRule> {
    match is_spiffe_id(text) {
        true => Ok(text.into()),
        false => Err(SettingRule::SpiffeId),
    }
}

/// Whether the text is a SPIFFE ID.
pub fn is_spiffe_id(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("spiffe://") else {
        return false;
    };
    let mut parts = rest.split('/');
    let domain = parts.next().unwrap_or_default();
    is_trust_domain(domain) && parts.all(is_segment)
}
