//! The certificate that is shown, and the files it may come from.

use super::files::Watched;
use super::validity::{Seconds, validity};
use crate::limits;
use crate::net::FileProblem;
use core::fmt;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, ServerConfig};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A certificate, its chain, and its key.
#[derive(Clone, Debug)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    /// When it ends, where that can be told.
    pub not_after: Option<Seconds>,
}

/// Which of the two is wrong, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairProblem {
    /// Whether it is the key.
    pub is_key: bool,
    /// What is wrong with it.
    pub problem: FileProblem,
}

/// What new connections are shown. It is behind a lock because rustls asks for that; nobody waits at it.
#[derive(Debug, Default)]
pub struct Shown(Mutex<Option<Pair>>);

impl Shown {
    /// Shows this one from now on; whether it is the first.
    pub fn set(&self, pair: Pair) -> bool {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.replace(pair).is_none()
    }

    /// When it ends, where that can be told.
    pub fn not_after(&self) -> Option<Seconds> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.as_ref()?.not_after
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(shown.as_ref()?.key.clone())
    }
}

/// What connections share. No session is kept and no ticket given: the API server's connections live long, and
/// tickets are memory of each.
///
/// # Errors
/// rustls': none, as there are suites for both versions.
pub fn server_config(shown: Arc<Shown>) -> Result<ServerConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

impl Pair {
    /// Reads both as PEM.
    ///
    /// # Errors
    /// Which is wrong, and how.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Pair, PairProblem> {
        let of_chain = |problem| PairProblem {
            is_key: false,
            problem,
        };
        let of_key = |problem| PairProblem {
            is_key: true,
            problem,
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| of_chain(FileProblem::NotPem))?;
        let Some(first) = chain.first() else {
            return Err(of_chain(FileProblem::NoCertificate));
        };
        let not_after = validity(first).map(|[_, to]| to);
        let provider: CryptoProvider = ring::default_provider();
        let signing = provider
            .key_provider
            .load_private_key(private(key).map_err(of_key)?)
            .map_err(|_| of_key(FileProblem::UnusableKey))?;
        let key = CertifiedKey::new(chain, signing);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => return Err(of_key(FileProblem::OtherKey)),
            Err(_) => return Err(of_chain(FileProblem::BadCertificate)),
        }
        let key = Arc::new(key);
        Ok(Pair { key, not_after })
    }
}

fn private(pem: &[u8]) -> Result<PrivateKeyDer<'static>, FileProblem> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let is_encrypted = memchr::memmem::find(pem, b"ENCRYPTED").is_some();
        match error {
            _ if is_encrypted => FileProblem::EncryptedKey,
            PemError::NoItemsFound => FileProblem::NoKey,
            _ => FileProblem::NotPem,
        }
    })
}

/// A pair of files, looked at again.
#[derive(Debug)]
pub struct Files {
    files: [Watched; 2],
    look_at: Instant,
    /// What was last said to be wrong.
    told: Option<Box<str>>,
}

impl Files {
    /// Reads both.
    ///
    /// # Errors
    /// Which is wrong, and how.
    pub fn load([chain, key]: &[Box<str>; 2]) -> Result<(Files, Pair), Box<str>> {
        let mut files = Files {
            files: [Watched::new(&**chain), Watched::new(&**key)],
            look_at: Instant::now(),
            told: None,
        };
        let pair = files.read()?;
        Ok((files, pair))
    }

    /// The pair, if it has changed; looked at only if that was not done just now. What is broken is told once.
    pub fn look(&mut self, now: Instant) -> Option<Result<Pair, Box<str>>> {
        if now < self.look_at {
            return None;
        }
        self.look_at = now + limits::PEM_LOOK;
        // Each is looked at, whatever the other says. The files may be well, and the process out of descriptors.
        let files = self.files.iter_mut();
        let changed = files.fold(false, |changed, file| file.look() | changed);
        if !changed && self.told.is_none() {
            return None;
        }
        match self.read() {
            Err(why) if self.told.as_ref() == Some(&why) => None,
            read => {
                self.told = read.as_ref().err().cloned();
                Some(read)
            }
        }
    }

    fn read(&mut self) -> Result<Pair, Box<str>> {
        let read = |file: &mut Watched| -> Result<Vec<u8>, Box<str>> {
            file.look();
            file.read(limits::PEM_BYTES)
                .map_err(|error| said(file, &error))
        };
        let [chain, key] = &mut self.files;
        let pair = Pair::read(&read(chain)?, &read(key)?);
        pair.map_err(|PairProblem { is_key, problem }| {
            let file = &self.files[usize::from(is_key)];
            said(file, &problem)
        })
    }
}

fn said(file: &Watched, why: &dyn fmt::Display) -> Box<str> {
    format!("{}: {why}", file.path().display()).into()
}
