//! Certificate and key files in PEM (RFC 7468): bounded reads, change detection, the check that a key belongs to its
//! certificate, validity periods, and the error texts. Used by the agent and by the webhook.
//!
//! Reading blocks the thread. It happens at start and after a change: a few small files of a Secret volume,
//! which is a tmpfs.

mod error;
mod file;
#[cfg(feature = "tls")]
mod pair;
#[cfg(feature = "tls")]
mod parse;
#[cfg(feature = "tls")]
mod validity;

pub use error::{FailureFilter, FileError, FileRole, PemError, Permissions, ReadError};
pub use file::{FileBytes, WatchedFile, read_file};
#[cfg(feature = "tls")]
pub use pair::{
    KeyPairError, KeyPairFiles, RootsFile, is_trust_anchor, parse_key_pair, subject_public_key,
};
#[cfg(feature = "tls")]
pub use parse::{parse_certificates, parse_roots, parse_valid_roots};
#[cfg(feature = "tls")]
pub use validity::{UnixSeconds, Validity, parse_rfc3339, rfc3339, unix_now, uri_names, validity};

#[cfg(all(test, feature = "tls"))]
mod tests;
