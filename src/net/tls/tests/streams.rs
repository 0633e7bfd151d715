//! Data, protocols, turns and ends of connections that come about.

use core::task::{Context, Waker};
use std::sync::mpsc::channel;

use super::*;

#[test]
fn a_request_of_any_length_goes_out_and_its_answer_comes_in() {
    let ca = Ca::new("lengths");
    for len in [4, 4095, 4096, 4097, 100_000] {
        let addr = served(ca.server(false, &[]), |stream| {
            answer(stream);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        });
        let (alpn, text) = request(&no_files(), addr, Alpn::Http, len).expect("an answer");
        assert_eq!((alpn, text), (None, len.to_string()));
    }
}

#[test]
fn the_app_selects_one_of_the_offered_protocols() {
    let ca = Ca::new("alpn");
    for (app, offered, chosen) in [
        (&["h2", "http/1.1"][..], Alpn::Http, Some("h2")),
        (&["http/1.1"], Alpn::Http, Some("http/1.1")),
        (&["http/1.1", "h2"], Alpn::H2, Some("h2")),
        (&["h2", "http/1.1"], Alpn::Nothing, None),
        (&[], Alpn::Http, None),
    ] {
        let addr = served(ca.server(false, app), answer);
        let (alpn, _) = request(&no_files(), addr, offered, 8).expect("an answer");
        assert_eq!(alpn.as_deref(), chosen.map(str::as_bytes), "{app:?}");
    }
    let addr = served(ca.server(false, &["http/1.1"]), answer);
    // no_application_protocol, RFC 7301 section 3.2
    let fault = StreamError::Tls(TlsFault::Alert(120));
    assert_eq!(request(&no_files(), addr, Alpn::H2, 8), Err(fault));
}

/// rustls keeps the certificates: a slot that waits for such an app holds them.
#[test]
fn a_long_certificate_chain_holds_the_permit_until_the_probe_ends() {
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
            let tls = no_files();
            // All there are at once, each for a port of its own: a turn that is dropped would be there again.
            let free =
                || Vec::from_iter((1..).map_while(|port| tls.permits.try_acquire(port))).len();
            let socket = Socket::connect(&main_reactor, addr, None).expect("a connection");
            let stream = tls.connect(socket, hello(Alpn::Http)).await;
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
fn an_end_without_close_notify_counts_only_between_records() {
    let ca = Ca::new("ends");
    let addr = served(ca.server(false, &[]), answer);
    assert_eq!(
        request(&no_files(), addr, Alpn::Http, 8).map(|answer| answer.1),
        Ok("8".into())
    );
    let addr = served(ca.server(false, &[]), |stream| {
        answer(stream);
        let _ = stream.sock.write_all(&[23, 3, 3, 0, 100, 1]);
    });
    let fault = StreamError::Tls(TlsFault::Truncated);
    assert_eq!(request(&no_files(), addr, Alpn::Http, 8), Err(fault));
}

/// As for Go (`crypto/tls/conn.go`: `maxUselessRecords`). KeyUpdates are records of their own, tickets need
/// not be.
#[test]
fn a_connection_with_too_many_records_without_data_is_closed() {
    let ca = Ca::new("useless");
    for (records, expected) in [(16, Ok(4)), (17, Err(TlsFault::Broken.into()))] {
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
            // An error, when the client is gone.
            if taken.recv().is_ok() {
                let _ = stream.write_all(b"fine");
            }
        });
        let answer = run_client(move |reactor| async move {
            let socket = Socket::connect(&reactor, addr, None)?;
            let tls = no_files();
            let mut stream = tls.connect(socket, hello(Alpn::Nothing)).await?;
            let fill = |buf: &mut [u8], _: usize| {
                buf[..4].copy_from_slice(b"get\n");
                4
            };
            stream.write_with(fill).await?;
            written.recv().expect("the records are there");
            let mut reading = pin!(stream.read_with(<[u8]>::len));
            if records == 16 {
                // What is there is read, and no data comes before that.
                for _ in 0..4 {
                    let mut nobody = Context::from_waker(Waker::noop());
                    assert!(reading.as_mut().poll(&mut nobody).is_pending());
                }
                took.send(()).expect("the app waits");
            }
            reading.await
        });
        assert_eq!(answer, expected, "{records}");
    }
}

/// Each ticket is a message that has to be decrypted and brings nothing; rustls counts none of them.
#[test]
fn a_flood_of_session_tickets_closes_the_connection() {
    let ca = Ca::new("tickets");
    for (tickets, expected) in [
        (4, Ok("8".to_string())),
        (10_000, Err(TlsFault::Broken.into())),
    ] {
        let mut config = ca.server(false, &[]);
        config.send_tls13_tickets = tickets;
        config.ticketer = rustls::crypto::ring::Ticketer::new().expect("a ticketer");
        let addr = served(config, answer);
        let answer = request(&no_files(), addr, Alpn::Http, 8);
        assert_eq!(answer.map(|answer| answer.1), expected, "{tickets}");
    }
}
