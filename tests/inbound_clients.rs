//! Inbound ports with clients that keep their connections: Envoy, and Go's crypto/tls and net/http.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use libtest_mimic::Trial;

use crate::inbound_peers::{SetOnDrop, Volume, WEB, server, start};
use crate::support::agent::Agent;
use crate::support::certs::Authority;
use crate::support::folder::Folder;
use crate::support::observe::until;
use crate::support::peers::envoy::{ClientEnvoy, ClientSettings, ENVOY};
use crate::support::peers::{PeerProcess, go};
use crate::support::ports::{Reserved, reserve};
use crate::support::raw::connect;
use crate::support::trials::trials;
use crate::support::{Need, TLS, WAIT_LIMIT};

/// The tests.
pub fn tests() -> Vec<Trial> {
    if !TLS {
        return Vec::new();
    }
    let mut tests = trials!["inbound_clients" needs &[Need::Go];
        go_is_served_over_http_in_both_versions,
        go_may_end_either_direction_first,
    ];
    tests.extend(
        trials!["inbound_clients" needs &[Need::Go, Need::File(ENVOY)];
            envoy_of_http1_is_served_while_certificates_rotate,
            envoy_of_http2_is_served_while_certificates_rotate,
        ],
    );
    tests
}

/// Go's app, which speaks HTTP/1.1 and HTTP/2 in plaintext. It needs a certificate for its other ports.
fn go_app(folder: &Folder, ca: &Authority) -> PeerProcess {
    ca.sign("127.0.0.1").write(folder, "app");
    folder.file("ca.pem", &ca.pem());
    go::start(folder.path()).expect("starts")
}

/// An agent before an app at `target`, and a folder with the files of a client whose identity is allowed.
struct Fixture {
    agent: Agent,
    folder: Folder,
    inbound: Reserved,
}

impl Fixture {
    fn new(ca: &Authority, folder: Folder, target: SocketAddr, options: &str) -> Fixture {
        server(ca).write(&folder, "tls");
        ca.sign(WEB).write(&folder, "web");
        folder.file("ca.pem", &ca.pem());
        let inbound = reserve();
        let files = ["tls.pem", "tls.key", "ca.pem"];
        let agent = start(&folder, files, &inbound, target, options);
        Fixture {
            agent,
            folder,
            inbound,
        }
    }

    fn go_client(&self, case: &str) -> String {
        go::client(self.folder.path(), case, self.inbound.port).expect("every request succeeds")
    }
}

fn served(agent: &Agent, port: u16) -> f64 {
    let name =
        format!("probelet_inbound_connections_total{{listener=\"{port}\",result=\"served\"}}");
    agent.metric(&name).unwrap_or(0.0)
}

fn go_is_served_over_http_in_both_versions() {
    let (folder, ca) = (Folder::new(), Authority::new("ca of the mesh"));
    let app = go_app(&folder, &ca);
    let target = (Ipv4Addr::LOCALHOST, app.port("plain")).into();
    let fixture = Fixture::new(&ca, folder, target, ",alpn=h2,alpn=http/1.1");
    let result = "HTTP/1.1 and HTTP/2.0";
    assert_eq!(
        fixture.go_client("http"),
        format!("TLS 1.2: {result}\nTLS 1.3: {result}\n")
    );
    // For each version: HTTP/2 needs one, HTTP/1.1 one for each of the concurrent requests.
    assert!(served(&fixture.agent, fixture.inbound.port) >= 2.0 * 9.0);
}

/// An app that returns all bytes until its client ends, or, if they begin with `ends`, returns these and ends first. It
/// counts the bytes of clients that have ended.
fn end_app(listener: &TcpListener, received: &AtomicUsize) {
    loop {
        let (mut app, _) = listener.accept().expect("a connection");
        let mut first = [0; 4];
        if app.read_exact(&mut first).is_err() {
            return;
        }
        app.write_all(&first).expect("the client reads");
        let mut rest = app.try_clone().expect("a descriptor");
        let count = if first == *b"ends" {
            app.shutdown(Shutdown::Write).expect("FIN");
            std::io::copy(&mut rest, &mut std::io::sink())
        } else {
            let count = std::io::copy(&mut rest, &mut app);
            app.shutdown(Shutdown::Write).expect("FIN");
            count
        };
        let count = count.expect("the client ends in order");
        received.fetch_add(count as usize, Ordering::Relaxed);
    }
}

fn go_may_end_either_direction_first() {
    const BYTES: usize = 16 << 20;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let target = listener.local_addr().expect("bound");
    let fixture = Fixture::new(&Authority::new("ca"), Folder::new(), target, "");
    let received = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| end_app(&listener, &received));
        let output = fixture.go_client("stream");
        assert_eq!(output, "TLS 1.2: half-closed\nTLS 1.3: half-closed\n");
        until("all bytes", || {
            (received.load(Ordering::Relaxed) == 4 * BYTES).then_some(())
        });
        // A connection without a byte ends the app.
        drop(connect(target));
    });
    assert!(served(&fixture.agent, fixture.inbound.port) >= 4.0);
}

fn envoy_of_http1_is_served_while_certificates_rotate() {
    envoy_is_served_while_certificates_rotate("http/1.1", "HTTP/1.1");
}

fn envoy_of_http2_is_served_while_certificates_rotate() {
    envoy_is_served_while_certificates_rotate("h2", "HTTP/2.0");
}

/// Leaf and key of the agent change every 300 ms, with two CAs by turns, while clients send requests on connections that stay
/// open. Envoy passes them on over connections of 10 requests each.
fn envoy_is_served_while_certificates_rotate(alpn: &str, protocol: &str) {
    const LEAVES: usize = 6;
    let (folder, cas) = (
        Folder::new(),
        [Authority::new("old"), Authority::new("new")],
    );
    let both = cas.each_ref().map(Authority::pem).concat();
    let app = go_app(&folder, &cas[0]);
    let target = (Ipv4Addr::LOCALHOST, app.port("plain")).into();
    let web = cas[0].sign(WEB);
    for version in ["TLSv1_2", "TLSv1_3"] {
        let mut volume = Volume::new(&server(&cas[0]), &both);
        let (inbound, options) = (reserve(), format!(",alpn={alpn}"));
        let files = ["tls.crt", "tls.key", "ca.crt"];
        let agent = start(&volume.folder, files, &inbound, target, &options);
        let settings = ClientSettings {
            identity: &web,
            authorities: &both,
            server_id: "spiffe://td/ns/shop/sa/server",
            server_port: inbound.port,
            alpn,
            version,
        };
        let envoy = ClientEnvoy::start(&folder, &settings).expect("starts");
        let reloads = || {
            let name =
                "probelet_certificate_reloads_total{file=\"certificate\",result=\"success\"}";
            agent.metric(name).unwrap_or(0.0)
        };
        let is_done = AtomicBool::new(false);
        let mut requests = 0;
        std::thread::scope(|scope| {
            let clients = [(); 3].map(|()| {
                let to = (Ipv4Addr::LOCALHOST, envoy.port()).into();
                let is_done = &is_done;
                scope.spawn(move || requests_until(to, protocol, is_done))
            });
            let end = SetOnDrop(&is_done);
            for n in 1..=LEAVES {
                volume.swap(&server(&cas[n % 2]), &both);
                std::thread::sleep(Duration::from_millis(300));
            }
            until("reloads", || (reloads() >= 2.0).then_some(()));
            drop(end);
            for client in clients {
                requests += client.join().expect("every request succeeds");
            }
        });
        let counter = |name: &str| envoy.counter(&format!("cluster.app.{name}"));
        assert_eq!(counter("upstream_rq_200"), Some(requests), "{version}");
        assert_eq!(counter("ssl.fail_verify_error"), Some(0), "{version}");
        let handshakes = counter("ssl.handshake").expect("a counter");
        assert!(handshakes >= requests / 10, "{handshakes} of {requests}");
        assert_eq!(
            served(&agent, inbound.port) as u64,
            handshakes,
            "{version}: all handshakes"
        );
        assert!(
            counter(&format!("ssl.versions.{}", version.replace('_', "."))) >= Some(handshakes),
            "{version}"
        );
    }
}

/// Sends requests on one connection. Returns their number.
fn requests_until(to: SocketAddr, protocol: &str, is_done: &AtomicBool) -> u64 {
    let mut stream = connect(to);
    stream
        .set_read_timeout(Some(WAIT_LIMIT))
        .expect("SO_RCVTIMEO");
    let mut requests = 0;
    while !is_done.load(Ordering::Relaxed) {
        stream
            .write_all(b"GET /go-protocol HTTP/1.1\r\nHost: server.test\r\n\r\n")
            .expect("Envoy reads");
        let answer = read_answer(&mut stream);
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(protocol),
            "{answer}"
        );
        requests += 1;
    }
    requests
}

/// One response with a `content-length`.
fn read_answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let len = stream.read(&mut part).expect("a response");
        assert_ne!(len, 0, "a response");
        bytes.extend_from_slice(&part[..len]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
                return text.into_owned();
            }
        }
    }
}
