//! Options of TLS to the app, and the result of a reload of its files. The same types in every build.

use crate::pem::{FileError, FileRole};

/// The values of `--client-cert`, `--client-key`, `--app-ca` and `--app-id`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Files of the client certificate, followed by its intermediates, and of its key.
    pub client: Option<[Box<str>; 2]>,
    /// File of the CA certificates that verify the app's certificate. Without one nothing is verified.
    pub app_ca: Option<Box<str>>,
    /// The URI that the app's certificate must have.
    pub app_id: Option<Box<str>>,
}

/// The elliptic curves that the ClientHello offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curves {
    /// The ones for key exchange: X25519, P-256, P-384.
    Usable,
    /// P-521 as well, for an app whose certificate uses it. Not offered at first: an app that prefers it for
    /// the key exchange would then fail.
    AndP521,
}

/// The application protocols that the ClientHello offers (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `h2`, then `http/1.1`: HTTP probes.
    Http,
    /// Only `h2`: gRPC probes.
    H2,
    /// No ALPN extension: lifecycle hooks.
    Nothing,
}

/// What the ClientHello of one connection has in it, and the app's port, whose handshake permits it uses.
#[derive(Clone, Copy, Debug)]
pub struct TlsHello<'a> {
    /// The app's port.
    pub port: u16,
    /// SNI, unless it is an address (RFC 6066 section 3).
    pub server_name: Option<&'a str>,
    /// The protocols.
    pub alpn: Alpn,
    /// The curves.
    pub curves: Curves,
}

/// The result of reading files again after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsReload {
    /// The new contents of the file, or of the certificate and its key, are in use.
    Renewed(FileRole),
    /// The previous contents stay in use.
    Failed(FileError),
}

impl TlsReload {
    /// The value of `part` in log lines.
    pub fn part(&self) -> &'static str {
        let (TlsReload::Renewed(role) | TlsReload::Failed(FileError { role, .. })) = self;
        match role {
            FileRole::Certificate => "client_certificate",
            FileRole::Key => "client_key",
            FileRole::Ca => "app_ca",
        }
    }
}
