//! TLS to the app: which files the agent reads at its start, and the identity that the app must have. The files
//! themselves are not read here.

use super::settings::{Given, Sources};
use super::settings_error::{ConfigError, Fault, FileSetting};

/// What the settings for TLS name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The client certificate that the app asks for.
    pub client: Option<ClientCert>,
    /// The trust anchors of the app's certificate; without them nothing is verified.
    pub app_ca: Option<FileSetting>,
    /// The SPIFFE ID that the app's certificate must have.
    pub app_id: Option<Box<str>>,
}

/// PEM files of a certificate, with its intermediates, and of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCert {
    /// The certificate chain.
    pub cert: FileSetting,
    /// The private key.
    pub key: FileSetting,
}

impl From<Given> for FileSetting {
    fn from(given: Given) -> Self {
        FileSetting {
            origin: given.origin,
            path: given.value,
        }
    }
}

impl Sources<'_> {
    /// Refuses settings for TLS in a build without it.
    pub(super) fn check_build(&self) -> Result<(), Box<ConfigError>> {
        if cfg!(feature = "tls") {
            return Ok(());
        }
        for (flag, typed) in [
            ("client-cert", &self.typed.client_cert),
            ("client-key", &self.typed.client_key),
            ("app-ca", &self.typed.app_ca),
            ("app-id", &self.typed.app_id),
        ] {
            if let Some(Given { origin, .. }) = self.find(flag, typed)? {
                return Err(Box::new(ConfigError::NoTls { origin }));
            }
        }
        Ok(())
    }

    pub(super) fn tls(&self) -> Result<TlsSettings, Box<ConfigError>> {
        let cert = self.find("client-cert", &self.typed.client_cert)?;
        let key = self.find("client-key", &self.typed.client_key)?;
        let ca = self.find("app-ca", &self.typed.app_ca)?;
        let id = self.find("app-id", &self.typed.app_id)?;
        let app_id = id.as_ref().map(|id| id.read(spiffe_id)).transpose()?;
        let client = match (cert, key) {
            (Some(cert), Some(key)) => Some(ClientCert {
                cert: cert.into(),
                key: key.into(),
            }),
            (Some(cert), None) => return Err(alone(&cert, "--client-key")),
            (None, Some(key)) => return Err(alone(&key, "--client-cert")),
            (None, None) => None,
        };
        if let (Some(id), None) = (&id, &ca) {
            return Err(alone(id, "--app-ca"));
        }
        Ok(TlsSettings {
            client,
            app_ca: ca.map(Into::into),
            app_id,
        })
    }
}

fn alone(given: &Given, missing: &'static str) -> Box<ConfigError> {
    let given = given.name();
    Box::new(ConfigError::Alone { given, missing })
}

/// `spiffe://`, a trust domain, and segments of a path (SPIFFE-ID, section 2). A certificate has it in just
/// these bytes, so what breaks the rules could never match.
fn spiffe_id(text: &str) -> Result<Box<str>, Fault> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_domain = |b: u8| is_plain(b) && !b.is_ascii_uppercase();
    let rest = text.strip_prefix("spiffe://").ok_or(Fault::SpiffeId)?;
    let mut parts = rest.split('/');
    let domain = parts.next().unwrap_or_default();
    let is_good = !domain.is_empty()
        && domain.bytes().all(is_domain)
        && parts.all(|part| !matches!(part, "" | "." | "..") && part.bytes().all(is_plain));
    is_good.then(|| text.into()).ok_or(Fault::SpiffeId)
}
