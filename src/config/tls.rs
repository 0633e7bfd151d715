//! What is said about TLS to the app: files that have to be good before anything listens.

use super::settings::{Given, Sources};
use super::{ConfigError, Fault};
use crate::net::tls::{IS_BUILT, Tls};
use crate::net::{TlsFileError, TlsFiles, TlsPart};
use std::rc::Rc;

impl Sources<'_> {
    pub(super) fn tls(&self) -> Result<Rc<Tls>, Box<ConfigError>> {
        let cert = self.find("client-cert", &self.typed.client_cert)?;
        let key = self.find("client-key", &self.typed.client_key)?;
        let ca = self.find("app-ca", &self.typed.app_ca)?;
        let id = self.find("app-id", &self.typed.app_id)?;
        if let Some(given) = [&cert, &key, &ca, &id].into_iter().flatten().next()
            && !IS_BUILT
        {
            let origin = given.origin.clone();
            return Err(Box::new(ConfigError::NoTls { origin }));
        }
        let id_value = id.as_ref().map(|id| id.read(spiffe_id)).transpose()?;
        let client = match (&cert, &key) {
            (Some(cert), Some(key)) => Some([cert.value.clone(), key.value.clone()]),
            (Some(cert), None) => return Err(alone(cert, "--client-key")),
            (None, Some(key)) => return Err(alone(key, "--client-cert")),
            (None, None) => None,
        };
        if let (Some(id), None) = (&id, &ca) {
            return Err(alone(id, "--app-ca"));
        }
        let files = TlsFiles {
            client,
            app_ca: ca.as_ref().map(|ca| ca.value.clone()),
            app_id: id_value,
        };
        match Tls::load(files) {
            Ok(tls) => Ok(Rc::new(tls)),
            Err(error) => {
                let given = match error.part {
                    TlsPart::Certificate => cert,
                    TlsPart::Key => key,
                    TlsPart::AppCa => ca,
                };
                Err(of_file(given, error))
            }
        }
    }
}

fn alone(given: &Given, missing: &'static str) -> Box<ConfigError> {
    let given = given.name();
    Box::new(ConfigError::Alone { given, missing })
}

fn of_file(given: Option<Given>, error: TlsFileError) -> Box<ConfigError> {
    Box::new(ConfigError::TlsFile {
        origin: given.map(|given| given.origin).unwrap_or_default(),
        path: error.path,
        problem: error.problem,
    })
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
