//! Files that are rejected, and the error that an operator reads.

use super::*;
use crate::config::{ClientCert, FileSetting};
use crate::limits;
use rcgen::{CertificateParams, KeyPair};

/// A temporary directory, removed on drop.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let unique = format!("probelet-settings-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(unique);
        std::fs::create_dir(&directory).expect("a new directory");
        Directory(directory)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a new file");
        path.to_str().expect("a plain path").into()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Files as `(flag, path)`.
fn settings(files: &[(&str, &str)]) -> TlsSettings {
    let file = |name: &str| {
        let found = files.iter().find(|(flag, _)| *flag == name);
        found.map(|(flag, path)| FileSetting {
            origin: format!("--{flag}").into(),
            path: (*path).into(),
        })
    };
    let client = file("client-cert").zip(file("client-key"));
    TlsSettings {
        verifies_name: false,
        client: client.map(|(cert, key)| ClientCert { cert, key }),
        app_ca: file("app-ca").into_iter().collect(),
        app_id: None,
        identity: None,
        require_files: true,
    }
}

fn refusal(files: &[(&str, &str)]) -> String {
    let refused = load_tls(&settings(files)).map(drop);
    refused.expect_err("a refusal").to_string()
}

fn assert_good(files: &[(&str, &str)]) {
    load_tls(&settings(files)).expect("good files");
}

/// A certificate and its key, as PEM.
fn pair() -> [String; 2] {
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::default().self_signed(&key);
    let certificate = certificate.expect("a certificate");
    [certificate.pem(), key.serialize_pem()]
}

#[test]
fn certificate_and_key_may_be_one_file_or_two() {
    let directory = Directory::new("good");
    let [certificate, key] = pair();
    let both = directory.file("both.pem", format!("{key}{certificate}"));
    let (certificate, key) = (
        directory.file("cert.pem", certificate),
        directory.file("key.pem", key),
    );
    assert_good(&[("client-cert", &certificate), ("client-key", &key)]);
    assert_good(&[("client-cert", &both), ("client-key", &both)]);
    assert_good(&[("app-ca", &certificate)]);
}

#[test]
fn an_unusable_file_is_reported_with_its_setting_and_a_remedy() {
    let directory = Directory::new("bad");
    let [certificate, key] = pair();
    let other_key = directory.file("other.pem", &pair()[1]);
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let encrypted = directory.file("encrypted.pem", encrypted);
    let large = directory.file("large.pem", vec![b'-'; limits::PEM_BYTES + 1]);
    let broken = directory.file("broken.pem", certificate.replace("-----END", "?"));
    let (certificate, key) = (
        directory.file("cert.pem", certificate),
        directory.file("key.pem", key),
    );
    for (cert, key, origin, path, expected) in [
        (&key, &key, "--client-cert", &key, "has no certificate"),
        (
            &certificate,
            &certificate,
            "--client-key",
            &certificate,
            "has no private key",
        ),
        (
            &certificate,
            &encrypted,
            "--client-key",
            &encrypted,
            "has a key with a passphrase",
        ),
        (
            &certificate,
            &other_key,
            "--client-key",
            &other_key,
            "has a key that does not match",
        ),
        (
            &large,
            &key,
            "--client-cert",
            &large,
            "is larger than 256 KiB",
        ),
        (&broken, &key, "--client-cert", &broken, "is not valid PEM"),
    ] {
        let text = refusal(&[("client-cert", cert), ("client-key", key)]);
        let expected = format!("{origin} names the file \"{path}\", which {expected}");
        assert!(text.starts_with(&expected), "{text}");
    }
}

#[test]
fn an_unreadable_file_is_reported_with_its_setting() {
    for (path, expected) in [
        (
            "/none",
            "cannot be read: No such file or directory (os error 2)",
        ),
        (
            "/dev/zero",
            "is not a regular file: write the path of a PEM file",
        ),
        (
            "/tmp",
            "is not a regular file: write the path of a PEM file",
        ),
    ] {
        let text = refusal(&[("app-ca", path)]);
        assert_eq!(
            text,
            format!("--app-ca names the file \"{path}\", which {expected}")
        );
    }
}
