//! Inbound ports: mutual TLS that ends in the agent, and plaintext to the app.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;

use libtest_mimic::Trial;
use probelet::limits;
use rcgen::SanType;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::support::agent::{Agent, Setup};
use crate::support::certs::{Authority, Identity};
use crate::support::folder::Folder;
use crate::support::http::End;
use crate::support::observe::{log_lines, logged, until};
use crate::support::ports::{Reserved, reserve};
use crate::support::raw::{connect, connect_from, read_to_end, reset};
use crate::support::ss::socket_info;
use crate::support::trials::trials;
use crate::support::{Need, TLS, WAIT_LIMIT};

pub(crate) const WEB: &str = "spiffe://td/ns/shop/sa/web";
const OTHER: &str = "spiffe://td/ns/shop/sa/other";

/// The tests.
pub fn tests() -> Vec<Trial> {
    if !TLS {
        return Vec::new();
    }
    let mut tests = trials!["inbound":
        a_peer_with_an_allowed_identity_is_served,
        a_peer_without_a_certificate_is_refused,
        a_peer_of_a_foreign_ca_is_refused,
        a_peer_with_another_identity_is_refused_and_logged,
        each_side_may_end_before_the_other,
        a_reset_of_one_side_resets_the_other,
        eof_without_close_notify_resets_the_app,
        an_app_that_refuses_resets_the_client,
        files_may_come_after_the_start,
        handshakes_that_hang_are_evicted_and_take_no_established_connection,
        a_permissive_port_passes_plaintext_and_tls,
        bulk_data_passes_both_ways_at_once,
    ];
    tests.extend(trials!["inbound" needs &[Need::Ipv6];
        clients_of_ipv6_reach_an_app_of_ipv4_at_the_same_port,
    ]);
    tests.extend(
        trials!["inbound" needs &[Need::Peer("ss")]; the_window_that_the_app_sees_fits_the_receive_buffer],
    );
    tests
}

pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;

/// An agent with one inbound port, its app and its CA.
pub(crate) struct Fixture {
    pub(crate) agent: Agent,
    pub(crate) ca: Authority,
    pub(crate) app: TcpListener,
    pub(crate) inbound: Reserved,
    /// Has the files of the identity.
    _folder: Folder,
}

impl Fixture {
    /// `options` follow the target, such as `,alpn=h2`.
    pub(crate) fn new(options: &str, args: &[&str]) -> Fixture {
        let app = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        set_socket_timeout(&app, Timeout::Recv, Some(WAIT_LIMIT)).expect("SO_RCVTIMEO");
        let (folder, ca) = (Folder::new(), Authority::new("ca of the mesh"));
        let (chain, key) = server(&ca).write(&folder, "tls");
        let ca_file = folder.file("ca.pem", &ca.pem());
        let inbound = reserve();
        let target = app.local_addr().expect("bound");
        let setup = Setup::new()
            .arg(format!(
                "--inbound={}={target},allow-id={WEB}{options}",
                inbound.port
            ))
            .arg(format!("--cert={}", chain.display()))
            .arg(format!("--key={}", key.display()))
            .arg(format!("--ca={}", ca_file.display()));
        let setup = args.iter().fold(setup, |setup, arg| setup.arg(*arg));
        Fixture {
            agent: setup.start().expect("the agent starts"),
            ca,
            app,
            inbound,
            _folder: folder,
        }
    }

    /// A TCP connection to the inbound port.
    pub(crate) fn connect(&self) -> TcpStream {
        let client = connect((Ipv4Addr::LOCALHOST, self.inbound.port).into());
        client
            .set_read_timeout(Some(WAIT_LIMIT))
            .expect("SO_RCVTIMEO");
        client
            .set_write_timeout(Some(WAIT_LIMIT))
            .expect("SO_SNDTIMEO");
        client
    }

    /// A client that begins its handshake with the first read or write.
    pub(crate) fn client(&self, identity: Option<&Identity>) -> Client {
        client(self.ca.client(identity), self.connect())
    }

    /// A client with the allowed identity.
    pub(crate) fn web(&self) -> Client {
        self.client(Some(&self.ca.sign(WEB)))
    }

    pub(crate) fn accept(&self) -> TcpStream {
        let (app, _) = self.app.accept().expect("the app is connected to");
        app.set_read_timeout(Some(WAIT_LIMIT)).expect("SO_RCVTIMEO");
        app.set_write_timeout(Some(WAIT_LIMIT))
            .expect("SO_SNDTIMEO");
        app
    }

    /// Both ends of a new connection: the client's and the app's.
    pub(crate) fn pair(&self) -> (Client, TcpStream) {
        let mut client = self.web();
        client.write_all(b"hello").expect("TLS is established");
        let mut app = self.accept();
        app.read_exact(&mut [0; 5]).expect("the client's data");
        (client, app)
    }

    /// Both ends of a new connection whose app has answered.
    pub(crate) fn answered(&self) -> (Client, TcpStream) {
        let (mut client, mut app) = self.pair();
        app.write_all(b"answer").expect("the client is there");
        client.read_exact(&mut [0; 6]).expect("the app's data");
        (client, app)
    }

    /// Waits until so many connections have had this result.
    pub(crate) fn until_counted(&self, result: &str, count: f64) {
        let port = self.inbound.port;
        let name = format!(
            "probelet_inbound_connections_total{{listener=\"{port}\",result=\"{result}\"}}"
        );
        until(&name, || {
            (self.agent.metric(&name) == Some(count)).then_some(())
        });
    }

    fn until_open(&self, count: f64) {
        let name = format!(
            "probelet_inbound_connections{{listener=\"{}\"}}",
            self.inbound.port
        );
        until(&name, || {
            (self.agent.metric(&name) == Some(count)).then_some(())
        });
    }
}

/// The identity of the agent. Clients of rustls verify a DNS name.
fn server(ca: &Authority) -> Identity {
    ca.sign_with("spiffe://td/ns/shop/sa/server", |params| {
        let name = "server.test".to_owned().try_into().expect("ASCII");
        params.subject_alt_names.push(SanType::DnsName(name));
    })
}

pub(crate) fn client(config: Arc<ClientConfig>, tcp: TcpStream) -> Client {
    let name = ServerName::try_from("server.test").expect("a name");
    StreamOwned::new(
        ClientConnection::new(config, name).expect("a connection"),
        tcp,
    )
}

/// The error that ends a client whose certificate is refused. With TLS 1.3 its own handshake may have succeeded.
fn refused(client: &mut Client) -> String {
    let error = client.write_all(b"hello").err();
    let error = error.or_else(|| client.read(&mut [0]).err());
    error.expect("the client is refused").to_string()
}

fn a_peer_with_an_allowed_identity_is_served() {
    let fixture = Fixture::new("", &[]);
    let (mut client, mut app) = fixture.pair();
    app.write_all(b"answer").expect("the client is there");
    let mut answer = [0; 6];
    client.read_exact(&mut answer).expect("the app's data");
    assert_eq!(&answer, b"answer");
    fixture.until_counted("served", 1.0);
    fixture.until_open(1.0);
    let port = fixture.inbound.port;
    let bytes = |direction| {
        format!("probelet_inbound_bytes_total{{listener=\"{port}\",direction=\"{direction}\"}}")
    };
    assert_eq!(fixture.agent.metric(&bytes("received")), Some(5.0));
    assert_eq!(fixture.agent.metric(&bytes("sent")), Some(6.0));
    let not_after = "probelet_certificate_not_after_timestamp_seconds{file=\"certificate\"}";
    assert!(fixture.agent.metric(not_after).is_some_and(|end| end > 1e9));
    drop((client, app));
    fixture.until_open(0.0);
}

/// The kernel drops segments beyond the receive buffer, also those for which it has announced a window: the app sends them
/// again after 200 ms.
fn the_window_that_the_app_sees_fits_the_receive_buffer() {
    let fixture = Fixture::new("", &[]);
    let (_client, app) = fixture.pair();
    let port = app.local_addr().expect("connected").port();
    let window = socket_info(port, "snd_wnd");
    assert!(window <= limits::INBOUND_BUFFER_BYTES, "{window}");
}

fn a_peer_without_a_certificate_is_refused() {
    let fixture = Fixture::new("", &[]);
    let error = refused(&mut fixture.client(None));
    assert!(error.contains("CertificateRequired"), "{error}");
    fixture.until_counted("client_certificate_required", 1.0);
    fixture.until_open(0.0);
}

fn a_peer_of_a_foreign_ca_is_refused() {
    let fixture = Fixture::new("", &[]);
    let foreign = Authority::new("foreign").sign(WEB);
    let error = refused(&mut fixture.client(Some(&foreign)));
    assert!(error.contains("UnknownCA"), "{error}");
    fixture.until_counted("unknown_issuer", 1.0);
}

fn a_peer_with_another_identity_is_refused_and_logged() {
    let fixture = Fixture::new("", &[]);
    let other = fixture.ca.sign(OTHER);
    let error = refused(&mut fixture.client(Some(&other)));
    assert!(error.contains("AccessDenied"), "{error}");
    fixture.until_counted("not_allowed", 1.0);
    let line = logged(&fixture.agent, "inbound connection rejected");
    for text in [
        "reason=not_allowed",
        &format!("id={OTHER}"),
        "client=127.0.0.1",
    ] {
        assert!(line.contains(text), "{line}");
    }
    for _ in 0..20 {
        refused(&mut fixture.client(Some(&other)));
    }
    fixture.until_counted("not_allowed", 21.0);
    assert!(log_lines(&fixture.agent, "inbound connection rejected").len() <= 6);
}

fn each_side_may_end_before_the_other() {
    let fixture = Fixture::new("", &[]);
    let (mut client, mut app) = fixture.pair();
    client.conn.send_close_notify();
    client.flush().expect("close_notify is sent");
    assert_eq!(read_to_end(&mut app).end, End::Fin);
    app.write_all(b"answer")
        .expect("the other direction is open");
    drop(app);
    let mut answer = Vec::new();
    client
        .read_to_end(&mut answer)
        .expect("close_notify follows the data");
    assert_eq!(answer, b"answer");

    let (mut client, mut app) = fixture.pair();
    app.shutdown(Shutdown::Write).expect("FIN");
    assert_eq!(client.read(&mut [0]).expect("close_notify"), 0);
    client
        .write_all(b"more")
        .expect("the other direction is open");
    app.read_exact(&mut [0; 4]).expect("the client's data");
    client.conn.send_close_notify();
    client.flush().expect("close_notify is sent");
    assert_eq!(read_to_end(&mut app).end, End::Fin);
    assert_eq!(read_to_end(&mut client.sock).end, End::Fin);
    fixture.until_open(0.0);
}

fn a_reset_of_one_side_resets_the_other() {
    let fixture = Fixture::new("", &[]);
    let (client, mut app) = fixture.pair();
    reset(client.sock);
    assert_eq!(read_to_end(&mut app).end, End::Reset);
    let (mut client, app) = fixture.pair();
    reset(app);
    let response = read_to_end(&mut client.sock);
    assert_eq!(
        (response.end, response.bytes.len()),
        (End::Reset, 0),
        "without close_notify"
    );
    fixture.until_open(0.0);
}

fn eof_without_close_notify_resets_the_app() {
    let fixture = Fixture::new("", &[]);
    let (client, mut app) = fixture.pair();
    client.sock.shutdown(Shutdown::Write).expect("FIN");
    assert_eq!(read_to_end(&mut app).end, End::Reset);
    fixture.until_open(0.0);
}

fn an_app_that_refuses_resets_the_client() {
    let inbound = reserve();
    // No test listens on a port below the ephemeral ones.
    let target = "127.0.0.1:9";
    let refusing = format!("--inbound={}={target},allow-id={WEB}", inbound.port);
    let fixture = Fixture::new("", &[&refusing]);
    let web = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
    let mut client = client(web, connect((Ipv4Addr::LOCALHOST, inbound.port).into()));
    let Client { conn, sock } = &mut client;
    conn.complete_io(sock).expect("the handshake");
    assert_eq!(read_to_end(sock).end, End::Reset);
    let line = logged(&fixture.agent, "inbound port failing");
    assert!(line.contains("reason=connection_refused"), "{line}");
    assert!(line.contains(&format!("target={target}")), "{line}");
}

/// An app on 127.0.0.1 alone, in a pod whose address is of IPv6: both have the same port number.
fn clients_of_ipv6_reach_an_app_of_ipv4_at_the_same_port() {
    let (folder, ca) = (Folder::new(), Authority::new("ca of the mesh"));
    let (chain, key) = server(&ca).write(&folder, "tls");
    let ca_file = folder.file("ca.pem", &ca.pem());
    let Reserved { port, .. } = &reserve();
    let app = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).expect("reserved");
    let agent = Setup::new()
        .arg(format!(
            "--inbound=[::1]:{port}=127.0.0.1:{port},allow-id={WEB}"
        ))
        .arg(format!("--cert={}", chain.display()))
        .arg(format!("--key={}", key.display()))
        .arg(format!("--ca={}", ca_file.display()))
        .start()
        .expect("the agent starts");
    let connected = |id| {
        let tcp = connect((Ipv6Addr::LOCALHOST, *port).into());
        tcp.set_read_timeout(Some(WAIT_LIMIT)).expect("SO_RCVTIMEO");
        client(ca.client(Some(&ca.sign(id))), tcp)
    };
    let mut client = connected(WEB);
    client.write_all(b"hello").expect("TLS is established");
    let (mut app, _) = app.accept().expect("the app is connected to");
    app.read_exact(&mut [0; 5]).expect("the client's data");
    app.write_all(b"answer").expect("the client is there");
    client.read_exact(&mut [0; 6]).expect("the app's data");
    refused(&mut connected(OTHER));
    let line = logged(&agent, "inbound connection rejected");
    assert!(line.contains("client=::1"), "{line}");
}

fn files_may_come_after_the_start() {
    let (folder, ca) = (Folder::new(), Authority::new("late"));
    let app = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let inbound = reserve();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let agent = Setup::new()
        .arg(format!(
            "--inbound={}={},allow-id={WEB}",
            inbound.port,
            app.local_addr().expect("bound")
        ))
        .arg(format!("--cert={}", path("tls.pem")))
        .arg(format!("--key={}", path("tls.key")))
        .arg(format!("--ca={}", path("ca.pem")))
        .start()
        .expect("the agent starts");
    let web = ca.sign(WEB);
    let connected = || {
        let tcp = connect((Ipv4Addr::LOCALHOST, inbound.port).into());
        tcp.set_read_timeout(Some(WAIT_LIMIT)).expect("SO_RCVTIMEO");
        client(ca.client(Some(&web)), tcp)
    };
    let error = refused(&mut connected());
    assert!(error.contains("AccessDenied"), "{error}");
    let identity = server(&ca);
    folder.write("ca.pem", &ca.pem());
    folder.write("tls.pem", &identity.chain);
    folder.write("tls.key", &identity.key);
    logged(&agent, "msg=\"certificate loaded\" file=certificate");
    logged(&agent, "msg=\"certificate loaded\" file=ca");
    let mut client = connected();
    client.write_all(b"hello").expect("TLS is established");
    let (mut app, _) = app.accept().expect("the app is connected to");
    app.read_exact(&mut [0; 5]).expect("the client's data");
}

fn handshakes_that_hang_are_evicted_and_take_no_established_connection() {
    let fixture = Fixture::new("", &["--max-inbound=2"]);
    // Their apps have answered, so they may be evicted.
    let pairs = [fixture.answered(), fixture.answered()];
    // From many addresses, with a part of a ClientHello.
    let to = (Ipv4Addr::LOCALHOST, fixture.inbound.port).into();
    let hanging: Vec<_> = (2..82)
        .map(|n| {
            let mut tcp = connect_from(Ipv4Addr::new(127, 0, 0, n), to).expect("a connection");
            tcp.write_all(&[0x16, 3, 1, 2]).expect("it is buffered");
            tcp
        })
        .collect();
    fixture.until_counted("evicted", 80.0 - 32.0);
    // A new peer is served meanwhile: it evicts the oldest of the established connections, which are of one address.
    let mut client = fixture.web();
    client.write_all(b"hello").expect("TLS is established");
    fixture
        .accept()
        .read_exact(&mut [0; 5])
        .expect("the client's data");
    let [(mut first, _), (mut second, mut app)] = pairs;
    assert_eq!(read_to_end(&mut first.sock).end, End::Reset);
    app.write_all(b"still").expect("the client is there");
    second.read_exact(&mut [0; 5]).expect("the app's data");
    drop(hanging);
}

fn a_permissive_port_passes_plaintext_and_tls() {
    let fixture = Fixture::new(",mode=permissive,server-first", &[]);
    logged(
        &fixture.agent,
        "inbound port accepts plaintext from any peer",
    );
    let mut plain = fixture.connect();
    let request = b"GET / HTTP/1.1".repeat(1000);
    plain.write_all(&request).expect("connected");
    let mut app = fixture.accept();
    let mut received = vec![0; request.len()];
    app.read_exact(&mut received).expect("the client's data");
    assert_eq!(received, request);
    app.write_all(b"answer").expect("the client is there");
    plain.read_exact(&mut [0; 6]).expect("the app's data");
    fixture.until_counted("plaintext", 1.0);
    // The app sends first.
    let mut silent = fixture.connect();
    let mut app = fixture.accept();
    app.write_all(b"220").expect("the client is there");
    silent.read_exact(&mut [0; 3]).expect("the app's data");
    fixture.until_counted("plaintext", 2.0);
    fixture.answered();
    fixture.until_counted("served", 1.0);
}

/// Neither side reads before it has written a part, so both directions are full for a while.
fn bulk_data_passes_both_ways_at_once() {
    let fixture = Fixture::new("", &[]);
    let (client, app) = fixture.pair();
    let data: Vec<u8> = (0..4 << 20_u32).map(|n| ((n * 7) >> 3) as u8).collect();
    let (mut reader, mut writer) = (app.try_clone().expect("a descriptor"), app);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| writer.write_all(&data));
        let echoed = scope.spawn(|| {
            let mut bytes = vec![0; data.len()];
            reader.read_exact(&mut bytes).map(|()| bytes)
        });
        let mut client = client;
        let mut received = vec![0; data.len()];
        for (sent, place) in data.chunks(50_000).zip(received.chunks_mut(50_000)) {
            client.write_all(sent).expect("the agent reads");
            client.read_exact(place).expect("the app's data");
        }
        assert_eq!(received, data);
        sending.join().expect("no panic").expect("the client reads");
        assert_eq!(
            echoed.join().expect("no panic").expect("the client's data"),
            data
        );
    });
}
