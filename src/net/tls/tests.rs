//! TLS against rustls' own server and a bare socket, both on loopback, and files that change.

use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use smol::LocalExecutor;

use super::*;
use crate::net::{FileProblem, Reactor, run};

type Served = StreamOwned<ServerConnection, TcpStream>;

/// A CA, and a directory for what it makes.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    directory: std::path::PathBuf,
}

impl Ca {
    fn new(name: &str) -> Ca {
        let unique = format!("probelet-tls-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(unique);
        std::fs::create_dir(&directory).expect("a new directory");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Ca {
            issuer,
            pem,
            directory,
        }
    }

    /// A certificate for these URIs, and its key, as PEM.
    fn pair(&self, uris: &[&str]) -> [String; 2] {
        let mut params = CertificateParams::default();
        let uri = |uri: &&str| SanType::URI((*uri).try_into().expect("a URI"));
        params.subject_alt_names = uris.iter().map(uri).collect();
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer);
        [
            certificate.expect("a certificate").pem(),
            key.serialize_pem(),
        ]
    }

    fn file(&self, name: &str, text: &str) -> Box<str> {
        let path = self.directory.join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a plain path").into()
    }

    fn client(&self, pair: &[String; 2]) -> TlsFiles {
        let files = [self.file("c.pem", &pair[0]), self.file("k.pem", &pair[1])];
        TlsFiles {
            client: Some(files),
            ..TlsFiles::default()
        }
    }

    fn server(&self, wants_client: bool, protocols: &[&str]) -> ServerConfig {
        let [certificate, key] = self.pair(&["spiffe://td/web"]);
        let builder =
            ServerConfig::builder_with_provider(Arc::new(provider::provider(Curves::Usable)));
        let builder = builder.with_safe_default_protocol_versions().expect("both");
        let builder = match wants_client {
            true => {
                let mut roots = RootCertStore::empty();
                roots.add(der(&self.pem)).expect("a CA");
                let provider = Arc::new(provider::provider(Curves::Usable));
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
            false => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let mut config = builder
            .with_single_cert(vec![der(&certificate)], key)
            .expect("a pair");
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// Serves one TCP connection.
fn bare(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let addr = listener.local_addr().expect("its address");
    thread::spawn(move || {
        if let Ok((socket, _)) = listener.accept() {
            serve(socket);
        }
    });
    addr
}

/// Serves one TLS connection; what goes wrong there is the client's to tell.
fn served(config: ServerConfig, serve: impl FnOnce(&mut Served) + Send + 'static) -> SocketAddr {
    bare(move |socket| {
        let connection = ServerConnection::new(Arc::new(config)).expect("a connection");
        serve(&mut StreamOwned::new(connection, socket));
    })
}

/// Takes a request to its blank line and answers it. What comes after the answer is the caller's.
fn answer(stream: &mut Served) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    let length = request.len().to_string();
    let _ = stream.write_all(length.as_bytes());
}

/// What came back for a request of `len` bytes, and the protocol that was chosen.
type Asked = Result<(Option<Vec<u8>>, String), StreamError>;

fn ask(tls: &Rc<Tls>, addr: SocketAddr, alpn: Alpn, len: usize) -> Asked {
    let reactor = Rc::new(Reactor::new(vec![0; limits::SCRATCH_BYTES].leak()).expect("epoll"));
    let (tls, main_reactor) = (tls.clone(), reactor.clone());
    let main = async move {
        let asking = pin!(ask_app(&main_reactor, &tls, addr, alpn, len));
        let deadline = Instant::now() + Duration::from_secs(20);
        main_reactor.before(deadline, asking).await
    };
    let asked = run(&reactor, &LocalExecutor::new(), main).expect("epoll_wait");
    asked.expect("an end before the deadline")
}

async fn ask_app(
    reactor: &Rc<Reactor>,
    tls: &Tls,
    addr: SocketAddr,
    alpn: Alpn,
    len: usize,
) -> Asked {
    let socket = Socket::connect(reactor, addr, None)?;
    let mut stream = tls.connect((socket, 0), None, alpn, Curves::Usable).await?;
    let request = [vec![b'a'; len - 4], b"\r\n\r\n".to_vec()].concat();
    let fill = |buf: &mut [u8], sent: usize| {
        let rest = &request[sent..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        len
    };
    stream.write_with(fill).await?;
    let mut text = String::new();
    loop {
        let len = stream.read_with(|bytes| {
            text.push_str(core::str::from_utf8(bytes).expect("text"));
            bytes.len()
        });
        if len.await? == 0 {
            return Ok((stream.alpn().map(<[u8]>::to_vec), text));
        }
    }
}

fn nothing() -> Rc<Tls> {
    Rc::new(Tls::load(TlsFiles::default()).expect("no files to read"))
}

#[test]
fn a_request_of_any_length_goes_out_and_its_answer_comes_in() {
    let ca = Ca::new("lengths");
    for len in [4, 4095, 4096, 4097, 100_000] {
        let addr = served(ca.server(false, &[]), |stream| {
            answer(stream);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        });
        let (alpn, text) = ask(&nothing(), addr, Alpn::Http, len).expect("an answer");
        assert_eq!((alpn, text), (None, len.to_string()));
    }
}

#[test]
fn the_app_chooses_among_the_protocols_that_are_offered() {
    let ca = Ca::new("alpn");
    for (app, offered, chosen) in [
        (&["h2", "http/1.1"][..], Alpn::Http, Some("h2")),
        (&["http/1.1"], Alpn::Http, Some("http/1.1")),
        (&["http/1.1", "h2"], Alpn::H2, Some("h2")),
        (&["h2", "http/1.1"], Alpn::Nothing, None),
        (&[], Alpn::Http, None),
    ] {
        let addr = served(ca.server(false, app), answer);
        let (alpn, _) = ask(&nothing(), addr, offered, 8).expect("an answer");
        assert_eq!(alpn.as_deref(), chosen.map(str::as_bytes), "{app:?}");
    }
    let addr = served(ca.server(false, &["http/1.1"]), answer);
    // no_application_protocol, RFC 7301 section 3.2
    let fault = StreamError::Tls(TlsFault::Alert(120));
    assert_eq!(ask(&nothing(), addr, Alpn::H2, 8), Err(fault));
}

/// rustls keeps the certificates: a slot that waits for such an app holds them.
#[test]
fn an_app_with_many_certificates_keeps_its_turn_until_it_has_answered() {
    let ca = Ca::new("heavy");
    for (certificates, is_kept) in [(1, false), (60, true)] {
        let [certificate, key] = ca.pair(&[]);
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let builder =
            ServerConfig::builder_with_provider(Arc::new(provider::provider(Curves::Usable)));
        let builder = builder.with_safe_default_protocol_versions().expect("both");
        let chain = vec![der(&certificate); certificates];
        let config = builder.with_no_client_auth().with_single_cert(chain, key);
        let addr = served(config.expect("a pair"), answer);
        let reactor = Rc::new(Reactor::new(vec![0; limits::SCRATCH_BYTES].leak()).expect("epoll"));
        let main_reactor = reactor.clone();
        let main = async move {
            let tls = nothing();
            // All there are at once, each for a port of its own: a turn that is dropped would be there again.
            let free = || Vec::from_iter((1..).map_while(|port| tls.permits.take_now(port))).len();
            let socket = Socket::connect(&main_reactor, addr, None).expect("a connection");
            let stream = tls
                .connect((socket, 0), None, Alpn::Http, Curves::Usable)
                .await;
            let meanwhile = free();
            drop(stream.expect("a handshake"));
            (meanwhile, free())
        };
        let turns = run(&reactor, &LocalExecutor::new(), main).expect("epoll_wait");
        let expected = limits::HANDSHAKES - usize::from(is_kept);
        assert_eq!(turns, (expected, limits::HANDSHAKES));
    }
}

/// As for Go, which looks only whether a record was cut.
#[test]
fn an_end_without_close_notify_counts_between_records_alone() {
    let ca = Ca::new("ends");
    let addr = served(ca.server(false, &[]), answer);
    assert_eq!(
        ask(&nothing(), addr, Alpn::Http, 8).map(|asked| asked.1),
        Ok("8".into())
    );
    let addr = served(ca.server(false, &[]), |stream| {
        answer(stream);
        let _ = stream.sock.write_all(&[23, 3, 3, 0, 100, 1]);
    });
    let fault = StreamError::Tls(TlsFault::Truncated);
    assert_eq!(ask(&nothing(), addr, Alpn::Http, 8), Err(fault));
}

#[test]
fn what_is_not_tls_is_told_however_it_comes() {
    for (bytes, fault) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            TlsFault::HttpAnswer,
        ),
        (b"SSH-2.0-x\r\n", TlsFault::NotTls),
        (b"HTTP", TlsFault::ClosedEarly),
        (b"", TlsFault::ClosedEarly),
        (b"\x15\x03\x01\x00\x02\x02\x28", TlsFault::NoCommonCipher),
        (b"\x15\x03\x01\x00\x02\x02\x46", TlsFault::NoCommonCipher),
        (b"\x15\x03\x01\x00\x02\x02\x70", TlsFault::Alert(112)),
        (b"\x16\x03\x03\x00\x04\x63\x00\x00\x00", TlsFault::Broken),
    ] {
        for piece in [1, bytes.len().max(1)] {
            let addr = bare(move |mut socket| {
                let _ = socket.read(&mut [0; 4096]);
                for part in bytes.chunks(piece) {
                    let _ = socket.write_all(part);
                }
                let _ = socket.shutdown(std::net::Shutdown::Write);
                let _ = socket.read(&mut [0; 4096]);
            });
            let expected = Err(StreamError::Tls(fault));
            assert_eq!(ask(&nothing(), addr, Alpn::Http, 8), expected, "{bytes:?}");
        }
    }
}

#[test]
fn an_app_that_wants_a_certificate_is_told_from_one_that_refuses_it() {
    let (ca, other) = (Ca::new("wanted"), Ca::new("refused"));
    let addr = served(ca.server(true, &[]), answer);
    let fault = StreamError::Tls(TlsFault::ClientCertificateRequired);
    assert_eq!(ask(&nothing(), addr, Alpn::Http, 8), Err(fault));
    for (maker, expected) in [
        (&ca, Ok("8".to_string())),
        (&other, Err(TlsFault::ClientCertificateRefused.into())),
    ] {
        let tls = Tls::load(maker.client(&maker.pair(&[]))).expect("good files");
        let addr = served(ca.server(true, &[]), answer);
        let asked = ask(&Rc::new(tls), addr, Alpn::Http, 8);
        assert_eq!(asked.map(|asked| asked.1), expected);
    }
}

#[test]
fn the_app_has_to_be_of_the_ca_and_have_the_id() {
    let (ca, other) = (Ca::new("of-ca"), Ca::new("of-other"));
    for (trusted, id, expected) in [
        (&ca, None, Ok("8".to_string())),
        (&ca, Some("spiffe://td/web"), Ok("8".into())),
        (
            &ca,
            Some("spiffe://td/we"),
            Err(TlsFault::WrongIdentity.into()),
        ),
        (&other, None, Err(TlsFault::BadCertificate.into())),
        (
            &other,
            Some("spiffe://td/web"),
            Err(TlsFault::BadCertificate.into()),
        ),
    ] {
        let files = TlsFiles {
            app_ca: Some(trusted.file("ca.pem", &trusted.pem)),
            app_id: id.map(Into::into),
            client: None,
        };
        let tls = Rc::new(Tls::load(files).expect("good files"));
        let addr = served(ca.server(false, &[]), answer);
        let asked = ask(&tls, addr, Alpn::Http, 8);
        assert_eq!(asked.map(|asked| asked.1), expected, "{id:?}");
    }
}

#[test]
fn a_certificate_is_not_blamed_for_a_clock_that_was_never_set() {
    let ca = Ca::new("clock");
    let mut roots = RootCertStore::empty();
    roots.add(der(&ca.pem)).expect("a CA");
    let app_ca = AppCa {
        roots,
        id: None,
        algorithms: provider::provider(Curves::Usable).signature_verification_algorithms,
    };
    let progress = fault::Progress {
        hello: true,
        asked: false,
        has_pair: false,
    };
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2030, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &ca.issuer).expect("a certificate");
    let nobody = ServerName::IpAddress(core::net::Ipv4Addr::LOCALHOST.into());
    for (seconds, expected) in [
        (0, TlsFault::ClockNotSet),
        (limits::CLOCK_IS_SET_FROM - 1, TlsFault::ClockNotSet),
        (limits::CLOCK_IS_SET_FROM, TlsFault::BadCertificate),
    ] {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let result = app_ca.verify_server_cert(certificate.der(), &[], &nobody, &[], now);
        let error = result.expect_err("it is not valid yet");
        assert_eq!(fault::fault(&error, progress), expected, "{seconds}");
    }
}

/// Each ticket is a message that has to be decrypted and brings nothing; rustls counts none of them.
#[test]
fn an_app_that_floods_us_with_tickets_is_cut_off() {
    let ca = Ca::new("tickets");
    for (tickets, expected) in [
        (4, Ok("8".to_string())),
        (10_000, Err(TlsFault::Broken.into())),
    ] {
        let mut config = ca.server(false, &[]);
        config.send_tls13_tickets = tickets;
        config.ticketer = rustls::crypto::ring::Ticketer::new().expect("a ticketer");
        let addr = served(config, answer);
        let asked = ask(&nothing(), addr, Alpn::Http, 8);
        assert_eq!(asked.map(|asked| asked.1), expected, "{tickets}");
    }
}

#[test]
fn a_renewed_pair_is_taken_up_and_a_broken_one_is_not() {
    let ca = Ca::new("renewed");
    let [first, second] = [ca.pair(&[]), ca.pair(&[])];
    let tls = Tls::load(ca.client(&first)).expect("good files");
    let in_use = |tls: &Tls| {
        let mut material = tls.material.borrow_mut();
        // As if the last look had been long ago.
        material.look_at = Instant::now();
        material.shared(Curves::Usable);
        material.pair.as_ref().expect("a pair").cert[0].clone()
    };
    assert_eq!((in_use(&tls), tls.take_notice()), (der(&first[0]), None));
    // The certificate comes first, and for a while the key is the old one's.
    let key = ca.file("k.pem", &first[1]);
    ca.file("c.pem", &second[0]);
    let kept = TlsNotice::Kept(TlsFileError {
        part: TlsPart::Key,
        path: key.clone(),
        problem: FileProblem::OtherKey,
    });
    assert_eq!(
        (in_use(&tls), tls.take_notice()),
        (der(&first[0]), Some(kept))
    );
    assert_eq!(
        (in_use(&tls), tls.take_notice()),
        (der(&first[0]), None),
        "told twice"
    );
    ca.file("k.pem", &second[1]);
    let renewed = TlsNotice::Renewed(TlsPart::Certificate);
    assert_eq!(
        (in_use(&tls), tls.take_notice()),
        (der(&second[0]), Some(renewed))
    );
    std::fs::remove_file(&*key).expect("it is there");
    assert_eq!(in_use(&tls), der(&second[0]));
    assert!(matches!(tls.take_notice(), Some(TlsNotice::Kept(_))));
}

#[test]
fn a_file_that_could_not_be_read_is_looked_at_again_and_told_once() {
    let ca = Ca::new("unreadable");
    let pair = ca.pair(&[]);
    let tls = Tls::load(ca.client(&pair)).expect("good files");
    let mut material = tls.material.borrow_mut();
    // As a read that failed leaves it: which file it is, is as little known as what is in it.
    let key = ca.directory.join("k.pem");
    let aside = ca.directory.join("aside.pem");
    std::fs::rename(&key, &aside).expect("it is there");
    for _ in 0..3 {
        let read = material.read_pair();
        material.note(TlsPart::Certificate, read);
    }
    assert!(matches!(material.notices[..], [TlsNotice::Kept(_)]));
    let [_, file] = material.pair_files.as_mut().expect("named");
    assert!(file.stamp.is_none());
    std::fs::rename(&aside, &key).expect("it is there");
    assert!(file.look());
}

/// kubelet writes a new directory, and swaps the link that each file of the volume leads through.
#[test]
fn a_secret_volume_is_followed_through_its_links() {
    let ca = Ca::new("secret");
    let [first, second] = [ca.pair(&[]), ca.pair(&[])];
    let in_volume = |name: &str| ca.directory.join(name);
    for (directory, pair) in [("..1", &first), ("..2", &second)] {
        std::fs::create_dir(in_volume(directory)).expect("a directory");
        ca.file(&format!("{directory}/tls.crt"), &pair[0]);
        ca.file(&format!("{directory}/tls.key"), &pair[1]);
    }
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, in_volume(at)).expect("a link");
    link("..1", "..data");
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let path = |name: &str| in_volume(name).to_str().expect("a plain path").into();
    let tls = Tls::load(TlsFiles {
        client: Some([path("tls.crt"), path("tls.key")]),
        ..TlsFiles::default()
    });
    let tls = tls.expect("good files");
    link("..2", "..data_tmp");
    std::fs::rename(in_volume("..data_tmp"), in_volume("..data")).expect("a new link");
    let mut material = tls.material.borrow_mut();
    material.shared(Curves::Usable);
    assert_eq!(material.notices, [TlsNotice::Renewed(TlsPart::Certificate)]);
    assert_eq!(
        material.pair.as_ref().expect("a pair").cert[0],
        der(&second[0])
    );
}
