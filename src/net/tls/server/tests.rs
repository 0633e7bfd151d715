//! Handshakes and data in memory, with clients of rustls.

use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, ClientConnection, Error, SupportedProtocolVersion};

use super::session::{BUFFER_BYTES, ServerSession};
use super::*;
use crate::limits;
use crate::net::stream_error::TlsFault;
use crate::net::tls::tests::{Ca, der};
use crate::net::tls::verify::AcceptAny;
use crate::net::tls::{Tls, provider};
use crate::net::tls_options::{CaPath, Curves, KeyPairPaths, TlsOptions};

const WEB: &str = "spiffe://td/ns/shop/sa/web";

/// A server with the identity `spiffe://td/server`, whose peers `ca` signs.
fn server(ca: &Ca, domain: Option<&str>) -> TlsOptions {
    let pair = ca.pair(&["spiffe://td/server"]);
    TlsOptions {
        identity: Some(IdentityPaths {
            pair: KeyPairPaths {
                certificate: ca.file("server.pem", &pair[0]),
                key: ca.file("server.key", &pair[1]),
            },
            ca: [CaPath {
                domain: domain.map(Into::into),
                path: ca.file("ca.pem", &ca.pem),
            }]
            .into(),
        }),
        ..TlsOptions::default()
    }
}

/// An acceptor that allows only `WEB`.
fn acceptor(options: TlsOptions, alpn: &[&str]) -> TlsAcceptor {
    let tls = Rc::new(Tls::load(options).expect("good files"));
    let alpn = alpn.iter().map(|protocol| protocol.as_bytes().to_vec());
    let authorize = |names: &PeerNames<'_>| names.uris == [WEB];
    TlsAcceptor::new(
        tls,
        alpn.collect::<Vec<_>>().into_iter(),
        Arc::new(authorize),
    )
}

/// A client of one version, with a certificate chain or without.
fn client_of(
    version: &'static SupportedProtocolVersion,
    pair: Option<&[String; 2]>,
    alpn: &[&str],
) -> ClientConnection {
    let provider = Arc::new(provider::provider(Curves::Default));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("the suites include it")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny));
    let mut config = match pair {
        Some([chain, key]) => {
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
            let chain = chain.map(|certificate| certificate.expect("PEM")).collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    let name = ServerName::try_from("server.test").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a connection")
}

fn client(pair: Option<&[String; 2]>) -> ClientConnection {
    client_of(&TLS13, pair, &[])
}

/// The bytes that the client has to send.
fn sent_by(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("a Vec accepts all");
    }
    bytes
}

/// Reads longer than those of a record are bulk data.
fn bulk(split: usize) -> bool {
    split >= BUFFER_BYTES
}

/// Passes bytes to the session as reads of at most `split` bytes.
fn receive(
    session: &mut ServerSession,
    mut bytes: &[u8],
    split: usize,
    data: &mut Vec<u8>,
) -> Result<(), TlsFault> {
    let mut buf = vec![0; BUFFER_BYTES];
    while !bytes.is_empty() || session.has_unprocessed() {
        let (stored, end) = session.prepare_read(&mut buf, bulk(split));
        let len = bytes.len().min(split).min(end - stored);
        buf[stored..stored + len].copy_from_slice(&bytes[..len]);
        bytes = &bytes[len..];
        session.receive(&mut buf, stored + len, &mut |plain| {
            data.extend_from_slice(plain)
        })?;
    }
    Ok(())
}

/// Passes what the session has to send to the client.
fn deliver(session: &mut ServerSession, client: &mut ClientConnection) -> Result<(), Error> {
    let mut bytes = session.outgoing();
    let mut result = Ok(());
    while !bytes.is_empty() && result.is_ok() {
        client.read_tls(&mut bytes).expect("there is room");
        result = client.process_new_packets().map(drop);
    }
    session.remove_outgoing(session.outgoing().len());
    result
}

/// Runs the handshake. Returns the server's fault, and then the client's.
fn handshake(
    session: &mut ServerSession,
    client: &mut ClientConnection,
    split: usize,
) -> Result<(), (TlsFault, Option<Error>)> {
    while session.is_handshaking() {
        let bytes = sent_by(client);
        let result = receive(session, &bytes, split, &mut Vec::new());
        let delivered = deliver(session, client);
        result.map_err(|fault| (fault, delivered.clone().err()))?;
        if let Err(error) = delivered {
            panic!("the client failed: {error}");
        }
    }
    Ok(())
}

fn encrypted(session: &mut ServerSession, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; BUFFER_BYTES];
    let len = session.encrypt(data, &mut out).expect("it can be sent");
    let bytes = [session.outgoing(), &out[..len]].concat();
    session.remove_outgoing(session.outgoing().len());
    bytes
}

fn read_all(client: &mut ClientConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("there is room");
        let state = client.process_new_packets().expect("good records");
        let old = data.len();
        data.resize(old + state.plaintext_bytes_to_read(), 0);
        client
            .reader()
            .read_exact(&mut data[old..])
            .expect("it is there");
    }
    data
}

#[test]
fn data_passes_both_ways_however_the_bytes_are_split() {
    let ca = Ca::named("server-data");
    let acceptor = acceptor(server(&ca, None), &[]);
    let pair = ca.pair(&[WEB]);
    for version in [&TLS12, &TLS13] {
        for split in [1, 6, 1000, BUFFER_BYTES] {
            let mut session = acceptor.session().expect("an identity");
            let mut client = client_of(version, Some(&pair), &[]);
            handshake(&mut session, &mut client, split).expect("an allowed peer");
            let sent: Vec<u8> = (0..50_000_u32).map(|n| n as u8).collect();
            client.writer().write_all(&sent).expect("it is buffered");
            let mut received = Vec::new();
            let bytes = sent_by(&mut client);
            receive(&mut session, &bytes, split, &mut received).expect("good records");
            assert_eq!(received, sent);
            for data in sent.chunks(crate::limits::SCRATCH_BYTES) {
                let bytes = encrypted(&mut session, data);
                assert_eq!(read_all(&mut client, &bytes), data);
            }
            // Each direction ends on its own.
            client.send_close_notify();
            let bytes = sent_by(&mut client);
            receive(&mut session, &bytes, split, &mut received).expect("close_notify");
            assert!(session.is_peer_closed());
            let bytes = encrypted(&mut session, b"more");
            assert_eq!(read_all(&mut client, &bytes), b"more");
            let bytes = encrypted(&mut session, &[]);
            client.read_tls(&mut &*bytes).expect("there is room");
            let state = client.process_new_packets().expect("close_notify");
            assert!(state.peer_has_closed());
        }
    }
}

#[test]
fn data_that_follows_the_handshake_at_once_is_not_lost() {
    let ca = Ca::named("server-early");
    let acceptor = acceptor(server(&ca, None), &[]);
    let mut client = client(Some(&ca.pair(&[WEB])));
    let mut session = acceptor.session().expect("an identity");
    client.writer().write_all(b"GET /").expect("it is buffered");
    let mut data = Vec::new();
    for _ in 0..2 {
        let bytes = sent_by(&mut client);
        receive(&mut session, &bytes, BUFFER_BYTES, &mut data).expect("an allowed peer");
        deliver(&mut session, &mut client).expect("a good server");
    }
    assert!(!session.is_handshaking());
    assert_eq!(data, b"GET /");
}

fn refused(
    acceptor: &TlsAcceptor,
    mut client: ClientConnection,
) -> (TlsFault, Option<Error>, Option<Box<str>>) {
    let mut session = acceptor.session().expect("an identity");
    let result = handshake(&mut session, &mut client, BUFFER_BYTES);
    let (fault, error) = result.expect_err("the peer is not allowed");
    (fault, error, session.take_refused())
}

#[test]
fn a_peer_is_refused_with_the_alert_that_explains_it() {
    let (ca, foreign) = (Ca::named("server-refused"), Ca::named("server-foreign"));
    let acceptor = acceptor(server(&ca, None), &[]);
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2000, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
    let of_server = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    let cases = [
        (
            None,
            TlsFault::ClientCertificateRequired,
            AlertDescription::CertificateRequired,
        ),
        (
            Some(foreign.pair(&[WEB])),
            TlsFault::UnknownIssuer,
            AlertDescription::UnknownCA,
        ),
        (
            Some(ca.pair(&["spiffe://td/other"])),
            TlsFault::WrongIdentity,
            AlertDescription::AccessDenied,
        ),
        (
            Some(ca.pair(&[WEB, WEB])),
            TlsFault::WrongIdentity,
            AlertDescription::AccessDenied,
        ),
        (
            Some(ca.pair(&[])),
            TlsFault::WrongIdentity,
            AlertDescription::AccessDenied,
        ),
        (
            Some(ca.pair_with(&[WEB], expired)),
            TlsFault::CertificateExpired,
            AlertDescription::CertificateExpired,
        ),
        (
            Some(ca.pair_with(&[WEB], early)),
            TlsFault::BadCertificate,
            AlertDescription::CertificateExpired,
        ),
        (
            Some(ca.pair_with(&[WEB], of_server)),
            TlsFault::BadCertificate,
            AlertDescription::UnsupportedCertificate,
        ),
    ];
    for (pair, fault, alert) in cases {
        let (got, error, _) = refused(&acceptor, client(pair.as_ref()));
        assert_eq!((got, error), (fault, Some(Error::AlertReceived(alert))));
        let (got, ..) = refused(&acceptor, client_of(&TLS12, pair.as_ref(), &[]));
        assert_eq!(got, fault);
    }
    let (.., id) = refused(&acceptor, client(Some(&ca.pair(&["spiffe://td/other"]))));
    assert_eq!(id.as_deref(), Some("spiffe://td/other"));
}

/// webpki skips both, so that a second URI would not count.
#[test]
fn a_certificate_with_a_malformed_name_is_refused() {
    let ca = Ca::named("server-names");
    let acceptor = acceptor(server(&ca, None), &[]);
    let uri = [&[0x86, WEB.len() as u8], WEB.as_bytes()].concat();
    let with_names = |names: &[&[u8]]| {
        let names = names.concat();
        let extension = [&[0x30, names.len() as u8], &*names].concat();
        ca.pair_with(&[], |params| {
            let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], extension);
            params.custom_extensions.push(extension);
        })
    };
    let mut session = acceptor.session().expect("an identity");
    let mut good = client(Some(&with_names(&[&uri])));
    assert_eq!(handshake(&mut session, &mut good, BUFFER_BYTES), Ok(()));
    for second in [&[0x86, 1, 0xff][..], &[0x86, 9, b's']] {
        let (fault, ..) = refused(&acceptor, client(Some(&with_names(&[&uri, second]))));
        assert_eq!(fault, TlsFault::BadCertificate, "{second:?}");
    }
}

/// The search for a path among more takes seconds in the worst case.
#[test]
fn only_the_first_intermediates_are_considered() {
    let (ca, other) = (
        Ca::named("server-root"),
        Ca::named("server-other-intermediate"),
    );
    let middle = ca.intermediate("server-intermediate");
    let acceptor = acceptor(server(&ca, None), &[]);
    let [leaf, key] = middle.pair(&[WEB]);
    for before in [0, limits::INTERMEDIATES - 1, limits::INTERMEDIATES] {
        let chain = [&*leaf, &other.pem.repeat(before), &middle.pem].concat();
        let mut client = client(Some(&[chain, key.clone()]));
        let mut session = acceptor.session().expect("an identity");
        let result = handshake(&mut session, &mut client, BUFFER_BYTES);
        match before < limits::INTERMEDIATES {
            true => assert_eq!(result, Ok(()), "{before}"),
            false => assert_eq!(
                result.expect_err("not considered").0,
                TlsFault::UnknownIssuer
            ),
        }
    }
}

#[test]
fn a_ca_of_a_trust_domain_signs_only_identities_of_it() {
    let ca = Ca::named("server-domain");
    for (domain, is_allowed) in [("td", true), ("t", false), ("td2", false)] {
        let acceptor = acceptor(server(&ca, Some(domain)), &[]);
        let mut session = acceptor.session().expect("an identity");
        let mut client = client(Some(&ca.pair(&[WEB])));
        let result = handshake(&mut session, &mut client, BUFFER_BYTES);
        assert_eq!(result.is_ok(), is_allowed, "{domain}");
    }
}

#[test]
fn one_of_the_application_protocols_is_negotiated_or_the_handshake_fails() {
    let ca = Ca::named("server-alpn");
    let pair = ca.pair(&[WEB]);
    let acceptor = acceptor(server(&ca, None), &["h2", "http/1.1"]);
    for (offered, chosen) in [
        (&["http/1.1", "h2"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let mut session = acceptor.session().expect("an identity");
        let mut client = client_of(&TLS13, Some(&pair), offered);
        handshake(&mut session, &mut client, BUFFER_BYTES).expect("an allowed peer");
        assert_eq!(client.alpn_protocol(), chosen.map(str::as_bytes));
    }
    let (fault, error, _) = refused(&acceptor, client_of(&TLS13, Some(&pair), &["smtp"]));
    let alert = AlertDescription::NoApplicationProtocol;
    assert_eq!(fault, TlsFault::Alert(u8::from(alert)));
    assert_eq!(error, Some(Error::AlertReceived(alert)));
}

#[test]
fn handshakes_fail_with_an_alert_until_all_files_exist() {
    let ca = Ca::named("server-late");
    let options = server(&ca, None);
    let pair = ca.pair(&[WEB]);
    for late in ["server.pem", "server.key", "ca.pem"] {
        let (path, aside) = (ca.directory.join(late), ca.directory.join("aside"));
        std::fs::rename(&path, &aside).expect("the file exists");
        let acceptor = acceptor(options.clone(), &[]);
        let (fault, error, _) = refused(&acceptor, client(Some(&pair)));
        assert_eq!(fault, TlsFault::CertificateMissing);
        assert_eq!(
            error,
            Some(Error::AlertReceived(AlertDescription::AccessDenied))
        );
        std::fs::rename(&aside, &path).expect("the same directory");
        // As if the last poll had been long ago.
        acceptor.tls().files.borrow_mut().poll_at = None;
        let mut session = acceptor.session().expect("an identity");
        handshake(&mut session, &mut client(Some(&pair)), BUFFER_BYTES).expect("all files exist");
    }
}

#[test]
fn established_connections_outlive_a_new_ca() {
    let (ca, other) = (Ca::named("server-old"), Ca::named("server-new"));
    let acceptor = acceptor(server(&ca, None), &[]);
    let pair = ca.pair(&[WEB]);
    let mut session = acceptor.session().expect("an identity");
    let mut peer = client(Some(&pair));
    handshake(&mut session, &mut peer, BUFFER_BYTES).expect("an allowed peer");
    ca.file("ca.pem", &other.pem);
    acceptor.tls().files.borrow_mut().poll_at = None;
    assert_eq!(
        refused(&acceptor, client(Some(&pair))).0,
        TlsFault::UnknownIssuer
    );
    let bytes = encrypted(&mut session, b"still");
    assert_eq!(read_all(&mut peer, &bytes), b"still");
}

#[test]
fn a_chain_of_15_kib_is_accepted_and_a_longer_message_than_the_buffer_is_not() {
    let ca = Ca::named("server-chain");
    let acceptor = acceptor(server(&ca, None), &[]);
    let [leaf, key] = ca.pair(&[WEB]);
    let bytes = der(&ca.pem).len();
    for (kib, is_accepted) in [(15, true), (20, false), (40, false)] {
        let chain = [leaf.clone(), ca.pem.repeat(kib * 1024 / bytes)].concat();
        for version in [&TLS12, &TLS13] {
            let mut client = client_of(version, Some(&[chain.clone(), key.clone()]), &[]);
            let mut session = acceptor.session().expect("an identity");
            let result = handshake(&mut session, &mut client, 1000);
            match is_accepted {
                true => assert_eq!(result, Ok(()), "{kib} KiB"),
                false => assert_eq!(
                    result.expect_err("too long").0,
                    TlsFault::HandshakeTooLong,
                    "{kib} KiB"
                ),
            }
        }
    }
}

#[test]
fn the_longest_chain_of_our_own_that_loads_is_sent() {
    let ca = Ca::named("server-own-chain");
    let options = server(&ca, None);
    let [leaf, key] = ca.pair(&["spiffe://td/server"]);
    let rest = limits::OWN_CHAIN_BYTES - der(&leaf).len();
    let chain = [leaf, ca.pem.repeat(rest / der(&ca.pem).len())].concat();
    ca.file("server.pem", &chain);
    ca.file("server.key", &key);
    let acceptor = acceptor(options, &[]);
    let pair = ca.pair(&[WEB]);
    for version in [&TLS12, &TLS13] {
        let mut client = client_of(version, Some(&pair), &[]);
        let mut session = acceptor.session().expect("an identity");
        handshake(&mut session, &mut client, BUFFER_BYTES).expect("it is sent");
    }
}

/// rustls has indices into the stored bytes of the handshake message.
#[test]
fn data_is_sent_while_a_part_of_a_key_update_is_stored() {
    let ca = Ca::named("server-update");
    let acceptor = acceptor(server(&ca, None), &[]);
    let mut session = acceptor.session().expect("an identity");
    let mut client = client(Some(&ca.pair(&[WEB])));
    handshake(&mut session, &mut client, BUFFER_BYTES).expect("an allowed peer");
    client.refresh_traffic_keys().expect("TLS 1.3");
    client
        .writer()
        .write_all(b"new keys")
        .expect("it is buffered");
    let bytes = sent_by(&mut client);
    let mut data = Vec::new();
    for byte in &bytes {
        receive(&mut session, &[*byte], 1, &mut data).expect("good records");
        let bytes = encrypted(&mut session, b"x");
        assert_eq!(read_all(&mut client, &bytes), b"x");
    }
    assert_eq!(data, b"new keys");
}

/// A client may send hundreds of records in a read, and each KeyUpdate takes as long as 2 KiB of data.
#[test]
fn a_call_processes_a_bounded_number_of_records() {
    let ca = Ca::named("server-records");
    let acceptor = acceptor(server(&ca, None), &[]);
    let mut session = acceptor.session().expect("an identity");
    let mut client = client(Some(&ca.pair(&[WEB])));
    handshake(&mut session, &mut client, BUFFER_BYTES).expect("an allowed peer");
    let mut bytes = Vec::new();
    for _ in 0..20 {
        for _ in 0..31 {
            client.refresh_traffic_keys().expect("TLS 1.3");
            bytes.extend(sent_by(&mut client));
        }
        client.writer().write_all(b"x").expect("it is buffered");
        bytes.extend(sent_by(&mut client));
    }
    let mut buf = vec![0; BUFFER_BYTES];
    buf[..bytes.len()].copy_from_slice(&bytes);
    let (mut calls, mut data, mut end) = (0, Vec::new(), bytes.len());
    loop {
        let mut on_data = |plain: &[u8]| data.extend_from_slice(plain);
        session.receive(&mut buf, end, &mut on_data).expect("good");
        calls += 1;
        if !session.has_unprocessed() {
            break;
        }
        // Data can be sent although records wait.
        encrypted(&mut session, b"y");
        (end, _) = session.prepare_read(&mut buf, true);
    }
    assert_eq!(data, b"x".repeat(20));
    assert_eq!(calls, (20 * 32_usize).div_ceil(limits::INBOUND_RECORDS));
}

#[test]
fn other_protocols_are_told_from_tls() {
    let ca = Ca::named("server-plain");
    let acceptor = acceptor(server(&ca, None), &[]);
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PRI * HTTP/2.0",
        b"SSH-2.0-x",
    ] {
        for split in [1, 100] {
            let mut session = acceptor.session().expect("an identity");
            let result = receive(&mut session, bytes, split, &mut Vec::new());
            assert_eq!(result, Err(TlsFault::NotTls));
            assert!(session.outgoing().is_empty());
        }
    }
}

#[test]
fn a_damaged_record_is_a_fault_and_the_data_before_it_is_received() {
    let ca = Ca::named("server-damaged");
    let acceptor = acceptor(server(&ca, None), &[]);
    let mut session = acceptor.session().expect("an identity");
    let mut client = client(Some(&ca.pair(&[WEB])));
    handshake(&mut session, &mut client, BUFFER_BYTES).expect("an allowed peer");
    client.writer().write_all(b"good").expect("it is buffered");
    let mut bytes = sent_by(&mut client);
    client.writer().write_all(b"bad").expect("it is buffered");
    bytes.extend(sent_by(&mut client));
    *bytes.last_mut().expect("a record") ^= 1;
    let mut data = Vec::new();
    let result = receive(&mut session, &bytes, BUFFER_BYTES, &mut data);
    assert_eq!(
        (result, &*data),
        (Err(TlsFault::ProtocolViolation), &b"good"[..])
    );
    let error = deliver(&mut session, &mut client).expect_err("an alert");
    assert_eq!(error, Error::AlertReceived(AlertDescription::BadRecordMac));
}
