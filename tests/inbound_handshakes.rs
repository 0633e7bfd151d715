//! Inbound ports and unusual handshakes: early data, data in the segment of the last message, records of one byte,
//! renegotiation.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

use libtest_mimic::Trial;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConnection, StreamOwned};

use crate::inbound::Fixture;
use crate::inbound_peers::{self, REQUEST, WEB};
use crate::support::http::End;
use crate::support::raw::read_to_end;
use crate::support::trials::trials;
use crate::support::{Need, TLS};

/// The tests.
pub fn tests() -> Vec<Trial> {
    if !TLS {
        return Vec::new();
    }
    let mut tests = trials!["inbound_handshakes":
        early_data_is_not_accepted,
        data_and_close_notify_may_come_with_the_end_of_the_handshake,
        a_client_hello_in_records_of_one_byte_is_accepted,
    ];
    tests.extend(trials!["inbound_handshakes" needs &[Need::Peer("openssl")];
        a_client_that_renegotiates_is_refused,
    ]);
    tests
}

fn new_client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("server.test").expect("a name");
    ClientConnection::new(config.clone(), name).expect("a connection")
}

/// A connection to another server with this certificate, which issues tickets for early data.
fn get_ticket(fixture: &Fixture, config: &Arc<ClientConfig>) {
    let identity = inbound_peers::server(&fixture.ca);
    let mut server_config = identity.server_tls(&[], Some(&fixture.ca)).expect("TLS");
    let changed = Arc::get_mut(&mut server_config).expect("not shared");
    changed.max_early_data_size = 1000;
    let mut server = ServerConnection::new(server_config).expect("a connection");
    let mut client = new_client(config);
    let mut bytes = Vec::new();
    while client.wants_write() || server.wants_write() {
        client.write_tls(&mut bytes).expect("memory");
        server.read_tls(&mut &bytes[..]).expect("memory");
        server.process_new_packets().expect("good records");
        bytes.clear();
        server.write_tls(&mut bytes).expect("memory");
        client.read_tls(&mut &bytes[..]).expect("memory");
        client.process_new_packets().expect("good records");
        bytes.clear();
    }
    assert!(!client.is_handshaking());
}

/// A client with a ticket of an earlier server sends data that an attacker could send again. The handshake succeeds without it.
fn early_data_is_not_accepted() {
    let fixture = Fixture::new("", &[]);
    let mut config = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
    let changed = Arc::get_mut(&mut config).expect("not shared");
    changed.enable_early_data = true;
    get_ticket(&fixture, &config);
    let mut client = new_client(&config);
    let mut early = client.early_data().expect("a ticket");
    early.write_all(b"early").expect("it is buffered");
    let mut stream = StreamOwned::new(client, fixture.connect());
    stream.write_all(b"hello").expect("TLS is established");
    assert!(!stream.conn.is_early_data_accepted());
    stream.conn.send_close_notify();
    stream.flush().expect("sent");
    let received = read_to_end(&mut fixture.accept());
    assert_eq!((&*received.bytes, received.end), (&b"hello"[..], End::Fin));
}

fn data_and_close_notify_may_come_with_the_end_of_the_handshake() {
    let fixture = Fixture::new("", &[]);
    let mut client = new_client(&fixture.ca.client(Some(&fixture.ca.sign(WEB))));
    let mut tcp = fixture.connect();
    client.write_tls(&mut tcp).expect("the agent reads");
    while !client.wants_write() {
        client.read_tls(&mut tcp).expect("the server's messages");
        client.process_new_packets().expect("good records");
    }
    client.writer().write_all(REQUEST).expect("it is buffered");
    client.send_close_notify();
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("memory");
    }
    tcp.write_all(&bytes).expect("the agent reads");
    let mut app = fixture.accept();
    let received = read_to_end(&mut app);
    assert_eq!((&*received.bytes, received.end), (REQUEST, End::Fin));
    app.write_all(b"answer").expect("the client is there");
    drop(app);
    let mut answer = Vec::new();
    let mut stream = StreamOwned::new(client, tcp);
    stream.read_to_end(&mut answer).expect("close_notify");
    assert_eq!(answer, b"answer");
}

fn a_client_hello_in_records_of_one_byte_is_accepted() {
    let fixture = Fixture::new("", &[]);
    let mut client = new_client(&fixture.ca.client(Some(&fixture.ca.sign(WEB))));
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory");
    let records = hello[5..].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]);
    let records: Vec<u8> = records.collect();
    let mut tcp: TcpStream = fixture.connect();
    tcp.write_all(&records).expect("the agent reads");
    let mut stream = StreamOwned::new(client, tcp);
    stream.write_all(b"hello").expect("TLS is established");
    let mut app = fixture.accept();
    app.read_exact(&mut [0; 5]).expect("the client's data");
}

/// OpenSSL ends the connection when the server refuses.
fn a_client_that_renegotiates_is_refused() {
    let fixture = inbound_peers::Fixture::new();
    fixture.ca.sign(WEB).write(&fixture.folder, "web");
    let mut child = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-cert", "web.pem", "-key", "web.key"])
        .args(["-connect", &fixture.addr().to_string()])
        .current_dir(fixture.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"R\n").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    drop(stdin);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stdout.contains("RENEGOTIATING") || stderr.contains("RENEGOTIATING"),
        "{stdout}{stderr}"
    );
    assert!(stderr.contains("no renegotiation"), "{stderr}");
    fixture.until_none_is_open();
}
