//! Tests of PEM files: invalid contents, changes, error texts.

use super::*;
use crate::limits;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use std::fs;
use std::path::PathBuf;

const BOM: &str = "\u{feff}";

/// A directory that is removed when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let unique = format!("probelet-pem-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir(&path).expect("a new directory");
        Directory(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").into()
    }

    fn write_file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A CA, a leaf that it signed, and the leaf's key, as PEM.
struct Chain {
    ca: String,
    leaf: String,
    key: String,
}

fn chain() -> Chain {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().expect("a key");
    let ca = CertifiedIssuer::self_signed(params, ca_key).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::default().signed_by(&key, &ca);
    Chain {
        ca: ca.pem(),
        leaf: leaf.expect("a certificate").pem(),
        key: key.serialize_pem(),
    }
}

fn error_of(certificate: &str, key: &str) -> Option<(FileRole, PemError)> {
    let provider = ring::default_provider();
    let pair = parse_key_pair(certificate.as_bytes(), key.as_bytes(), &provider);
    pair.err().map(|error| match error {
        KeyPairError::Certificate(error) => (FileRole::Certificate, error),
        KeyPairError::Key(error) => (FileRole::Key, error),
    })
}

#[test]
fn a_chain_with_the_leaf_first_matches_its_key() {
    let Chain { ca, leaf, key } = chain();
    assert_eq!(error_of(&leaf, &key), None);
    assert_eq!(error_of(&format!("{leaf}{ca}"), &key), None);
    let both = format!("{key}{leaf}");
    assert_eq!(error_of(&both, &both), None);
}

#[test]
fn a_chain_with_the_leaf_last_is_an_error_of_the_certificate_file() {
    let Chain { ca, leaf, key } = chain();
    let reversed = format!("{ca}{leaf}");
    let expected = (FileRole::Certificate, PemError::LeafNotFirst);
    assert_eq!(error_of(&reversed, &key), Some(expected));
    let text = PemError::LeafNotFirst.to_string();
    assert!(
        text.contains("write the certificate of the key first"),
        "{text}"
    );
    // A key of neither certificate.
    let expected = (FileRole::Key, PemError::KeyMismatch);
    assert_eq!(error_of(&reversed, &chain().key), Some(expected));
}

#[test]
fn a_byte_order_mark_is_an_error_that_names_it() {
    let Chain { ca, leaf, key } = chain();
    let expected = (FileRole::Certificate, PemError::ByteOrderMark);
    for certificate in [format!("{BOM}{leaf}"), format!("{BOM}{leaf}{ca}")] {
        assert_eq!(error_of(&certificate, &key), Some(expected));
    }
    let expected = (FileRole::Key, PemError::ByteOrderMark);
    assert_eq!(error_of(&leaf, &format!("{BOM}{key}")), Some(expected));
    for roots in [parse_roots, parse_valid_roots] {
        let roots = roots(format!("{BOM}{ca}").as_bytes());
        assert_eq!(roots.err(), Some(PemError::ByteOrderMark));
    }
    let text = PemError::ByteOrderMark.to_string();
    assert!(text.contains("save it as UTF-8 without a BOM"), "{text}");
    // It hides nothing when text is between it and the first section.
    assert_eq!(error_of(&format!("{BOM}subject=a\n{leaf}"), &key), None);
}

#[test]
fn a_file_is_read_up_to_its_limit() {
    let directory = Directory::new("limit");
    let path = directory.write_file("four", "1234");
    let read = |max_bytes| read_file(&path, max_bytes).map(|bytes| bytes.to_vec());
    assert_eq!(read(4), Ok(b"1234".to_vec()));
    assert_eq!(read(3), Err(ReadError::TooLarge(3)));
    // The kernel reports a size of 0, so only the read finds the limit.
    let proc = read_file("/proc/self/status", 16).err();
    assert_eq!(proc, Some(ReadError::TooLarge(16)));
}

#[test]
fn only_regular_files_are_read() {
    for path in ["/dev/zero", "/tmp"] {
        let error = read_file(path, limits::PEM_BYTES).err();
        assert_eq!(error, Some(ReadError::NotRegular), "{path}");
    }
}

#[test]
fn a_change_is_reported_once_and_a_failed_read_counts_as_a_change() {
    let directory = Directory::new("change");
    let path = directory.write_file("file", "1234");
    let mut file = WatchedFile::new(&path);
    assert!(file.poll_changed());
    assert!(!file.poll_changed());
    assert!(file.read(4).is_ok());
    assert!(!file.poll_changed());
    fs::rename(directory.write_file("next", "5678"), &path).expect("renamed");
    assert!(file.poll_changed());
    assert!(!file.poll_changed());
    assert!(file.read(3).is_err());
    assert!(file.poll_changed());
    fs::remove_file(&path).expect("removed");
    assert!(file.poll_changed());
    assert!(!file.poll_changed());
}

#[test]
fn the_error_of_a_key_pair_names_the_file() {
    let directory = Directory::new("pair");
    let Chain { ca, leaf, key } = chain();
    let provider = ring::default_provider();
    let reversed = directory.write_file("reversed.pem", &format!("{ca}{leaf}"));
    let key = directory.write_file("key.pem", &key);
    let error = KeyPairFiles::new(&reversed, &key).read(&provider).err();
    let error = error.expect("an error").to_string();
    let expected = format!("{reversed}: has the certificate of the key after another one");
    assert!(error.starts_with(&expected), "{error}");
    let other = directory.write_file("other.pem", &chain().key);
    let leaf = directory.write_file("leaf.pem", &leaf);
    let error = KeyPairFiles::new(&leaf, &other).read(&provider).err();
    let error = error.expect("an error").to_string();
    assert!(error.starts_with(&format!("{other}: has a key")), "{error}");
}

/// Otherwise the next poll finds a key that was never read, and the error is reported again.
#[test]
fn an_invalid_certificate_with_its_key_is_read_once() {
    let directory = Directory::new("garbage");
    let certificate = directory.write_file("certificate", "garbage");
    let key = directory.write_file("key", "garbage");
    let mut pair = KeyPairFiles::new(&certificate, &key);
    let error = pair.read(&ring::default_provider()).err();
    let error = error.expect("an error");
    assert_eq!(
        (error.role, error.error),
        (FileRole::Certificate, PemError::NoCertificate)
    );
    assert!(!pair.poll_changed());
}

#[test]
fn a_longer_chain_than_peers_accept_is_an_error_that_names_the_limit() {
    let Chain { ca, leaf, key } = chain();
    let der = |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).count() * 48;
    // Longer than the limit, and shorter.
    let long = format!(
        "{leaf}{}",
        ca.repeat(limits::OWN_CHAIN_BYTES / (der(&ca) - 48) + 1)
    );
    let short = format!(
        "{leaf}{}",
        ca.repeat(limits::OWN_CHAIN_BYTES / der(&ca) - 2)
    );
    assert_eq!(error_of(&short, &key), None);
    let (role, error) = error_of(&long, &key).expect("an error");
    assert_eq!(role, FileRole::Certificate);
    let text = error.to_string();
    assert!(text.starts_with("has a certificate chain of "), "{text}");
    assert!(
        text.contains(&format!(
            "more than the limit of {}",
            limits::OWN_CHAIN_BYTES
        )),
        "{text}"
    );
}

#[test]
fn a_read_error_that_repeats_is_reported_once() {
    let error = |error| FileError {
        role: FileRole::Ca,
        path: "/a".into(),
        error,
    };
    let missing = error(PemError::Read(ReadError::NotRegular));
    let broken = error(PemError::NotPem);
    let mut filter = FailureFilter::default();
    let mut observe = |error: &FileError| filter.observe(&Err::<(), _>(error.clone()));
    assert!(observe(&missing));
    assert!(!observe(&missing));
    assert!(observe(&broken));
    // Its contents changed, and are still wrong.
    assert!(observe(&broken));
    assert!(observe(&missing));
    assert!(filter.observe(&Ok(())));
    assert!(filter.observe(&Err::<(), _>(missing)));
}

#[test]
fn the_remedy_of_a_denied_file_depends_on_its_mode() {
    let text = |mode, owner| {
        let permissions = Permissions {
            mode,
            owner,
            user: 1337,
        };
        PemError::Read(ReadError::Denied(permissions)).to_string()
    };
    for (mode, owner) in [(0o644, 0), (0o400, 1337)] {
        assert!(text(mode, owner).contains("a security module"), "{mode:o}");
    }
    for (mode, owner) in [(0o400, 0), (0o440, 0), (0o044, 1337)] {
        assert!(text(mode, owner).contains("`fsGroup`"), "{mode:o}");
    }
}
