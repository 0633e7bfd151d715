//! Data, ALPN, permits and EOF of established connections.

use core::task::{Context, Waker};
use std::sync::mpsc::channel;

use super::*;
use crate::net::tls::permits::HandshakeShare;

#[test]
fn a_request_of_any_length_is_sent_and_its_response_is_received() {
    let ca = Ca::new("lengths");
    for len in [4, 4095, 4096, 4097, 100_000] {
        let addr = served(ca.server(false, &[]), |stream| {
            respond(stream);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        });
        let (alpn, text) =
            request(&no_files(), addr, TlsPurpose::HttpProbe, len).expect("a response");
        assert_eq!((alpn, text), (None, len.to_string()));
    }
}

#[test]
fn the_app_selects_one_of_the_offered_protocols() {
    let ca = Ca::new("alpn");
    for (app, offered, chosen) in [
        (&["h2", "http/1.1"][..], TlsPurpose::HttpProbe, Some("h2")),
        (&["http/1.1"], TlsPurpose::HttpProbe, Some("http/1.1")),
        (&["http/1.1", "h2"], TlsPurpose::GrpcProbe, Some("h2")),
        (&["h2", "http/1.1"], TlsPurpose::Hook, None),
        (&[], TlsPurpose::HttpProbe, None),
    ] {
        let addr = served(ca.server(false, app), respond);
        let (alpn, _) = request(&no_files(), addr, offered, 8).expect("a response");
        assert_eq!(alpn.as_deref(), chosen.map(str::as_bytes), "{app:?}");
    }
    let addr = served(ca.server(false, &["http/1.1"]), respond);
    // no_application_protocol, RFC 7301 section 3.2
    let fault = StreamError::Tls(TlsFault::Alert(120));
    assert_eq!(
        request(&no_files(), addr, TlsPurpose::GrpcProbe, 8),
        Err(fault)
    );
}

/// rustls stores the certificates as long as the connection, which a slot holds while it waits for the app.
#[test]
fn a_long_certificate_chain_holds_its_bytes_of_the_permits_until_the_probe_ends() {
    let ca = Ca::new("heavy");
    let kib = limits::LONG_HANDSHAKE_BYTES / 1024;
    for (certificates, purpose, is_held) in [
        (1, TlsPurpose::HttpProbe, false),
        (15, TlsPurpose::HttpProbe, false),
        (60, TlsPurpose::HttpProbe, true),
        (60, TlsPurpose::Hook, false),
    ] {
        let [certificate, key] = ca.pair(&[]);
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let builder =
            ServerConfig::builder_with_provider(Arc::new(provider::provider(Curves::Default)));
        let builder = builder.with_safe_default_protocol_versions().expect("both");
        let chain = vec![der(&certificate); certificates];
        let chain_bytes: usize = chain.iter().map(|der| der.len()).sum();
        assert_eq!(
            chain_bytes > limits::HANDSHAKE_BYTES_WITHOUT_PERMIT,
            certificates > 15
        );
        let config = builder.with_no_client_auth().with_single_cert(chain, key);
        let addr = served(config.expect("a pair"), respond);
        let reactor = Rc::new(Reactor::new(vec![0; limits::SCRATCH_BYTES].leak()).expect("epoll"));
        let main_reactor = reactor.clone();
        let main = async move {
            let tls = no_files();
            // Takes all bytes until they are counted, in KiB.
            let free = || {
                let kib = || tls.permits.try_acquire(HandshakeShare::Chain(1024));
                Vec::from_iter(core::iter::from_fn(kib)).len()
            };
            let socket = Socket::start_connect(&main_reactor, addr, None).expect("a connection");
            let stream = tls.connect(socket, &never, options(purpose)).await;
            let meanwhile = free();
            drop(stream.expect("a handshake"));
            (meanwhile, free())
        };
        let (meanwhile, after) = run(&reactor, &LocalExecutor::new(), main).expect("epoll_wait");
        let held = match is_held {
            true => chain_bytes.div_ceil(1024),
            false => 0,
        };
        let total = limits::LONG_HANDSHAKES * kib;
        assert_eq!((meanwhile, after), (total - held, total), "{certificates}");
    }
}

/// As in Go, which checks only whether a record was truncated.
#[test]
fn eof_without_close_notify_is_orderly_only_between_records() {
    let ca = Ca::new("ends");
    let addr = served(ca.server(false, &[]), respond);
    assert_eq!(
        request(&no_files(), addr, TlsPurpose::HttpProbe, 8).map(|response| response.1),
        Ok("8".into())
    );
    let addr = served(ca.server(false, &[]), |stream| {
        respond(stream);
        let _ = stream.sock.write_all(&[23, 3, 3, 0, 100, 1]);
    });
    let fault = StreamError::Tls(TlsFault::Truncated);
    assert_eq!(
        request(&no_files(), addr, TlsPurpose::HttpProbe, 8),
        Err(fault)
    );
}

/// As in Go (`crypto/tls/conn.go`: `maxUselessRecords`). Each KeyUpdate is a record, while one record may have several
/// tickets.
#[test]
fn a_connection_with_too_many_records_without_data_is_closed() {
    let ca = Ca::new("useless");
    for (records, expected) in [(16, Ok(4)), (17, Err(TlsFault::ProtocolViolation.into()))] {
        let mut config = ca.server(false, &[]);
        config.send_tls13_tickets = 0;
        let (wrote, written) = channel();
        let (took, taken) = channel();
        let addr = served(config, move |stream| {
            stream.read_exact(&mut [0; 4]).expect("a request");
            for _ in 0..records {
                stream.conn.refresh_traffic_keys().expect("TLS 1.3");
                stream.flush().expect("sent");
            }
            let _ = wrote.send(());
            // An error if the client has disconnected.
            if taken.recv().is_ok() {
                let _ = stream.write_all(b"fine");
            }
        });
        let response = run_client(move |reactor| async move {
            let socket = Socket::start_connect(&reactor, addr, None)?;
            let tls = no_files();
            let mut stream = tls
                .connect(socket, &never, options(TlsPurpose::Hook))
                .await?;
            let fill = |buf: &mut [u8], _: usize| {
                buf[..4].copy_from_slice(b"get\n");
                4
            };
            stream.write_with(fill).await?;
            written.recv().expect("the records were sent");
            let mut reading = pin!(stream.read_with(<[u8]>::len));
            if records == 16 {
                // Reads all records before the app sends data.
                for _ in 0..4 {
                    let mut nobody = Context::from_waker(Waker::noop());
                    assert!(reading.as_mut().poll(&mut nobody).is_pending());
                }
                took.send(()).expect("the app waits");
            }
            reading.await
        });
        assert_eq!(response, expected, "{records}");
    }
}

/// Each ticket has to be decrypted and has no data; rustls does not limit their number.
#[test]
fn a_flood_of_session_tickets_closes_the_connection() {
    let ca = Ca::new("tickets");
    for (tickets, expected) in [
        (4, Ok("8".to_string())),
        (10_000, Err(TlsFault::ProtocolViolation.into())),
    ] {
        let mut config = ca.server(false, &[]);
        config.send_tls13_tickets = tickets;
        config.ticketer = rustls::crypto::ring::Ticketer::new().expect("a ticketer");
        let addr = served(config, respond);
        let response = request(&no_files(), addr, TlsPurpose::HttpProbe, 8);
        assert_eq!(response.map(|response| response.1), expected, "{tickets}");
    }
}
