//! Many inbound connections, honest and hostile ones side by side: none of the honest ones fails, and memory and descriptors
//! stay flat.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libtest_mimic::Trial;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::inbound_peers::{Fixture, REQUEST, SetOnDrop, WEB, fetch};
use crate::support::agent::is_emulated;
use crate::support::observe::{assert_descriptors, until};
use crate::support::raw::{connect, connect_from, reset};
use crate::support::trials::trials;
use crate::support::{TLS, WAIT_LIMIT};

/// The tests.
pub fn tests() -> Vec<Trial> {
    // An emulator's memory is not the agent's.
    if !TLS || is_emulated() {
        return Vec::new();
    }
    trials!["inbound_soak":
        honest_clients_are_served_and_memory_stays_flat_beside_hostile_ones,
    ]
}

/// What a hostile client does.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Sends nothing.
    Silent,
    /// Sends a half of its ClientHello.
    HalfHello,
    /// Sends its ClientHello byte by byte, one with each further attack.
    Slow,
    /// Sends its ClientHello and does not answer the server.
    HalfHandshake,
    /// Sends bytes that are not TLS, or a record that is too long.
    Garbage,
    /// Has the certificate of an identity that is not allowed.
    NotAllowed,
    /// Is served, and then ends with a part of a record, or a reset.
    Truncates,
}

const ATTACKS: [Attack; 7] = [
    Attack::Silent,
    Attack::HalfHello,
    Attack::Slow,
    Attack::HalfHandshake,
    Attack::Garbage,
    Attack::NotAllowed,
    Attack::Truncates,
];

/// The hostile clients of one thread. Up to 40 of its connections stay open.
struct Attacker {
    to: SocketAddr,
    web: Arc<ClientConfig>,
    other: Arc<ClientConfig>,
    /// Open connections, and the bytes that each of the slow ones has yet to send.
    open: Vec<(TcpStream, Vec<u8>)>,
}

impl Attacker {
    /// Its nth connection, from one of 100 addresses. It may be reset at any time.
    fn attack(&mut self, n: usize, network: u8) {
        let from = Ipv4Addr::new(127, 0, network, 1 + (n % 100) as u8);
        let Ok(mut tcp) = connect_from(from, self.to) else {
            return;
        };
        tcp.set_read_timeout(Some(WAIT_LIMIT)).expect("SO_RCVTIMEO");
        let (client, hello) = client_hello(&self.web);
        let mut unsent = Vec::new();
        match ATTACKS[n % ATTACKS.len()] {
            Attack::Silent => {}
            Attack::HalfHello => drop(tcp.write_all(&hello[..hello.len() / 2])),
            Attack::Slow => unsent = hello,
            Attack::HalfHandshake => {
                let _ = tcp
                    .write_all(&hello)
                    .and_then(|()| tcp.read(&mut [0; 4096]));
            }
            Attack::Garbage if n.is_multiple_of(2) => drop(tcp.write_all(&[0x16; 3000])),
            Attack::Garbage => drop(tcp.write_all(b"\x16\x03\x01\xff\xff\x01")),
            Attack::NotAllowed => {
                let _ = fetch(&self.other, tcp);
                return;
            }
            Attack::Truncates => {
                let _ = tcp.write_all(&hello);
                let mut stream = StreamOwned::new(client, tcp);
                if stream.write_all(&REQUEST[..9]).is_ok() {
                    let _ = stream.sock.write_all(b"\x17\x03\x03\x40\x00part");
                }
                if n.is_multiple_of(2) {
                    reset(stream.sock);
                }
                return;
            }
        }
        for (slow, unsent) in &mut self.open {
            if !unsent.is_empty() {
                let _ = slow.write_all(&[unsent.remove(0)]);
            }
        }
        self.open.push((tcp, unsent));
        if self.open.len() > 40 {
            self.open.drain(..20);
        }
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("server.test").expect("a name")
}

fn client_hello(config: &Arc<ClientConfig>) -> (ClientConnection, Vec<u8>) {
    let mut client = ClientConnection::new(config.clone(), name()).expect("a connection");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory");
    (client, hello)
}

/// Serves `count` honest clients beside hostile ones, at least 400 in each of two threads. Returns the number of these.
fn run(fixture: &Fixture, web: &Arc<ClientConfig>, count: usize) -> usize {
    const THREADS: usize = 2;
    let other = fixture.ca.client(Some(&fixture.ca.sign("spiffe://td/b")));
    let is_done = AtomicBool::new(false);
    let attacks: [AtomicUsize; THREADS] = Default::default();
    std::thread::scope(|scope| {
        for (network, attacks) in attacks.iter().enumerate() {
            let mut attacker = Attacker {
                to: fixture.addr(),
                web: web.clone(),
                other: other.clone(),
                open: Vec::new(),
            };
            let is_done = &is_done;
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) {
                    let n = attacks.fetch_add(1, Ordering::Relaxed);
                    attacker.attack(n, 2 + network as u8);
                }
            });
        }
        let end = SetOnDrop(&is_done);
        for n in 0..count {
            assert_eq!(fetch(web, connect(fixture.addr())), Ok(()), "client {n}");
        }
        let is_enough = |attacks: &AtomicUsize| attacks.load(Ordering::Relaxed) >= 400;
        until("attacks", || attacks.iter().all(is_enough).then_some(()));
        drop(end);
    });
    attacks.into_iter().map(AtomicUsize::into_inner).sum()
}

fn honest_clients_are_served_and_memory_stays_flat_beside_hostile_ones() {
    let fixture = Fixture::new();
    let descriptors = fixture.agent.descriptors();
    let web = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
    let measure = |count| {
        let attacks = run(&fixture, &web, count);
        fixture.until_none_is_open();
        let memory = fixture.agent.memory("Anonymous").expect("a figure");
        (memory, attacks)
    };
    let (before, first) = measure(200);
    let (after, second) = measure(500);
    if std::env::var_os("PROBELET_TEST_TIMES").is_some() {
        eprintln!(
            "{before} KiB after 200 honest clients and {first} attacks, {after} KiB after 500 more and {second} attacks"
        );
    }
    assert!(after <= before + 64, "{before} KiB, then {after} KiB");
    assert_descriptors(&fixture.agent, descriptors);
    assert!(fixture.agent.get("/healthz").is_ok());
}
