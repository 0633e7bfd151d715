//! Options of TLS to the app, and the result of a reload of its files. The same types in every build.

use core::time::Duration;

use crate::limits;
use crate::pem::{FileError, FileRole};

/// The values of `--client-cert`, `--client-key`, `--app-ca`, `--app-id`, `--require-files`, `--cert`, `--key` and `--ca`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The client certificate, if the app requires one.
    pub client: Option<KeyPairPaths>,
    /// Files of the CA certificates that verify the app's certificate. Without one nothing is verified.
    pub app_ca: Box<[Box<str>]>,
    /// The URI that the app's certificate must have.
    pub app_id: Option<Box<str>>,
    /// Whether the app's certificate must have the server name of the connection.
    pub verifies_name: bool,
    /// The workload's identity, with which inbound ports serve.
    pub identity: Option<IdentityPaths>,
    /// Whether a file that does not exist is an error of [`load`](crate::net::tls::Tls::load).
    pub require_files: bool,
}

/// Files of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPairPaths {
    /// Path of the certificate, followed by its intermediates.
    pub certificate: Box<str>,
    /// Path of the key.
    pub key: Box<str>,
}

/// Files of the workload's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityPaths {
    /// The certificate and its key.
    pub pair: KeyPairPaths,
    /// The CAs of the peers.
    pub ca: Box<[CaPath]>,
}

/// A file of CA certificates that verify peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaPath {
    /// The trust domain of all SPIFFE IDs that these CAs may sign; `None` for any.
    pub domain: Option<Box<str>>,
    /// Path of the CA certificates.
    pub path: Box<str>,
}

/// The elliptic curves that the ClientHello offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curves {
    /// Those that this process has for the key exchange: X25519, P-256, P-384.
    Default,
    /// P-521 as well, for an app whose certificate uses it. Not offered in the first handshake: an app that prefers
    /// P-521 for the key exchange would then fail.
    WithP521,
}

/// What a connection is for. kubelet's clients differ in ALPN and in their timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPurpose {
    /// An HTTP probe.
    HttpProbe,
    /// A gRPC probe.
    GrpcProbe,
    /// A lifecycle hook.
    Hook,
}

impl TlsPurpose {
    /// The application protocols that the ClientHello offers (RFC 7301); if there are none, it has no ALPN extension.
    pub fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            TlsPurpose::HttpProbe => &[b"h2", b"http/1.1"],
            TlsPurpose::GrpcProbe => &[b"h2"],
            TlsPurpose::Hook => &[],
        }
    }

    /// The timeout of the handshake. kubelet's clients for gRPC and for hooks have none.
    pub fn handshake_timeout(self) -> Option<Duration> {
        match self {
            TlsPurpose::HttpProbe => Some(limits::TLS_HANDSHAKE_TIMEOUT),
            TlsPurpose::GrpcProbe | TlsPurpose::Hook => None,
        }
    }

    /// Whether the connection may hold its handshake permit after the handshake. A hook may run for minutes, and few of
    /// them run concurrently.
    pub fn may_hold_permit(self) -> bool {
        match self {
            TlsPurpose::HttpProbe | TlsPurpose::GrpcProbe => true,
            TlsPurpose::Hook => false,
        }
    }
}

/// Options of one TLS connection.
#[derive(Clone, Copy, Debug)]
pub struct TlsConnectOptions<'a> {
    /// The app's port, which has a share of the handshake permits.
    pub port: u16,
    /// The app's name or address. A name is sent as SNI (RFC 6066 section 3).
    pub server_name: Option<&'a str>,
    /// What the connection is for.
    pub purpose: TlsPurpose,
    /// The curves that are offered.
    pub curves: Curves,
}

/// The purpose of files that are read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertFile {
    /// The certificate that the client presents to the app, with its key.
    ClientCertificate,
    /// CA certificates that verify the app's certificate.
    AppCa,
    /// The certificate of the workload, with its key.
    Certificate,
    /// CA certificates that verify peers.
    Ca,
}

/// The result of reading files at the start or after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsReload {
    /// The first contents are in use: the file did not exist at the start.
    Loaded {
        /// The purpose of the files.
        file: CertFile,
    },
    /// There are no contents yet, so that no handshake begins.
    NotLoaded {
        /// The purpose of the files.
        file: CertFile,
        /// The error.
        error: FileError,
    },
    /// The new contents are in use.
    Reloaded {
        /// The purpose of the files.
        file: CertFile,
    },
    /// The previous contents stay in use.
    Failed {
        /// The purpose of the files.
        file: CertFile,
        /// The error.
        error: FileError,
    },
}

impl CertFile {
    /// All of them, in the order of their discriminants.
    pub const ALL: [CertFile; 4] = [
        CertFile::ClientCertificate,
        CertFile::AppCa,
        CertFile::Certificate,
        CertFile::Ca,
    ];

    /// The value of `file` in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            CertFile::ClientCertificate => "client_certificate",
            CertFile::AppCa => "app_ca",
            CertFile::Certificate => "certificate",
            CertFile::Ca => "ca",
        }
    }

    /// The same of the key, if the files have one.
    fn key_as_str(self) -> &'static str {
        match self {
            CertFile::ClientCertificate => "client_key",
            CertFile::Certificate => "key",
            CertFile::AppCa | CertFile::Ca => self.as_str(),
        }
    }
}

impl TlsReload {
    /// The value of `file` in log lines.
    pub fn file(&self) -> &'static str {
        match self {
            TlsReload::Loaded { file } | TlsReload::Reloaded { file } => file.as_str(),
            TlsReload::NotLoaded { file, error } | TlsReload::Failed { file, error } => {
                match error.role {
                    FileRole::Key => file.key_as_str(),
                    FileRole::Certificate | FileRole::Ca => file.as_str(),
                }
            }
        }
    }
}
