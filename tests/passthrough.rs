//! Forwards: bytes, their end and their pace pass unchanged.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::support::agent::Agent;
use crate::support::http::End;
use crate::support::observe::{assert_descriptors, until};
use crate::support::ports::{Reserved, full_backlog, reserve};
use crate::support::raw::{
    connect, connect_unless_reset, exchange, get, probe, read_to_end, state,
};
use crate::support::switchable_app::{BODY, ReplyMode, SwitchableApp};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;
use crate::support::{Need, WAIT_LIMIT};

use probelet::limits::FORWARD_CONNECT_TIMEOUT;

pub(crate) const LIVEZ: &str = "/app-health/web/livez";

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["passthrough":
        bytes_pass_unchanged_both_ways_at_once,
        single_bytes_pass_without_waiting_for_more,
        small_segments_do_not_wait_for_the_readers_acknowledgement,
        the_end_of_the_clients_bytes_leaves_the_answer_open,
        the_end_of_the_apps_bytes_leaves_the_request_open,
        a_reader_that_stops_stops_the_writer,
        http_through_a_forward_gets_the_apps_response,
        a_refused_target_resets_the_client,
        a_target_that_does_not_accept_resets_the_client_in_time,
        forwards_do_not_mix_connections,
        the_apps_address_is_dialled_from_the_source_address,
    ];
    tests.extend(trials!["passthrough" needs &[Need::Ipv6]; ipv6_listens_and_targets]);
    tests
}

/// A forward to a listener of the test.
pub(crate) struct Fixture {
    pub(crate) agent: Agent,
    pub(crate) app: TcpListener,
    pub(crate) forward: ForwardListener,
}

/// The port that a forward listens on.
pub(crate) struct ForwardListener(pub(crate) Reserved);

impl ForwardListener {
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.0.port).into()
    }
}

/// An app that accepts. `accept` fails after `WAIT_LIMIT`.
pub(crate) fn listen() -> TcpListener {
    let app = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    set_socket_timeout(&app, Timeout::Recv, Some(WAIT_LIMIT)).expect("SO_RCVTIMEO");
    app
}

pub(crate) fn fixture(args: &[&str]) -> Fixture {
    let app = listen();
    let target = app.local_addr().expect("bound");
    let (agent, forward) = forward_to(target, &Table::new(), args);
    Fixture {
        agent,
        app,
        forward,
    }
}

pub(crate) fn forward_to(
    target: SocketAddr,
    table: &Table,
    args: &[&str],
) -> (Agent, ForwardListener) {
    let listener = ForwardListener(reserve());
    let forward = format!("{}={target}", listener.0.port);
    let agent = agent_with(table, &[&["--forward", &forward], args].concat());
    (agent, listener)
}

impl Fixture {
    /// Both ends of a new connection: the client's and the app's.
    pub(crate) fn pair(&self) -> (TcpStream, TcpStream) {
        let client = connect(self.forward.addr());
        let (app, _) = self.app.accept().expect("the target is dialled");
        app.set_nodelay(true).expect("TCP_NODELAY");
        for end in [&client, &app] {
            end.set_read_timeout(Some(WAIT_LIMIT)).expect("SO_RCVTIMEO");
            end.set_write_timeout(Some(WAIT_LIMIT))
                .expect("SO_SNDTIMEO");
        }
        (client, app)
    }
}

/// Waits until no forward has a connection.
pub(crate) fn until_free(agent: &Agent) {
    let open = "probelet_open_connections{kind=\"forward\"}";
    until("the forwards are free", || {
        (agent.metric(open) == Some(0.0)).then_some(())
    });
}

/// Pseudorandom bytes and chunk sizes (xorshift64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8))
            .flat_map(|_| self.next().to_le_bytes())
            .take(count)
            .collect()
    }

    /// Writes everything in chunks of 1 byte to 20 KiB, then ends that direction.
    fn send(mut self, bytes: &[u8], to: &mut TcpStream) {
        let mut left = bytes;
        while !left.is_empty() {
            let size = (1 + self.next() as usize % (20 * 1024)).min(left.len());
            to.write_all(&left[..size]).expect("the other side reads");
            left = &left[size..];
        }
        to.shutdown(Shutdown::Write).expect("FIN");
    }
}

fn bytes_pass_unchanged_both_ways_at_once() {
    let fixture = fixture(&[]);
    let (client, app) = fixture.pair();
    let up = Noise(1).bytes(6 << 20);
    let down = Noise(2).bytes(5 << 20);
    let run = |mut end: TcpStream, seed, send: Vec<u8>, expect: Vec<u8>| {
        let mut writing = end.try_clone().expect("a second descriptor");
        let writer = thread::spawn(move || Noise(seed).send(&send, &mut writing));
        thread::spawn(move || {
            let mut got = Vec::new();
            end.read_to_end(&mut got).expect("ends with a FIN");
            // Not `assert_eq`, which would print megabytes.
            assert!(
                got == expect,
                "{} bytes came of {}, or not the same",
                got.len(),
                expect.len()
            );
            writer.join().expect("all written");
        })
    };
    let sides = [
        run(client, 3, up.clone(), down.clone()),
        run(app, 4, down, up),
    ];
    for side in sides {
        side.join().expect("both directions");
    }
}

fn single_bytes_pass_without_waiting_for_more() {
    let fixture = fixture(&[]);
    let (mut client, mut app) = fixture.pair();
    for n in 0..500_u16 {
        let byte = [n as u8];
        let mut got = [0];
        client.write_all(&byte).expect("sent");
        app.read_exact(&mut got).expect("passed on");
        assert_eq!(got, byte);
        app.write_all(&byte).expect("sent");
        client.read_exact(&mut got).expect("passed back");
        assert_eq!(got, byte);
    }
}

/// Many servers send head and body in two writes. Nagle's algorithm would delay the second until the first is acknowledged,
/// which takes 40 ms if the reader sends nothing. It would delay nearly all of a direction, and a busy machine some.
fn small_segments_do_not_wait_for_the_readers_acknowledgement() {
    let fixture = fixture(&[]);
    let (mut client, mut app) = fixture.pair();
    let mut quick = [0; 2];
    for pair in 0..QUICK_ACKS + PAIRS {
        let took = [
            two_segments(&mut client, &mut app),
            two_segments(&mut app, &mut client),
        ];
        for (quick, took) in quick.iter_mut().zip(took) {
            let is_quick = took < Duration::from_millis(25);
            *quick += usize::from(pair >= QUICK_ACKS && is_quick);
        }
    }
    assert!(quick.iter().all(|quick| quick * 4 >= PAIRS), "{quick:?}");
}

/// More than the segments of a connection that the kernel acknowledges at once (`include/net/tcp.h`, `TCP_MAX_QUICKACKS`).
const QUICK_ACKS: usize = 20;

/// Pairs of segments of each direction.
const PAIRS: usize = 60;

fn two_segments(from: &mut TcpStream, to: &mut TcpStream) -> Duration {
    let started = Instant::now();
    for _ in 0..2 {
        from.write_all(b"segment").expect("sent");
        to.read_exact(&mut [0; 7]).expect("passed on");
    }
    started.elapsed()
}

fn the_end_of_the_clients_bytes_leaves_the_answer_open() {
    let fixture = fixture(&[]);
    let (client, app) = fixture.pair();
    assert_half_close(client, app);
}

fn the_end_of_the_apps_bytes_leaves_the_request_open() {
    let fixture = fixture(&[]);
    let (client, app) = fixture.pair();
    assert_half_close(app, client);
}

/// `first` ends its direction; the other way continues until `second` ends it too.
fn assert_half_close(mut first: TcpStream, mut second: TcpStream) {
    first.write_all(b"all I have to say").expect("sent");
    first.shutdown(Shutdown::Write).expect("FIN");
    let mut got = String::new();
    second
        .read_to_string(&mut got)
        .expect("the FIN is passed on");
    assert_eq!(got, "all I have to say");
    assert_eq!(state(&first), End::Open, "one FIN is not two");
    let late = Noise(5).bytes(300 * 1024);
    Noise(6).send(&late, &mut second);
    let reply = read_to_end(&mut first);
    assert!(reply.bytes == late, "what came after the other side's FIN");
    assert_eq!(reply.end, End::Fin);
}

fn a_reader_that_stops_stops_the_writer() {
    let fixture = fixture(&[]);
    let (mut client, mut app) = fixture.pair();
    let chunk = Noise(7).bytes(64 * 1024);
    // An emulator stores translated code in memory of the process: translate the relay's before the first reading.
    client.write_all(&chunk).expect("sent");
    app.read_exact(&mut chunk.clone()).expect("forwarded");
    let before = fixture.agent.memory("Anonymous").expect("alive");
    client
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("SO_SNDTIMEO");
    let mut sent = 0;
    // The kernel buffers of both connections hold a few megabytes at most (tcp_wmem, tcp_rmem).
    let stalled = loop {
        match client.write(&chunk[sent % chunk.len()..]) {
            Ok(n) => sent += n,
            Err(e) => break e.kind(),
        }
        assert!(
            sent < 64 << 20,
            "64 MiB went into a forward without a reader"
        );
    };
    assert_eq!(
        stalled,
        ErrorKind::WouldBlock,
        "the writer is held back, not cut off"
    );
    let grown = fixture
        .agent
        .memory("Anonymous")
        .expect("alive")
        .saturating_sub(before);
    assert!(
        grown <= 64,
        "{grown} KiB more in the agent for a reader that stopped"
    );
    // No bytes are lost, and the other direction was not blocked.
    app.write_all(b"back").expect("sent");
    client
        .read_exact(&mut [0; 4])
        .expect("the other direction does not wait");
    client.shutdown(Shutdown::Write).expect("FIN");
    let got = read_to_end(&mut app);
    assert_eq!((got.bytes.len(), got.end), (sent, End::Fin));
    assert!(
        got.bytes
            .chunks(chunk.len())
            .all(|c| *c == chunk[..c.len()]),
        "in order"
    );
}

fn http_through_a_forward_gets_the_apps_response() {
    let app = SwitchableApp::start(ReplyMode::Status(201));
    let (_agent, forward) = forward_to(app.addr(), &Table::new(), &[]);
    let direct = exchange(app.addr(), &get("/health"));
    let through = exchange(forward.addr(), &get("/health"));
    assert_eq!(through.bytes, direct.bytes);
    through.assert_is(201);
    assert_eq!(through.body(), BODY.as_bytes());
}

fn a_refused_target_resets_the_client() {
    let refused = reserve();
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, refused.port));
    let (agent, forward) = forward_to(closed, &Table::new(), &[]);
    let before = agent.descriptors();
    for request in [get("/health"), Vec::new()] {
        assert_eq!(
            end_of(&forward, &request),
            End::Reset,
            "an HTTP probe must fail"
        );
    }
    assert_descriptors(&agent, before);
}

fn a_target_that_does_not_accept_resets_the_client_in_time() {
    let target = full_backlog();
    let app = SocketAddr::from((Ipv4Addr::LOCALHOST, target.port));
    let (agent, forward) = forward_to(app, &Table::new(), &[]);
    let before = agent.descriptors();
    // The kernel would try for two minutes.
    assert!(FORWARD_CONNECT_TIMEOUT < WAIT_LIMIT);
    assert_eq!(end_of(&forward, &get("/health")), End::Reset);
    assert_descriptors(&agent, before);
}

/// Connects and sends these bytes. Returns how the connection ends.
pub(crate) fn end_of(forward: &ForwardListener, request: &[u8]) -> End {
    let Some(mut stream) = connect_unless_reset(forward.addr()) else {
        return End::Reset;
    };
    // A write that fails with a reset clears the socket's error, so the next read returns 0.
    if stream
        .write_all(request)
        .is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
    {
        return End::Reset;
    }
    let answer = read_to_end(&mut stream);
    assert_eq!(text(&answer.bytes), "", "an unexpected answer");
    answer.end
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn forwards_do_not_mix_connections() {
    let apps = [
        SwitchableApp::start(ReplyMode::Status(201)),
        SwitchableApp::start(ReplyMode::Status(202)),
    ];
    let listeners = [ForwardListener(reserve()), ForwardListener(reserve())];
    let forward = |n: usize| {
        format!(
            "--forward=0.0.0.0:{}={}",
            listeners[n].0.port,
            apps[n].addr()
        )
    };
    let agent = agent_with(&Table::new(), &[&forward(0), &forward(1)]);
    for (listener, status) in listeners.iter().zip([201, 202]) {
        exchange(listener.addr(), &get("/")).assert_is(status);
    }
    probe(&agent, "/healthz/ready").assert_is(200);
}

fn the_apps_address_is_dialled_from_the_source_address() {
    let fixture = fixture(&["--source-ip", "127.0.0.6"]);
    let (_client, app) = fixture.pair();
    let from = app.peer_addr().expect("connected").ip();
    assert_eq!(from, Ipv4Addr::new(127, 0, 0, 6));
}

fn ipv6_listens_and_targets() {
    let app = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("a free port");
    let target = app.local_addr().expect("bound").port();
    let reserved = [reserve(), reserve(), reserve()];
    let ports = [0, 1, 2].map(|n: usize| reserved[n].port);
    let forwards = [
        format!("--forward={}=[::1]:{target}", ports[0]),
        format!("--forward=127.0.0.1:{}=[::1]:{target}", ports[1]),
        format!("--forward=[::1]:{}=[::1]:{target}", ports[2]),
    ];
    let args: Vec<_> = forwards.iter().map(String::as_str).collect();
    let _agent = agent_with(&Table::new(), &args);
    let (v4, v6): (IpAddr, IpAddr) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    // A bare port listens on both families, an address on its own.
    for at in [
        (v4, ports[0]),
        (v6, ports[0]),
        (v4, ports[1]),
        (v6, ports[2]),
    ] {
        let mut client = TcpStream::connect(SocketAddr::from(at)).expect("listens");
        let (mut end, _) = app.accept().expect("dialled");
        client.write_all(b"six").expect("sent");
        end.set_read_timeout(Some(WAIT_LIMIT)).expect("SO_RCVTIMEO");
        end.read_exact(&mut [0; 3]).expect("passed on");
    }
    for not in [(v6, ports[1]), (v4, ports[2])] {
        let refused = TcpStream::connect(SocketAddr::from(not)).map_err(|e| e.kind());
        assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused), "{not:?}");
    }
}
