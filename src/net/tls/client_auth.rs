//! Our certificate, and whether the app requested one: the cause of a refusal depends on it.

use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};
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
    /// The last alert of the app; `NO_ALERT` if there was none.
    last_alert: AtomicU16,
}

/// More than any alert.
const NO_ALERT: u16 = u16::MAX;

impl ClientAuth {
    pub(super) fn new(pair: Option<Arc<CertifiedKey>>) -> ClientAuth {
        ClientAuth {
            pair,
            is_requested: AtomicBool::new(false),
            last_alert: AtomicU16::new(NO_ALERT),
        }
    }

    /// Whether there is a certificate.
    pub(super) fn has_pair(&self) -> bool {
        self.pair.is_some()
    }

    /// Records an alert of the app.
    pub(super) fn record_alert(&self, alert: u8) {
        self.last_alert.store(alert.into(), Ordering::Relaxed);
    }

    /// The last alert of the app.
    pub(super) fn last_alert(&self) -> Option<u8> {
        u8::try_from(self.last_alert.load(Ordering::Relaxed)).ok()
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
