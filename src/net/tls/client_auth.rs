//! Our certificate, and whether the app requested one: the cause of a refusal depends on it.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

/// Resolves to our certificate, if there is one.
#[derive(Debug)]
pub(super) struct ClientAuth {
    pair: Option<Arc<CertifiedKey>>,
    /// Set while the records of one connection are processed. There is one thread; it is atomic because rustls requires
    /// `Sync`.
    is_requested: AtomicBool,
}

impl ClientAuth {
    pub(super) fn new(pair: Option<Arc<CertifiedKey>>) -> ClientAuth {
        ClientAuth {
            pair,
            is_requested: AtomicBool::new(false),
        }
    }

    /// Whether there is a certificate.
    pub(super) fn has_pair(&self) -> bool {
        self.pair.is_some()
    }

    /// Whether it was requested since the last call.
    pub(super) fn take_requested(&self) -> bool {
        self.is_requested.swap(false, Ordering::Relaxed)
    }
}

impl ResolvesClientCert for ClientAuth {
    /// Ignores the app's list of issuers: if the app refuses the certificate, its alert explains more than sending none.
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.is_requested.store(true, Ordering::Relaxed);
        self.pair.clone()
    }

    fn has_certs(&self) -> bool {
        self.has_pair()
    }
}
