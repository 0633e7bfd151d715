//! Inbound ports and a client's bytes however they are split into segments.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;

use libtest_mimic::Trial;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::inbound;
use crate::inbound_peers::{Fixture, WEB, s_client};
use crate::support::http::End;
use crate::support::raw::{connect, read_to_end, until_read};
use crate::support::trials::trials;
use crate::support::{Need, TLS};

/// The tests.
pub fn tests() -> Vec<Trial> {
    if !TLS {
        return Vec::new();
    }
    let mut tests = trials!["inbound_segments":
        a_client_hello_may_be_split_anywhere,
        a_permissive_port_tells_plaintext_from_tls_however_it_is_split,
    ];
    tests.extend(trials!["inbound_segments" needs &[Need::Peer("openssl")];
        openssl_is_served_byte_by_byte,
    ]);
    tests
}

/// The bytes of a new client's ClientHello, and the client.
fn client_hello(config: &Arc<ClientConfig>) -> (ClientConnection, Vec<u8>) {
    let name = ServerName::try_from("server.test").expect("a name");
    let mut client = ClientConnection::new(config.clone(), name).expect("a connection");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory");
    (client, hello)
}

/// Connections at a time: fewer than concurrent handshakes.
const BATCH: usize = 24;

/// Sends bytes on new connections, with a split of each: the second parts when the agent has read the first ones.
fn send_split(fixture: &inbound::Fixture, splits: &[(Vec<u8>, usize)]) -> Vec<TcpStream> {
    assert!(splits.len() <= BATCH);
    let send_first = |(bytes, at): &(Vec<u8>, usize)| {
        let mut tcp = fixture.connect();
        tcp.write_all(&bytes[..*at]).expect("the agent reads");
        tcp
    };
    let mut connections: Vec<_> = splits.iter().map(send_first).collect();
    until_read(&connections);
    for ((bytes, at), tcp) in splits.iter().zip(&mut connections) {
        tcp.write_all(&bytes[*at..]).expect("the agent reads");
    }
    connections
}

fn a_client_hello_may_be_split_anywhere() {
    let fixture = inbound::Fixture::new("", &[]);
    let config = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
    let len = client_hello(&config).1.len();
    assert!(len > 200, "{len}");
    assert_served(&fixture, &config, 1..len);
}

/// Clients whose ClientHello is split at these bytes.
#[track_caller]
fn assert_served(fixture: &inbound::Fixture, config: &Arc<ClientConfig>, splits: Range<usize>) {
    for batch in splits.collect::<Vec<_>>().chunks(BATCH) {
        let hello = |at: &usize| {
            let (client, hello) = client_hello(config);
            (client, (hello, *at))
        };
        let (clients, parts): (Vec<_>, Vec<_>) = batch.iter().map(hello).unzip();
        let connections = send_split(fixture, &parts);
        for ((client, tcp), at) in clients.into_iter().zip(connections).zip(batch) {
            let mut stream = StreamOwned::new(client, tcp);
            stream.write_all(b"hello").expect("TLS is established");
            let mut data = [0; 5];
            let mut app = fixture.accept();
            app.read_exact(&mut data).expect("the client's data");
            assert_eq!(&data, b"hello", "split at {at}");
        }
    }
}

fn a_permissive_port_tells_plaintext_from_tls_however_it_is_split() {
    let fixture = inbound::Fixture::new(",mode=permissive", &[]);
    let config = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
    assert_served(&fixture, &config, 1..12);
    for input in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16",
        b"\x16\x02\x03\x01",
        b"\x16\x00\x03\x16\x03\x01",
        b"\x03\x16\x03\x01",
        b"\x15\x03\x01\x00\x02\x01\x00",
        b"\x17\x03\x03\x00\x01x",
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
        b"\x00",
    ] {
        let splits: Vec<_> = (1..=input.len()).map(|at| (input.to_vec(), at)).collect();
        let clients = send_split(&fixture, &splits);
        for client in &clients {
            client.shutdown(Shutdown::Write).expect("FIN");
        }
        for _ in &clients {
            let received = read_to_end(&mut fixture.accept());
            assert_eq!((&*received.bytes, received.end), (input, End::Fin));
        }
    }
}

/// A proxy that sends each byte in a segment of its own, both ways. It serves one connection.
fn splitting_proxy(listener: &TcpListener, to: SocketAddr) {
    let (client, _) = listener.accept().expect("a connection");
    client.set_nodelay(true).expect("TCP_NODELAY");
    let server = connect(to);
    std::thread::scope(|scope| {
        scope.spawn(|| pass_byte_by_byte(&client, &server));
        pass_byte_by_byte(&server, &client);
    });
}

/// Until either side ends.
fn pass_byte_by_byte(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        for byte in &buffer[..len] {
            if to.write_all(&[*byte]).is_err() {
                return;
            }
        }
    }
    // The other side may have reset the connection.
    let _ = to.shutdown(Shutdown::Write);
}

fn openssl_is_served_byte_by_byte() {
    let fixture = Fixture::new();
    fixture.ca.sign(WEB).write(&fixture.folder, "web");
    for words in ["-tls1_3", "-tls1_2"] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let output = std::thread::scope(|scope| {
            scope.spawn(|| splitting_proxy(&listener, fixture.addr()));
            s_client(&fixture.folder, port, words)
        });
        assert!(output.contains("200 OK"), "{words}: {output}");
    }
}
