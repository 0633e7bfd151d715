//! What TLS rests on beside the app: files, and what can be wrong with them. The same in every build.

use core::fmt;

use rustix::io::Errno;

use crate::limits;

/// The files and the name that `--client-cert`, `--client-key`, `--app-ca` and `--app-id` give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Files of our certificate, with its intermediates, and of its key.
    pub client: Option<[Box<str>; 2]>,
    /// File of the CA certificates that the app's must lead to; without one nothing is verified.
    pub app_ca: Option<Box<str>>,
    /// The URI that the app's certificate must have.
    pub app_id: Option<Box<str>>,
}

/// The elliptic curves that the first message of a handshake names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curves {
    /// Those there are: X25519, P-256, P-384.
    Usable,
    /// P-521 as well, for an app whose certificate is on it. Not in the first place: an app that prefers it for
    /// the key exchange too would then be lost.
    AndP521,
}

/// The application protocols offered (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `h2`, then `http/1.1`: an HTTP probe's.
    Http,
    /// `h2` alone: gRPC's.
    H2,
    /// No such extension: a lifecycle hook's.
    Nothing,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPart {
    /// Our certificate.
    Certificate,
    /// Its key.
    Key,
    /// The CA certificates for the app's.
    AppCa,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFileError {
    /// What it is for.
    pub part: TlsPart,
    /// Its path.
    pub path: Box<str>,
    /// What is wrong with it.
    pub problem: FileProblem,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileProblem {
    /// It cannot be read.
    Unreadable(Errno),
    /// It is a directory, a pipe or a device.
    NotAFile,
    /// It has more than `limits::PEM_BYTES`.
    TooLarge,
    /// It is not PEM all through.
    NotPem,
    /// There is no certificate in it.
    NoCertificate,
    /// A certificate in it cannot be understood.
    BadCertificate,
    /// There is no key in it.
    NoKey,
    /// The key in it wants a passphrase.
    EncryptedKey,
    /// The key in it is of a kind that cannot sign here.
    UnusableKey,
    /// The key in it is another certificate's.
    OtherKey,
}

impl FileProblem {
    /// Whether the file's contents are known, and are the problem.
    pub fn was_read(self) -> bool {
        use FileProblem::{NotAFile, TooLarge, Unreadable};
        !matches!(self, Unreadable(_) | NotAFile | TooLarge)
    }
}

/// What came of a file that changed while the agent runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsNotice {
    /// What it has now is in use.
    Renewed(TlsPart),
    /// What it had before stays in use.
    Kept(TlsFileError),
}

impl TlsPart {
    /// The word for it in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            TlsPart::Certificate => "client_certificate",
            TlsPart::Key => "client_key",
            TlsPart::AppCa => "app_ca",
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            FileProblem::Unreadable(error) => return write!(f, "cannot be read: {error}"),
            FileProblem::NotAFile => "is no regular file: write the path of a PEM file",
            FileProblem::TooLarge => {
                let most = limits::PEM_BYTES / 1024;
                return write!(f, "has more than {most} KiB: leave out what is not needed");
            }
            FileProblem::NotPem => {
                "is not PEM: write base64 between -----BEGIN …----- and -----END …-----"
            }
            FileProblem::NoCertificate => {
                "has no certificate: write one that begins with -----BEGIN CERTIFICATE-----"
            }
            FileProblem::BadCertificate => {
                "has a certificate that cannot be understood: `openssl x509 -text` tells more"
            }
            FileProblem::NoKey => {
                "has no private key: write one that begins with -----BEGIN PRIVATE KEY-----"
            }
            FileProblem::EncryptedKey => {
                "has a key with a passphrase: write it without one, as `openssl pkey` does"
            }
            FileProblem::UnusableKey => {
                "has a key that cannot be used: write an ECDSA key of P-256 or P-384, an Ed25519 key, \
                 or an RSA key of 2048 to 8192 bits"
            }
            FileProblem::OtherKey => {
                "has a key that is not the certificate's: write the key the certificate was made for"
            }
        })
    }
}
