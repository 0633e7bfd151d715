//! PEM files: read, understood, and looked at again when they change on disk.
//!
//! Reading blocks the thread. It is done at the start, and when a file has changed: two or three small
//! files of a Secret volume, which is memory.

use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open, stat};
use rustix::io::Errno;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use crate::limits;
use crate::net::tls_files::{FileProblem, TlsFileError, TlsPart};

/// Which contents a path leads to. A Secret volume swaps a symbolic link, so the file itself counts:
/// device, inode, size, and the times in seconds and nanoseconds. What is written over in place, as long as
/// before and within one tick of the kernel's clock, passes unseen; whoever renews a pair renames.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp([u64; 5]);

/// What was read, which may be a key: wiped when it is no longer needed.
struct Contents(Vec<u8>);

impl Drop for Contents {
    fn drop(&mut self) {
        self.0.fill(0);
        // Else nobody reads it, and it need not be written.
        core::hint::black_box(&self.0);
    }
}

/// A file as it was when it was read.
pub(super) struct File {
    pub(super) part: TlsPart,
    pub(super) path: Box<str>,
    pub(super) stamp: Option<Stamp>,
}

impl Stamp {
    #[allow(clippy::unnecessary_cast, reason = "the types differ by architecture")]
    fn of(stat: &Stat) -> Stamp {
        Stamp([
            stat.st_dev as u64,
            stat.st_ino as u64,
            stat.st_size as u64,
            stat.st_mtime as u64 ^ (stat.st_mtime_nsec as u64) << 32,
            stat.st_ctime as u64 ^ (stat.st_ctime_nsec as u64) << 32,
        ])
    }
}

impl File {
    pub(super) fn new(part: TlsPart, path: &str) -> File {
        File {
            part,
            path: path.into(),
            stamp: None,
        }
    }

    /// Whether the path leads to something else than at the last look; that is remembered.
    pub(super) fn look(&mut self) -> bool {
        let seen = stat(&*self.path).ok().map(|stat| Stamp::of(&stat));
        core::mem::replace(&mut self.stamp, seen) != seen
    }

    /// Its bytes. What is no regular file is not waited for.
    fn read(&mut self) -> Result<Contents, TlsFileError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let unreadable = |error| FileProblem::Unreadable(error);
        let read = || {
            let fd = open(&*self.path, flags, Mode::empty()).map_err(unreadable)?;
            let stat = fstat(&fd).map_err(unreadable)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(FileProblem::NotAFile);
            }
            let mut contents = Contents(vec![0; limits::PEM_BYTES + 1]);
            let bytes = &mut contents.0;
            let mut len = 0;
            while len < bytes.len() {
                match rustix::io::read(&fd, &mut bytes[len..]) {
                    Ok(0) => break,
                    Ok(more) => len += more,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(FileProblem::Unreadable(error)),
                }
            }
            if len > limits::PEM_BYTES {
                return Err(FileProblem::TooLarge);
            }
            bytes.truncate(len);
            Ok((contents, Stamp::of(&stat)))
        };
        match read() {
            Ok((contents, stamp)) => {
                self.stamp = Some(stamp);
                Ok(contents)
            }
            Err(problem) => {
                // The file may be well, and this process out of descriptors: it is looked at again.
                self.stamp = None;
                Err(self.error(problem))
            }
        }
    }

    fn error(&self, problem: FileProblem) -> TlsFileError {
        TlsFileError {
            part: self.part,
            path: self.path.clone(),
            problem,
        }
    }

    fn certificates(&mut self) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
        let Contents(bytes) = &self.read()?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
        match certificates {
            Err(_) => Err(self.error(FileProblem::NotPem)),
            Ok(none) if none.is_empty() => Err(self.error(FileProblem::NoCertificate)),
            Ok(certificates) => Ok(certificates),
        }
    }

    fn key(&mut self) -> Result<PrivateKeyDer<'static>, TlsFileError> {
        let Contents(bytes) = &self.read()?;
        PrivateKeyDer::from_pem_slice(bytes).map_err(|error| {
            // `BEGIN ENCRYPTED PRIVATE KEY`, and OpenSSL's older `Proc-Type: 4,ENCRYPTED`.
            let is_encrypted = memchr::memmem::find(bytes, b"ENCRYPTED").is_some();
            self.error(match error {
                _ if is_encrypted => FileProblem::EncryptedKey,
                PemError::NoItemsFound => FileProblem::NoKey,
                _ => FileProblem::NotPem,
            })
        })
    }
}

/// Our certificate and the key that is really its own.
///
/// # Errors
/// Which file is wrong, and how.
#[inline(never)] // What looks whether there is a file runs at every start, and lies elsewhere in memory.
pub(super) fn read_pair(
    [certificate, key]: &mut [File; 2],
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsFileError> {
    let chain = certificate.certificates()?;
    let signing_key = provider.key_provider.load_private_key(key.key()?);
    let signing_key = signing_key.map_err(|_| key.error(FileProblem::UnusableKey))?;
    let pair = CertifiedKey::new(chain, signing_key);
    match pair.keys_match() {
        Ok(()) => Ok(Arc::new(pair)),
        Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(pair)),
        Err(Error::InconsistentKeys(_)) => Err(key.error(FileProblem::OtherKey)),
        Err(_) => Err(certificate.error(FileProblem::BadCertificate)),
    }
}

/// The CA certificates that the app's must lead to.
///
/// # Errors
/// What is wrong with the file.
#[inline(never)] // As above.
pub(super) fn read_roots(file: &mut File) -> Result<Arc<RootCertStore>, TlsFileError> {
    let mut roots = RootCertStore::empty();
    for certificate in file.certificates()? {
        if roots.add(certificate).is_err() {
            return Err(file.error(FileProblem::BadCertificate));
        }
    }
    Ok(Arc::new(roots))
}
