//! Certificates, keys and the app's identity: what has to stand beside what, and which files are refused.

use super::*;

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_says_so() {
    for flag in ["client-cert", "client-key", "app-ca", "app-id"] {
        let text = refusal(&[(flag, "spiffe://td/web")]);
        let expected = "is for TLS, and this build has none: use one built with the feature `tls`";
        assert_eq!(text, format!("--{flag} {expected}"));
    }
}

#[cfg(feature = "tls")]
mod built {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    /// A directory that goes when this does.
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

    /// A certificate and its key, as PEM.
    fn pair() -> [String; 2] {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::default().self_signed(&key);
        let certificate = certificate.expect("a certificate");
        [certificate.pem(), key.serialize_pem()]
    }

    #[test]
    fn what_needs_another_beside_it_says_which() {
        for (flag, value, missing) in [
            ("client-cert", "/a", "--client-key"),
            ("client-key", "/a", "--client-cert"),
            ("app-id", "spiffe://td/web", "--app-ca"),
        ] {
            let expected = format!("--{flag} {value} stands alone: write {missing} as well");
            assert_eq!(refusal(&[(flag, value)]), expected);
        }
    }

    #[test]
    fn an_id_is_a_spiffe_id() {
        let expected =
            "but must be a SPIFFE ID: write one such as spiffe://example.org/ns/default/sa/web";
        for id in [
            "web",
            "https://td/web",
            "spiffe://",
            "spiffe:///web",
            "spiffe://TD/web",
            "spiffe://td/",
            "spiffe://td/a//b",
            "spiffe://td/../a",
            "spiffe://td/a?b",
            "spiffe://td:1/a",
        ] {
            let text = refusal(&[("app-ca", "/none"), ("app-id", id)]);
            assert_eq!(text, format!("--app-id is \"{id}\", {expected}"));
        }
        for id in ["spiffe://td", "spiffe://a-b.c_d/Ns/a.b/sa/_-1"] {
            let text = refusal(&[("app-ca", "/none"), ("app-id", id)]);
            assert!(text.starts_with("--app-ca names the file"), "{id}: {text}");
        }
    }

    #[test]
    fn good_files_are_taken_together_or_in_one() {
        let directory = Directory::new("good");
        let [certificate, key] = pair();
        let both = directory.file("both.pem", format!("{key}{certificate}"));
        let (certificate, key) = (
            directory.file("cert.pem", certificate),
            directory.file("key.pem", key),
        );
        config(&[("client-cert", &certificate), ("client-key", &key)]);
        config(&[("client-cert", &both), ("client-key", &both)]);
        config(&[("app-ca", &certificate), ("app-id", "spiffe://td/web")]);
        let variables = [
            ("PROBELET_CLIENT_CERT", &*certificate),
            ("PROBELET_CLIENT_KEY", &*key),
        ];
        config_of(&[], &variables).expect("variables do as well");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_what_to_write_instead() {
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
                "has a key that is not",
            ),
            (
                &large,
                &key,
                "--client-cert",
                &large,
                "has more than 256 KiB",
            ),
            (&broken, &key, "--client-cert", &broken, "is not PEM"),
        ] {
            let text = refusal(&[("client-cert", cert), ("client-key", key)]);
            let expected = format!("{origin} names the file \"{path}\", which {expected}");
            assert!(text.starts_with(&expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_readable_file_is_named_likewise() {
        for (path, expected) in [
            (
                "/none",
                "cannot be read: No such file or directory (os error 2)",
            ),
            (
                "/dev/zero",
                "is no regular file: write the path of a PEM file",
            ),
            ("/tmp", "is no regular file: write the path of a PEM file"),
        ] {
            let text = refusal(&[("app-ca", path)]);
            assert_eq!(
                text,
                format!("--app-ca names the file \"{path}\", which {expected}")
            );
        }
    }
}
