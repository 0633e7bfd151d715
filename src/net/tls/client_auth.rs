//! Our certificate, and whether the app asked for one: that tells what a refusal is about.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

/// Gives out our certificate when there is one.
#[derive(Debug)]
pub(super) struct ClientAuth {
    pair: Option<Arc<CertifiedKey>>,
    /// Set while one connection's records are looked through. There is one thread: it is atomic only
    /// because rustls asks for it.
    asked: AtomicBool,
}

impl ClientAuth {
    pub(super) fn new(pair: Option<Arc<CertifiedKey>>) -> ClientAuth {
        ClientAuth {
            pair,
            asked: AtomicBool::new(false),
        }
    }

    /// Whether there is a certificate to show.
    pub(super) fn has_pair(&self) -> bool {
        self.pair.is_some()
    }

    /// Whether it was asked for since this was last called.
    pub(super) fn take_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }
}

impl ResolvesClientCert for ClientAuth {
    /// The app's list of issuers is left alone: it is the app's to refuse, and its reason is worth more
    /// than our silence.
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.pair.clone()
    }

    fn has_certs(&self) -> bool {
        self.has_pair()
    }
}
