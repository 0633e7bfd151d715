//! Common and unusual certificates and protocols, by `openssl s_server`.

use crate::support::certs::Identity;
use crate::support::faults::{Catalogue, Expected, FaultCase, Target};
use crate::support::folder::Folder;
use crate::support::peers::openssl::{Server, run, self_signed};
use std::path::PathBuf;

/// Adds all cases. While cases are only listed, it generates nothing.
pub fn add_to(catalogue: &mut Catalogue, _: u16) -> Result<(), String> {
    let mut servers = Servers {
        folder: Folder::new(),
        catalogue,
    };
    servers.keys()?;
    servers.certificates()?;
    servers.protocols()?;
    servers.client_certificates()?;
    let Servers { folder, catalogue } = servers;
    catalogue.host(|| Ok((folder, 0)))?;
    Ok(())
}

/// Servers of a catalogue, and their keys and certificates.
struct Servers<'a> {
    folder: Folder,
    catalogue: &'a mut Catalogue,
}

type Pair = (PathBuf, PathBuf);

/// Single versions, suites and groups, with the expected code and the arguments of `s_server`.
const PROTOCOLS: &[(&str, u16, &str)] = &[
    ("tls-1.1", 502, "-tls1_1 -cipher ALL:@SECLEVEL=0"),
    ("tls-1.0", 502, "-tls1 -cipher ALL:@SECLEVEL=0"),
    (
        "tls-1.2-aes-128",
        200,
        "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256",
    ),
    (
        "tls-1.2-aes-256",
        200,
        "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384",
    ),
    (
        "tls-1.2-chacha",
        200,
        "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305",
    ),
    ("tls-1.2-cbc", 502, "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA"),
    (
        "tls-1.2-cbc-sha256",
        502,
        "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256",
    ),
    ("tls-1.2-ccm", 502, "-tls1_2 -cipher ECDHE-ECDSA-AES128-CCM"),
    ("tls-1.2-p-256", 200, "-tls1_2 -groups P-256"),
    ("tls-1.2-p-384", 200, "-tls1_2 -groups P-384"),
    ("tls-1.2-p-521", 502, "-tls1_2 -groups P-521"),
    ("tls-1.2-x448", 502, "-tls1_2 -groups X448"),
    (
        "tls-1.3-aes-128",
        200,
        "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256",
    ),
    (
        "tls-1.3-aes-256",
        200,
        "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384",
    ),
    (
        "tls-1.3-chacha",
        200,
        "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
    ),
    (
        "tls-1.3-ccm",
        502,
        "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256",
    ),
    ("tls-1.3-x25519", 200, "-tls1_3 -groups X25519"),
    ("tls-1.3-p-256", 200, "-tls1_3 -groups P-256"),
    ("tls-1.3-p-384", 200, "-tls1_3 -groups P-384"),
    ("tls-1.3-p-521", 502, "-tls1_3 -groups P-521"),
    ("tls-1.3-x448", 502, "-tls1_3 -groups X448"),
    ("tls-1.3-ffdhe", 502, "-tls1_3 -groups ffdhe2048"),
    ("no-ticket", 200, "-no_ticket"),
    ("12-tickets", 200, "-tls1_3 -num_tickets 12"),
    ("16-tickets", 200, "-tls1_3 -num_tickets 16"),
    ("100-tickets", 502, "-tls1_3 -num_tickets 100"),
    ("padded-records", 200, "-tls1_3 -record_padding 4096"),
    ("short-records", 200, "-max_send_frag 512"),
    ("alpn-http-1.1", 200, "-alpn http/1.1"),
    ("alpn-of-others", 502, "-alpn spdy/3"),
];

impl Servers<'_> {
    fn add(&mut self, name: &str, code: u16, pair: &Pair, words: &str) -> Result<(), String> {
        let port = self.catalogue.host(|| {
            let server = Server::start(&pair.0, &pair.1, words)?;
            let port = server.port;
            Ok((server, port))
        })?;
        let (name, target) = (format!("openssl-{name}"), Target::Https(port));
        let case = FaultCase::new(&name, target, Expected::Status(code));
        self.catalogue.cases.push(case);
        Ok(())
    }

    fn self_signed(&self, name: &str, key: &str) -> Result<Pair, String> {
        if self.catalogue.is_listing() {
            return Ok(Pair::default());
        }
        self_signed(self.folder.path(), name, key)
    }

    /// Runs an openssl command in the folder.
    fn run(&self, words: &str) -> Result<(), String> {
        if self.catalogue.is_listing() {
            return Ok(());
        }
        run(self.folder.path(), words)
    }

    /// Keys of every kind, in TLS 1.2 and 1.3.
    fn keys(&mut self) -> Result<(), String> {
        for (name, key) in [
            ("rsa-1024", "rsa:1024"),
            ("rsa-2048", "rsa:2048"),
            ("rsa-2048-sha1", "rsa:2048 -sha1"),
            ("p-256", "ec -pkeyopt ec_paramgen_curve:P-256"),
            ("p-384", "ec -pkeyopt ec_paramgen_curve:P-384"),
            ("p-521", "ec -pkeyopt ec_paramgen_curve:P-521"),
            ("ed25519", "ed25519"),
        ] {
            let pair = self.self_signed(name, key)?;
            let any = "-cipher DEFAULT@SECLEVEL=0";
            for version in ["tls1_2", "tls1_3"] {
                let name = format!("{name}-{version}");
                self.add(&name, 200, &pair, &format!("-{version} {any}"))?;
            }
        }
        Ok(())
    }

    /// Certificates that a verifier would reject; nothing verifies them.
    fn certificates(&mut self) -> Result<(), String> {
        let day = rcgen::date_time_ymd;
        let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
        let expired = Identity::self_signed_with(algorithm, |c| {
            (c.not_before, c.not_after) = (day(2001, 1, 1), day(2001, 2, 1));
        });
        let coming = Identity::self_signed_with(algorithm, |c| {
            (c.not_before, c.not_after) = (day(2090, 1, 1), day(2090, 2, 1));
        });
        let other = Identity::self_signed_with(algorithm, |c| {
            c.subject_alt_names.clear();
        });
        for (name, identity) in [
            ("expired", expired),
            ("not-yet-valid", coming),
            ("of-no-name", other),
        ] {
            let pair = identity.write(&self.folder, name);
            self.add(name, 200, &pair, "")?;
        }
        let ec = "ec -pkeyopt ec_paramgen_curve:P-256";
        self.run(&format!(
            "req -new -nodes -newkey {ec} -subj /CN=old -keyout v1.key -out v1.csr"
        ))?;
        let sign = "x509 -req -in v1.csr -signkey v1.key -days 30 -out v1.pem";
        self.run(sign)?;
        let v1 = ["v1.pem", "v1.key"].map(|name| self.folder.path().join(name));
        let [chain, key] = v1;
        self.add("x509-v1", 200, &(chain, key), "")?;

        let leaf = self.self_signed("leaf", ec)?;
        let pem = if self.catalogue.is_listing() {
            String::new()
        } else {
            std::fs::read_to_string(&leaf.0).map_err(|e| e.to_string())?
        };
        // rustls accepts handshake messages of up to 64 KiB.
        for (name, copies, code) in [("chain-of-30", 30, 200), ("chain-of-200", 200, 502)] {
            let chain = self
                .folder
                .file(&format!("{name}.pem"), &pem.repeat(copies));
            self.add(name, code, &(chain, leaf.1.clone()), "")?;
        }
        Ok(())
    }

    fn protocols(&mut self) -> Result<(), String> {
        let ec = "ec -pkeyopt ec_paramgen_curve:P-256";
        let pair = self.self_signed("ec", ec)?;
        for &(name, code, words) in PROTOCOLS {
            self.add(name, code, &pair, words)?;
        }
        let rsa = self.self_signed("rsa", "rsa:2048")?;
        for (name, words) in [
            ("tls-1.2-rsa-cbc", "-tls1_2 -cipher ECDHE-RSA-AES256-SHA"),
            ("tls-1.2-static-rsa", "-tls1_2 -cipher AES128-GCM-SHA256"),
            ("tls-1.2-dhe", "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256"),
        ] {
            self.add(name, 502, &rsa, words)?;
        }
        Ok(())
    }

    /// Servers that request or require a client certificate, which this agent does not have.
    fn client_certificates(&mut self) -> Result<(), String> {
        let ec = "ec -pkeyopt ec_paramgen_curve:P-256";
        let pair = self.self_signed("asking", ec)?;
        let trusted = format!("-CAfile {}", pair.0.display());
        for version in ["tls1_2", "tls1_3"] {
            let wanted = format!("-{version} -verify 1 {trusted}");
            self.add(
                &format!("certificate-wanted-{version}"),
                200,
                &pair,
                &wanted,
            )?;
            let needed = format!("-{version} -Verify 1 -verify_return_error {trusted}");
            self.add(
                &format!("certificate-needed-{version}"),
                502,
                &pair,
                &needed,
            )?;
        }
        Ok(())
    }
}
