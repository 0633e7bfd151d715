//! Certificate and key files in PEM (RFC 7468): bounded reads, change detection, the check that a key belongs to its
//! certificate, and the error texts. Used by the agent and by the webhook.
//!
//! Reading blocks the thread. It happens at start and after a change: a few small files of a Secret volume,
//! which is a tmpfs.

mod error;
mod file;
#[cfg(feature = "tls")]
mod pair;
#[cfg(feature = "tls")]
mod parse;

pub use error::{FailureFilter, FileError, FileRole, PemError, ReadError};
pub use file::{FileBytes, WatchedFile, read_file};
#[cfg(feature = "tls")]
pub use pair::{KeyPairError, KeyPairFiles, RootsFile, parse_key_pair};
#[cfg(feature = "tls")]
pub use parse::{parse_certificates, parse_roots, parse_valid_roots};

#[cfg(all(test, feature = "tls"))]
mod tests;
