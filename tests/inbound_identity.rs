//! Inbound ports with unusual certificates, clocks and processors: a board whose clock is not set, long chains, a CPU
//! without instructions for AES.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use probelet::limits;
use rcgen::{CertificateParams, CustomExtension};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::inbound_peers::{Fixture, WEB, fetch, push_name, s_client, server};
use crate::support::agent::{Setup, is_emulated};
use crate::support::certs::{Authority, Identity};
use crate::support::folder::Folder;
use crate::support::observe::{logged, until};
use crate::support::raw::connect;
use crate::support::trials::trials;
use crate::support::{Need, TLS};

/// The tests.
pub fn tests() -> Vec<Trial> {
    if !TLS {
        return Vec::new();
    }
    let mut tests = trials!["inbound_identity":
        chains_of_intermediates_are_served_up_to_15_kib,
        a_longer_chain_of_the_client_is_refused,
        a_new_chain_that_is_too_long_leaves_the_old_pair_in_use,
    ];
    // An emulator does not load faketime into the agent.
    if !is_emulated() {
        tests.extend(trials!["inbound_identity" needs &[Need::Peer("faketime")];
            a_client_is_served_once_the_clock_is_set,
        ]);
    }
    if !is_emulated() && cfg!(target_arch = "x86_64") {
        tests.extend(
            trials!["inbound_identity" needs &[Need::Peer(EMULATOR), Need::Peer("openssl")];
                chacha20_is_used_without_aes_instructions,
            ],
        );
    }
    tests
}

const EMULATOR: &str = "qemu-x86_64-static";

/// A file that faketime reads the time from.
fn with_clock(setup: Setup, clock: &Path) -> Setup {
    let folders = std::fs::read_dir("/usr/lib").expect("a folder").flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let library: PathBuf = libraries.find(|path| path.exists()).expect("faketime's");
    setup
        .env("LD_PRELOAD", &library.display().to_string())
        .env("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string())
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

/// A board without a battery-backed clock boots in 1970, when no certificate is valid yet.
fn a_client_is_served_once_the_clock_is_set() {
    let clock = Folder::new();
    let path = clock.file("clock", "1970-01-02 00:00:00\n");
    let ca = Authority::new("ca of the mesh");
    let identity = server(&ca);
    let fixture = Fixture::with(ca, &identity, |setup| with_clock(setup, &path));
    let web = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
    let error = fetch(&web, connect(fixture.addr())).expect_err("not yet valid");
    assert!(error.contains("CertificateExpired"), "{error}");
    until("a refused handshake", || {
        (fixture.counted("clock_not_set") == 1.0).then_some(())
    });
    let line = logged(&fixture.agent, "inbound connection rejected");
    assert!(line.contains("reason=clock_not_set"), "{line}");
    assert!(line.contains(&format!("id={WEB}")), "{line}");
    // At once: faketime may read the file at any time.
    let now = clock.file("now", "+0\n");
    std::fs::rename(now, &path).expect("the same folder");
    assert_eq!(fetch(&web, connect(fixture.addr())), Ok(()));
}

/// A certificate that has an extension of this length.
fn push_extension(params: &mut CertificateParams, len: usize) {
    // Of the arc for examples (RFC 5612).
    let oid = [1, 3, 6, 1, 4, 1, 32473, 1];
    let extension = CustomExtension::from_oid_content(&oid, vec![0; len]);
    params.custom_extensions.push(extension);
}

/// An identity that the CA signed by way of three intermediates. The chain has about this length.
fn with_intermediates(ca: &Authority, id: &str, bytes: usize) -> Identity {
    let part = bytes / 4 - 500;
    let first = ca.intermediate("first", |params| push_extension(params, part));
    let second = first.intermediate("second", |params| push_extension(params, part));
    let third = second.intermediate("third", |params| push_extension(params, part));
    let mut identity = third.sign_with(id, |params| {
        push_name(params, "server.test");
        push_extension(params, part);
    });
    identity.chain += &[third.pem(), second.pem(), first.pem()].concat();
    let ders = CertificateDer::pem_slice_iter(identity.chain.as_bytes());
    let len: usize = ders.map(|der| der.expect("PEM").len()).sum();
    assert!((bytes - 600..=bytes).contains(&len), "{len} of {bytes}");
    identity
}

fn chains_of_intermediates_are_served_up_to_15_kib() {
    let ca = Authority::new("ca of the mesh");
    let identity = with_intermediates(&ca, "spiffe://td/ns/shop/sa/server", 15 << 10);
    let fixture = Fixture::with(ca, &identity, |setup| setup);
    let web = with_intermediates(&fixture.ca, WEB, 15 << 10);
    let config = fixture.ca.client(Some(&web));
    for _ in 0..3 {
        assert_eq!(fetch(&config, connect(fixture.addr())), Ok(()));
    }
}

/// rustls can not be made to send an alert: the client sees EOF.
fn a_longer_chain_of_the_client_is_refused() {
    let fixture = Fixture::new();
    for (count, kib) in [20, 40].into_iter().enumerate() {
        let web = with_intermediates(&fixture.ca, WEB, kib << 10);
        let config = fixture.ca.client(Some(&web));
        fetch(&config, connect(fixture.addr())).expect_err("too long");
        until("a refused handshake", || {
            (fixture.counted("handshake_too_long") == count as f64 + 1.0).then_some(())
        });
    }
    logged(&fixture.agent, "reason=handshake_too_long");
    let web = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
    assert_eq!(fetch(&web, connect(fixture.addr())), Ok(()));
}

/// Longer than a handshake can send.
fn a_new_chain_that_is_too_long_leaves_the_old_pair_in_use() {
    let ca = Authority::new("ca of the mesh");
    let identity = server(&ca);
    let fixture = Fixture::with(ca, &identity, |setup| setup);
    let root = fixture.ca.pem();
    let der = CertificateDer::from_pem_slice(root.as_bytes()).expect("PEM");
    let roots = root.repeat(limits::OWN_CHAIN_BYTES / der.len() + 1);
    let chain = [&*identity.chain, &roots].concat();
    fixture.folder.write("tls.pem", &chain);
    let line = logged(&fixture.agent, "certificate reload failed");
    for text in [
        "file=certificate",
        "has a certificate chain of ",
        &format!("more than the limit of {}", limits::OWN_CHAIN_BYTES),
    ] {
        assert!(line.contains(text), "{line}");
    }
    let web = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
    assert_eq!(fetch(&web, connect(fixture.addr())), Ok(()));
}

/// OpenSSL prefers AES-256. The server's order decides if it has no AES instructions.
fn chacha20_is_used_without_aes_instructions() {
    let ca = Authority::new("ca of the mesh");
    let identity = server(&ca);
    let fixture = Fixture::with(ca, &identity, |setup| {
        // The first x86_64, without AESNI and PCLMULQDQ.
        setup.wrapped_by(&[EMULATOR, "-cpu", "qemu64"])
    });
    fixture.ca.sign(WEB).write(&fixture.folder, "web");
    for (words, suite) in [
        ("-tls1_3", "TLS_CHACHA20_POLY1305_SHA256"),
        ("-tls1_2", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        // Clients that have no other are still served.
        (
            "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384",
            "TLS_AES_256_GCM_SHA384",
        ),
        (
            "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
    ] {
        let output = s_client(&fixture.folder, fixture.addr().port(), words);
        assert!(output.contains(&format!("Cipher is {suite}")), "{output}");
        assert!(output.contains("200 OK"), "{suite}: {output}");
    }
}
