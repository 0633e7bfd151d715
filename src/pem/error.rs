//! Errors of files, whose texts name the remedy.

use core::fmt;

use rustix::io::Errno;

use crate::limits;
use crate::telemetry::RepeatFilter;

/// The purpose of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// The certificate that this process presents, followed by its intermediates.
    Certificate,
    /// The key of that certificate.
    Key,
    /// The CA certificates that verify the peer.
    Ca,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Its purpose.
    pub role: FileRole,
    /// Its path.
    pub path: Box<str>,
    /// The error.
    pub error: PemError,
}

/// The error of a PEM file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemError {
    /// The file cannot be read.
    Read(ReadError),
    /// It starts with a UTF-8 byte order mark, which hides its first section.
    ByteOrderMark,
    /// A section of it is malformed.
    NotPem,
    /// It has no certificate.
    NoCertificate,
    /// One of its certificates cannot be parsed.
    BadCertificate,
    /// The certificate of the key is in it, but not as the first one.
    LeafNotFirst,
    /// Its certificates have this many bytes, more than [`OWN_CHAIN_BYTES`](limits::OWN_CHAIN_BYTES).
    ChainTooLong(usize),
    /// It has no private key.
    NoKey,
    /// Its key is encrypted with a passphrase.
    EncryptedKey,
    /// Its key is of a kind or size that cannot sign here.
    UnsupportedKey,
    /// Its key does not belong to the certificate.
    KeyMismatch,
}

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The kernel's error.
    Unreadable(Errno),
    /// This process may not read it.
    Denied(Permissions),
    /// A directory, a pipe, a socket or a device.
    NotRegular,
    /// More than this many bytes.
    TooLarge(usize),
}

/// The permissions of a file, and the user who may not read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// The permission bits.
    pub mode: u32,
    /// The user ID of its owner.
    pub owner: u32,
    /// The user ID of this process.
    pub user: u32,
}

/// Reports a read error that repeats at every poll only once.
#[derive(Clone, Debug, Default)]
pub struct FailureFilter(RepeatFilter<FileError>);

impl FailureFilter {
    /// Records the result of a reload. Returns whether it should be reported: always, except for a read error
    /// that is the same as the last failure. A file that was read again has other contents.
    pub fn observe<T>(&mut self, result: &Result<T, FileError>) -> bool {
        let Err(error) = result else {
            self.0.clear();
            return true;
        };
        self.0.observe_error(error) || !matches!(error.error, PemError::Read(_))
    }
}

impl Permissions {
    /// Whether the mode lets the user read the file, also one who is not in its group.
    fn may_read(self) -> bool {
        let bit = match self.owner == self.user {
            true => 0o400,
            false => 0o004,
        };
        self.mode & bit != 0
    }
}

impl core::error::Error for FileError {}

impl core::error::Error for PemError {}

impl core::error::Error for ReadError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.error)
    }
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PemError::Read(error) => {
                let remedy = match error {
                    ReadError::Unreadable(_) => "",
                    ReadError::Denied(permissions) if permissions.may_read() => {
                        ": a security module, such as SELinux or AppArmor, may deny it"
                    }
                    ReadError::Denied(_) => {
                        ": in a pod, set `defaultMode: 0440` for its volume, and `fsGroup`"
                    }
                    ReadError::NotRegular => ": write the path of a PEM file",
                    ReadError::TooLarge(_) => ": keep only the certificates or the key in it",
                };
                return write!(f, "{error}{remedy}");
            }
            PemError::ByteOrderMark => {
                "starts with a UTF-8 byte order mark (BOM): save it as UTF-8 without a BOM"
            }
            PemError::NotPem => {
                "is not valid PEM: write base64 between -----BEGIN …----- and -----END …-----"
            }
            PemError::NoCertificate => {
                "has no certificate: write one that begins with -----BEGIN CERTIFICATE-----"
            }
            PemError::BadCertificate => {
                "has a certificate that cannot be parsed: `openssl x509 -text` shows more"
            }
            PemError::LeafNotFirst => {
                "has the certificate of the key after another one: write the certificate of the key first, \
                 then its intermediates"
            }
            PemError::ChainTooLong(bytes) => {
                return write!(
                    f,
                    "has a certificate chain of {bytes} bytes, more than the limit of {}: keep only the certificate of the \
                     key and its intermediates",
                    limits::OWN_CHAIN_BYTES
                );
            }
            PemError::NoKey => {
                "has no private key: write one that begins with -----BEGIN PRIVATE KEY-----"
            }
            PemError::EncryptedKey => {
                "has a key with a passphrase: write the key without one: `openssl pkey -in KEY -out NEW_KEY`"
            }
            PemError::UnsupportedKey => {
                "has an unsupported key: write an ECDSA key of P-256 or P-384, an Ed25519 key, \
                 or an RSA key of 2048 to 8192 bits"
            }
            PemError::KeyMismatch => {
                "has a key that does not match the certificate: write the key of that certificate"
            }
        })
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Unreadable(error) => write!(f, "cannot be read: {error}"),
            ReadError::Denied(Permissions { mode, owner, user }) => write!(
                f,
                "cannot be read: its mode is {mode:04o}, its owner is user {owner}, and this program runs as user {user}"
            ),
            ReadError::NotRegular => f.write_str("is not a regular file"),
            ReadError::TooLarge(max_bytes) => {
                write!(f, "is larger than {} KiB", max_bytes / 1024)
            }
        }
    }
}
