//! Faults of apps without TLS, with required client certificates or with wrong certificates.

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::UnixTime;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::*;

#[test]
fn bytes_that_are_not_tls_have_the_same_fault_however_they_are_split() {
    for (bytes, fault) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            TlsFault::PlainHttp,
        ),
        (b"SSH-2.0-x\r\n", TlsFault::NotTls),
        (b"HTTP", TlsFault::ClosedEarly),
        (b"", TlsFault::ClosedEarly),
        (b"\x15\x03\x01\x00\x02\x02\x28", TlsFault::NoCommonCipher),
        (b"\x15\x03\x01\x00\x02\x02\x46", TlsFault::NoCommonCipher),
        (b"\x15\x03\x01\x00\x02\x02\x70", TlsFault::Alert(112)),
        (
            b"\x16\x03\x03\x00\x04\x63\x00\x00\x00",
            TlsFault::ProtocolViolation,
        ),
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
            assert_eq!(
                request(&no_files(), addr, TlsPurpose::HttpProbe, 8),
                expected,
                "{bytes:?}"
            );
        }
    }
}

#[test]
fn a_required_certificate_and_a_refused_one_are_different_faults() {
    let (ca, other) = (Ca::new("wanted"), Ca::new("refused"));
    let addr = served(ca.server(true, &[]), respond);
    let fault = StreamError::Tls(TlsFault::ClientCertificateRequired);
    assert_eq!(
        request(&no_files(), addr, TlsPurpose::HttpProbe, 8),
        Err(fault)
    );
    for (maker, expected) in [
        (&ca, Ok("8".to_string())),
        (&other, Err(TlsFault::ClientCertificateRefused.into())),
    ] {
        let tls = Tls::load(maker.client(&maker.pair(&[]))).expect("good files");
        let addr = served(ca.server(true, &[]), respond);
        let response = request(&Rc::new(tls), addr, TlsPurpose::HttpProbe, 8);
        assert_eq!(response.map(|response| response.1), expected);
    }
}

#[test]
fn the_app_needs_a_certificate_of_the_ca_with_the_id() {
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
        let files = TlsOptions {
            app_ca: [trusted.file("ca.pem", &trusted.pem)].into(),
            app_id: id.map(Into::into),
            ..TlsOptions::default()
        };
        let tls = Rc::new(Tls::load(files).expect("good files"));
        let addr = served(ca.server(false, &[]), respond);
        let response = request(&tls, addr, TlsPurpose::HttpProbe, 8);
        assert_eq!(response.map(|response| response.1), expected, "{id:?}");
    }
}

/// The app shows a certificate that `--app-ca` names, but has another key.
#[test]
fn the_app_must_have_the_key_of_the_certificate_that_it_shows() {
    #[derive(Debug)]
    struct Resolver(Arc<CertifiedKey>);
    impl ResolvesServerCert for Resolver {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let ca = Ca::new("copied");
    let [certificate, own_key] = ca.pair(&[]);
    let [_, other_key] = ca.pair(&[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (key, expected) in [
            (&own_key, Ok("8".to_string())),
            (&other_key, Err(TlsFault::BadCertificate.into())),
        ] {
            let provider = Arc::new(provider::provider(Curves::Default));
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            let key = provider.key_provider.load_private_key(key).expect("a key");
            let pair = CertifiedKey::new(vec![der(&certificate)], key);
            let builder = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .expect("a version");
            let resolver = Arc::new(Resolver(Arc::new(pair)));
            let config = builder.with_no_client_auth().with_cert_resolver(resolver);
            for trusted in [&certificate, &ca.pem] {
                let addr = served(config.clone(), respond);
                let files = TlsOptions {
                    app_ca: [ca.file("ca.pem", trusted)].into(),
                    ..TlsOptions::default()
                };
                let tls = Rc::new(Tls::load(files).expect("good files"));
                let response = request(&tls, addr, TlsPurpose::HttpProbe, 8);
                assert_eq!(response.map(|response| response.1), expected, "{version:?}");
            }
        }
    }
}

#[test]
fn a_clock_that_was_never_set_is_reported_instead_of_the_certificate() {
    let ca = Ca::new("clock");
    let mut roots = RootCertStore::empty();
    roots.add(der(&ca.pem)).expect("a CA");
    let app_ca = AppCaVerifier {
        verifies_name: false,
        roots: roots.into(),
        id: None,
        algorithms: provider::provider(Curves::Default).signature_verification_algorithms,
    };
    let progress = fault::HandshakeProgress {
        has_server_hello: true,
        is_cert_requested: false,
        has_client_cert: false,
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
