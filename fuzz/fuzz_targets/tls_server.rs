//! The TLS server of inbound ports: no bytes make it panic, a handshake completes however its bytes are split, and data comes
//! only from a client with an allowed certificate, as the client sent it.
#![no_main]

use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use probelet::limits::INBOUND_HANDSHAKE_BYTES;
use probelet::net::tls::{PeerNames, ServerSession, TLS_SERVER_BUFFER_BYTES, Tls, TlsAcceptor};
use probelet::net::{CaPath, IdentityPaths, KeyPairPaths, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

const WEB: &str = "spiffe://td/web";
const DATA: &[u8] = b"hello";

/// Clients with an allowed certificate, with one of another identity, and without one; over TLS 1.3 and 1.2.
struct Setup {
    options: TlsOptions,
    clients: [[Arc<ClientConfig>; 3]; 2],
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
    let ca = ca.expect("a certificate");
    let pair = |uri: &str| {
        let mut params = CertificateParams::new(["server.test".to_owned()]).expect("a name");
        let uri = uri.to_owned().try_into().expect("ASCII");
        params.subject_alt_names.push(SanType::URI(uri));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &ca).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    };
    let folder = std::env::temp_dir().join(format!("fuzz-tls-server-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str, text: &str| -> Box<str> {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").into()
    };
    let (chain, key) = pair("spiffe://td/server");
    let options = TlsOptions {
        identity: Some(IdentityPaths {
            pair: KeyPairPaths {
                certificate: file("tls.crt", &chain),
                key: file("tls.key", &key),
            },
            ca: [CaPath {
                domain: Some("td".into()),
                path: file("ca.crt", &ca.pem()),
            }]
            .into(),
        }),
        require_files: true,
        ..TlsOptions::default()
    };
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).expect("a root");
    let pairs = [Some(pair(WEB)), Some(pair("spiffe://td/other")), None];
    let clients = [&TLS13, &TLS12].map(|version| {
        pairs.each_ref().map(|pair| {
            let builder = ClientConfig::builder_with_protocol_versions(&[version])
                .with_root_certificates(roots.clone());
            Arc::new(match pair {
                None => builder.with_no_client_auth(),
                Some((chain, key)) => {
                    let chain = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
                    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
                    let config = builder.with_client_auth_cert(vec![chain], key);
                    config.expect("a pair")
                }
            })
        })
    });
    Setup { options, clients }
});

thread_local! {
    static ACCEPTOR: TlsAcceptor = TlsAcceptor::new(
        Rc::new(Tls::load(SETUP.options.clone()).expect("good files")),
        std::iter::empty(),
        Arc::new(|names: &PeerNames<'_>| names.uris == [WEB]),
    );
}

/// The server's side of a connection, and the data that it has received.
struct Server<'a> {
    session: ServerSession,
    buf: Vec<u8>,
    data: Vec<u8>,
    /// Whether reads may have several long records.
    bulk: bool,
    /// Lengths of reads, then one read for the rest.
    splits: core::slice::Iter<'a, u8>,
}

impl Server<'_> {
    /// Passes bytes to the session. Returns whether it may go on.
    fn receive(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() || self.session.has_unprocessed() {
            let (stored, end) = self.session.prepare_read(&mut self.buf, self.bulk);
            let is_read = !self.session.has_unprocessed();
            assert!(stored + usize::from(is_read) <= end && end <= self.buf.len());
            let split = self
                .splits
                .next()
                .map_or(usize::MAX, |len| usize::from(*len) + 1);
            let len = bytes.len().min(split).min(end - stored);
            self.buf[stored..stored + len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            let data = &mut self.data;
            let mut on_data = |plain: &[u8]| data.extend_from_slice(plain);
            let received = self
                .session
                .receive(&mut self.buf, stored + len, &mut on_data);
            assert!(self.session.received_in_handshake() <= INBOUND_HANDSHAKE_BYTES + end);
            if received.is_err() {
                return false;
            }
        }
        true
    }
}

fuzz_target!(|input: (u8, &[u8], Vec<(u16, u8)>, &[u8])| {
    let (kind, splits, flips, raw) = input;
    ACCEPTOR.with(|acceptor| {
        let server = || Server {
            session: acceptor.session().expect("an identity"),
            buf: vec![0xaa; TLS_SERVER_BUFFER_BYTES],
            data: Vec::new(),
            bulk: kind & 0x80 != 0,
            splits: splits.iter(),
        };
        let mut alone = server();
        alone.receive(raw);
        assert!(alone.session.is_handshaking() && alone.data.is_empty());

        let client = usize::from(kind % 3);
        let config = &SETUP.clients[usize::from(kind / 3 % 2)][client];
        let name = ServerName::try_from("server.test").expect("a name");
        let mut client = (
            ClientConnection::new(config.clone(), name).expect("a connection"),
            client == 0,
        );
        let mut server = server();
        std::io::Write::write_all(&mut client.0.writer(), DATA).expect("it is buffered");
        let (mut sent, mut goes_on) = (0, true);
        while goes_on && (client.0.wants_write() || !server.session.outgoing().is_empty()) {
            let mut bytes = Vec::new();
            while client.0.wants_write() {
                client.0.write_tls(&mut bytes).expect("a Vec accepts all");
            }
            for (at, mask) in &flips {
                if let Some(byte) = usize::from(*at)
                    .checked_sub(sent)
                    .and_then(|at| bytes.get_mut(at))
                {
                    *byte ^= mask;
                }
            }
            sent += bytes.len();
            goes_on = server.receive(&bytes);
            let mut answer = server.session.outgoing();
            while !answer.is_empty() {
                client.0.read_tls(&mut answer).expect("there is room");
                goes_on &= client.0.process_new_packets().is_ok();
                if !goes_on {
                    break;
                }
            }
            server
                .session
                .remove_outgoing(server.session.outgoing().len());
        }
        let (_, is_allowed) = client;
        if !is_allowed {
            assert!(server.session.is_handshaking() && server.data.is_empty());
        }
        assert!(DATA.starts_with(&server.data));
        if is_allowed && flips.iter().all(|(_, mask)| *mask == 0) {
            assert_eq!(server.data, DATA, "split as {splits:?}");
            let mut out = vec![0; TLS_SERVER_BUFFER_BYTES];
            assert!(server.session.encrypt(b"answer", &mut out).is_ok());
        }
    });
});
