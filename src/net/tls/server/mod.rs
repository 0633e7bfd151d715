//! TLS of the clients that connect to this pod: mutual TLS with the workload's identity. A client needs a certificate whose
//! chain leads to one of the CAs, and an identity that is allowed. There is no resumption, so each connection is authorized.

mod config;
mod session;
mod stream;
mod verify;

pub use config::TlsAcceptor;
pub use session::{BUFFER_BYTES as TLS_SERVER_BUFFER_BYTES, ServerSession};
pub use stream::{HandshakeEnd, HandshakeWait, Received, TlsServerStream};
pub use verify::{AuthorizePeer, PeerNames};

use super::files::{BundleId, CertFiles, PairId};
use crate::net::tls_options::{CertFile, IdentityPaths};

/// The workload's identity: its certificate, and the CAs of its peers.
pub(super) struct ServerIdentity {
    pair: PairId,
    bundles: Box<[Bundle]>,
}

/// A CA bundle, and the trust domain of its identities.
struct Bundle {
    domain: Option<Box<str>>,
    id: BundleId,
}

impl ServerIdentity {
    /// Adds the files of the identity to `files`. Reads nothing yet.
    pub(super) fn new(paths: &IdentityPaths, files: &mut CertFiles) -> ServerIdentity {
        let bundles = paths.ca.iter().map(|ca| Bundle {
            domain: ca.domain.clone(),
            id: files.add_bundle(CertFile::Ca, &ca.path),
        });
        ServerIdentity {
            bundles: bundles.collect(),
            pair: files.add_pair(CertFile::Certificate, &paths.pair),
        }
    }
}

#[cfg(test)]
mod tests;
