//! Clients that hold the webhook's memory, connections, handshakes or CPU time, while an honest client sends reviews. They
//! are on other addresses than the honest client, as the pods of a node are.

use super::capacity::raise_descriptors;
use super::fixture::{
    Client, Webhook, assert_injected, get, head, padded, pod, post, review_of, trusting,
};
use super::hostile_handshakes::{self, Handshake};
use crate::support::http::Response;
use crate::support::observe::Stopwatch;
use crate::support::raw::connect_from;
use crate::support::trials::trials;
use crate::support::{Need, WAIT_LIMIT, within};
use libtest_mimic::Trial;
use probelet::limits;
use rustix::process::Signal;
use rustls::{ClientConfig, StreamOwned};
use serde_json::json;
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["webhook_attacks":
        large_bodies_that_do_not_arrive_delay_nobody,
        small_bodies_that_do_not_arrive_delay_nobody,
        chunked_bodies_that_do_not_arrive_delay_nobody,
        bodies_that_trickle_delay_nobody,
        responses_that_are_not_read_delay_nobody,
        silent_connections_delay_nobody,
        half_handshakes_delay_nobody,
        handshakes_in_a_loop_delay_nobody,
        complete_hellos_without_another_byte_delay_nobody,
        complete_hellos_of_many_addresses_delay_nobody,
        hello_retries_delay_nobody,
        four_hundred_handshakes_at_once_delay_nobody,
        four_hundred_handshakes_at_once_of_one_address_complete,
        a_client_that_answers_a_webhook_without_cpu_time_is_not_evicted,
        long_heads_and_records_that_do_not_end_delay_nobody,
        complete_large_reviews_delay_nobody,
        pipelined_requests_delay_nobody,
        a_large_review_gets_the_memory_of_bodies_that_do_not_arrive,
        all_attacks_at_once_fail_no_review,
    ];
    tests.extend(trials!["webhook_attacks" needs &[Need::MemoryCgroup];
        all_attacks_at_once_stay_below_the_memory_limit_of_the_deployment,
    ]);
    tests
}

/// `resources.limits.memory` of `deploy/webhook`.
const MEMORY_LIMIT_BYTES: u64 = 96 << 20;

/// Below the 5 s that the API server waits for a response. The time that other processes have the CPU is not counted.
const REVIEW_BOUND: Duration = Duration::from_secs(4);

/// The timeout of a review while all attacks run, which leave a machine of two cores little CPU time.
const MIXED_REVIEW_BOUND: Duration = limits::REVIEW_TIMEOUT;

/// Seconds that all attacks at once last; 3600 is a soak.
const SECONDS_VARIABLE: &str = "PROBELET_TEST_ATTACK_SECONDS";

/// With `1`, the attackers have the honest client's address.
const SAME_ADDRESS_VARIABLE: &str = "PROBELET_TEST_ATTACK_SAME_ADDRESS";

/// Addresses of attackers.
const ADDRESSES: u8 = 8;

/// The number of addresses while all attacks run. A new connection waits for some turns of each, and reviews in an
/// unoptimised webhook take ten times as long: with eight it would wait for longer than the API server does.
const MIXED_ADDRESSES_VARIABLE: &str = "PROBELET_TEST_ATTACK_ADDRESSES";
const MIXED_ADDRESSES: u8 = 2;

/// Addresses of attackers that are pods of many nodes: more than there are handshake permits.
const MANY_ADDRESSES: u8 = 250;

/// Handshakes at once: twice as many as the API server's default of `--max-mutating-requests-inflight`.
const BURST: usize = 400;

/// Poll interval of an attack's connections, and interval between two bytes that trickle.
const ATTACK_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    /// The head of a large body and ten bytes.
    LargeBodies,
    /// Half of a body of 64 KiB.
    SmallBodies,
    /// A chunked body that ends within a chunk.
    ChunkedBodies,
    /// A byte of the body from time to time.
    TricklingBodies,
    /// Reviews whose large responses are not read.
    UnreadResponses,
    /// No byte.
    Silent,
    /// A ClientHello, its first byte, or its first half.
    HalfHandshakes,
    /// A ClientHello, and no answer to the webhook's messages.
    CompleteHellos,
    /// One handshake after the other.
    HandshakeLoop,
    /// Many handshakes at once, each with a HelloRetryRequest, and new ones after them.
    HelloRetries,
    /// Many handshakes at once, and new ones after them.
    HandshakeBursts,
    /// A head that is as long as one may be, or longer, and a TLS record that does not end.
    LongHeads,
    /// Reviews as large as they may be, one after the other.
    CompleteLargeBodies,
    /// Requests without a pause, whose responses are read.
    PipelinedRequests,
}

/// Those that run at once. Pipelined requests have a trial of their own: in a debug build they take all of a core.
const ALL: [Attack; 10] = [
    Attack::LargeBodies,
    Attack::SmallBodies,
    Attack::ChunkedBodies,
    Attack::TricklingBodies,
    Attack::UnreadResponses,
    Attack::Silent,
    Attack::HalfHandshakes,
    Attack::HandshakeLoop,
    Attack::LongHeads,
    Attack::CompleteLargeBodies,
];

/// A connection of an attacker.
enum Held {
    Tcp(TcpStream),
    Tls(Box<Client>),
    Handshake(Box<Handshake>),
}

/// The webhook's address, and the requests that attackers send.
#[derive(Clone)]
struct Target {
    addr: SocketAddr,
    /// The number of addresses that attackers have.
    attackers: u8,
    trust: Arc<ClientConfig>,
    unverifying: Arc<ClientConfig>,
    unverifying_with_p521: Arc<ClientConfig>,
    hello: Arc<Vec<u8>>,
    body: Arc<Vec<u8>>,
    large_response: Arc<Vec<u8>>,
    large_review: Arc<Vec<u8>>,
    half_record: Arc<Vec<u8>>,
    stop: Arc<AtomicBool>,
}

impl Attack {
    /// Connections at first, and connections that are opened again whenever the webhook closes them.
    fn connections(self) -> (usize, usize) {
        match self {
            Attack::LargeBodies => (11, 11),
            Attack::SmallBodies => (200, 100),
            Attack::ChunkedBodies => (100, 50),
            Attack::TricklingBodies => (100, 50),
            Attack::UnreadResponses => (20, 10),
            Attack::Silent => (5000, 500),
            Attack::HalfHandshakes => (1500, 500),
            Attack::CompleteHellos => (1500, 500),
            Attack::HandshakeLoop => (4, 4),
            Attack::HelloRetries | Attack::HandshakeBursts => (BURST, BURST),
            Attack::LongHeads => (600, 300),
            Attack::CompleteLargeBodies => (8, 8),
            Attack::PipelinedRequests => (1, 1),
        }
    }

    /// Opens connection `number`. `None` if the webhook closes it at once.
    fn open(self, target: &Target, number: usize) -> Option<Held> {
        let client = || Webhook::client_over(target.tcp(number)?, &target.trust).ok();
        let sent = |bytes: &[u8]| {
            let mut client = client()?;
            client.try_send(bytes).ok()?;
            Some(Held::Tls(Box::new(client)))
        };
        let body = &target.body[..];
        match self {
            Attack::LargeBodies => sent(&[&head(limits::REVIEW_BYTES), &body[..10]].concat()),
            Attack::SmallBodies => {
                let half = &body[..limits::SMALL_BODY_BYTES / 2];
                sent(&[&head(limits::SMALL_BODY_BYTES), half].concat())
            }
            Attack::ChunkedBodies => {
                let head = String::from_utf8(head(0)).expect("text");
                let head = head.replace("Content-Length: 0", "Transfer-Encoding: chunked");
                let half = &body[..limits::SMALL_BODY_BYTES / 2];
                sent(&[head.as_bytes(), b"100000\r\n", half].concat())
            }
            Attack::TricklingBodies => sent(&head(limits::SMALL_BODY_BYTES)),
            Attack::UnreadResponses => {
                let mut client = client()?;
                let timeout = Some(Duration::from_millis(200));
                client.stream.sock.set_write_timeout(timeout).ok()?;
                // Until the buffers of the kernel are full.
                while !target.is_stopped() && client.try_send(&target.large_response).is_ok() {}
                Some(Held::Tls(Box::new(client)))
            }
            Attack::Silent => target.tcp(number).map(Held::Tcp),
            Attack::HalfHandshakes => {
                let mut tcp = target.tcp(number)?;
                let hello = &target.hello;
                let len = [hello.len(), 1, hello.len() / 2][number % 3];
                tcp.write_all(&hello[..len]).ok()?;
                Some(Held::Tcp(tcp))
            }
            Attack::CompleteHellos => {
                let mut tcp = target.tcp(number)?;
                tcp.write_all(&target.hello).ok()?;
                Some(Held::Tcp(tcp))
            }
            Attack::HandshakeLoop | Attack::PipelinedRequests => {
                client().map(|client| Held::Tls(Box::new(client)))
            }
            Attack::HelloRetries => target.start_handshake(number, &target.unverifying_with_p521),
            Attack::HandshakeBursts => target.start_handshake(number, &target.unverifying),
            Attack::LongHeads => {
                let len = [
                    limits::WEBHOOK_HEAD_BYTES - 1,
                    limits::REQUEST_HEAD_BYTES - 1,
                ];
                let mut head = b"GET /healthz HTTP/1.1\r\nX: ".to_vec();
                head.resize(len[usize::from(number.is_multiple_of(8))], b'x');
                let mut client = client()?;
                client.try_send(&head).ok()?;
                client.stream.sock.write_all(&target.half_record).ok()?;
                Some(Held::Tls(Box::new(client)))
            }
            Attack::CompleteLargeBodies => sent(&target.large_review),
        }
    }

    fn run(self, target: &Target, is_ready: &mpsc::Sender<()>) {
        let (first, kept) = self.connections();
        let mut held: Vec<_> = (0..first)
            .take_while(|_| !target.is_stopped())
            .map(|number| self.open(target, number))
            .collect();
        let _ = is_ready.send(());
        while !target.is_stopped() {
            for (number, slot) in held.iter_mut().enumerate().take(kept) {
                if let (Attack::PipelinedRequests, Some(Held::Tls(client))) = (self, &mut *slot) {
                    pipeline(client, target);
                }
                let is_over = self == Attack::HandshakeLoop
                    || slot.as_mut().is_none_or(|held| held.is_closed(self));
                if is_over && !target.is_stopped() {
                    *slot = None;
                    *slot = self.open(target, number);
                }
            }
            if self != Attack::HandshakeLoop {
                std::thread::sleep(ATTACK_INTERVAL);
            }
        }
    }
}

impl Held {
    fn is_closed(&mut self, attack: Attack) -> bool {
        let tcp = match self {
            Held::Tcp(tcp) => return hostile_handshakes::has_ended(tcp),
            Held::Handshake(handshake) => return handshake.advance().is_ready(),
            Held::Tls(client) => {
                if attack == Attack::TricklingBodies && client.try_send(b"x").is_err() {
                    return true;
                }
                &client.stream.sock
            }
        };
        tcp.set_nonblocking(true).expect("a socket");
        let peeked = tcp.peek(&mut [0]);
        tcp.set_nonblocking(false).expect("a socket");
        match peeked {
            Ok(0) => true,
            // An error response, unless it is the response that is not read.
            Ok(_) => attack != Attack::UnreadResponses,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }
}

impl Target {
    fn new(webhook: &Webhook, attackers: u8) -> Target {
        let unverifying = hostile_handshakes::unverifying();
        // Each path is twice in the patch.
        let mut pod = pod("large");
        let probe = |path: &str| json!({"httpGet": {"path": path, "port": 8080}});
        let path = ["/", &"x".repeat(4000)].concat();
        let containers: Vec<_> = (0..4)
            .map(|n| {
                json!({"name": format!("c{n}"), "image": "web", "livenessProbe": probe(&path),
                       "readinessProbe": probe(&path)})
            })
            .collect();
        pod["spec"]["containers"] = containers.into();
        Target {
            addr: webhook.addr(),
            trust: trusting(&webhook.authority.pem()),
            hello: Arc::new(hostile_handshakes::client_hello(&unverifying)),
            unverifying,
            unverifying_with_p521: hostile_handshakes::unverifying_with_p521(),
            body: Arc::new(vec![b' '; limits::SMALL_BODY_BYTES]),
            large_response: Arc::new(post(&review_of(&pod))),
            large_review: Arc::new(post(&large_review())),
            // Application data of TLS 1.2 or later, of the largest length (RFC 8446 section 5.1).
            half_record: Arc::new([&[23, 3, 3, 0x40, 0][..], &[0; 16 * 1024 - 1]].concat()),
            attackers,
            stop: Arc::default(),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn start_handshake(&self, number: usize, config: &Arc<ClientConfig>) -> Option<Held> {
        let mut handshake = Handshake::new(self.tcp(number)?, config);
        // Sends the ClientHello.
        let _ = handshake.advance();
        Some(Held::Handshake(Box::new(handshake)))
    }

    fn tcp(&self, number: usize) -> Option<TcpStream> {
        let same = std::env::var_os(SAME_ADDRESS_VARIABLE).is_some_and(|value| value == "1");
        let last = match same {
            true => 1,
            false => 2 + u8::try_from(number % usize::from(self.attackers)).expect("few"),
        };
        let tcp = connect_from(Ipv4Addr::new(127, 0, 0, last), self.addr).ok()?;
        tcp.set_read_timeout(Some(WAIT_LIMIT)).ok()?;
        tcp.set_write_timeout(Some(WAIT_LIMIT)).ok()?;
        Some(tcp)
    }
}

/// A review of almost as many bytes and values as one may have.
fn large_review() -> Vec<u8> {
    let mut pod = pod("large");
    let count = limits::REVIEW_VALUES / 3 - 100;
    let value = "x".repeat(limits::REVIEW_BYTES / count - 50);
    pod["spec"]["containers"][0]["env"] = vec![json!({"name": "a", "value": value}); count].into();
    review_of(&pod)
}

/// Sends requests and discards the responses, neither of which waits for the other, until the connection ends.
fn pipeline(client: &mut Client, target: &Target) {
    let (tls, tcp) = (&mut client.stream.conn, &mut client.stream.sock);
    let requests = get("/healthz").repeat(200);
    let is_over = |moved: std::io::Result<usize>| match moved {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    tcp.set_nonblocking(true).expect("a socket");
    while !target.is_stopped() {
        if !tls.wants_write() {
            tls.writer().write_all(&requests).expect("buffered");
        }
        if is_over(tls.write_tls(tcp)) || is_over(tls.read_tls(tcp)) {
            return;
        }
        if tls.process_new_packets().is_err() {
            return;
        }
        let _ = std::io::copy(&mut tls.reader(), &mut std::io::sink());
    }
}

/// The time of each review by [`Stopwatch`], on an established connection and on new ones.
#[derive(Default)]
struct Times {
    established: Vec<Duration>,
    new: Vec<Duration>,
}

impl Times {
    /// The median, the 99th percentile, and the longest.
    fn quantiles(times: &mut [Duration]) -> String {
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
        let figures = [at(50), at(99), at(100)].map(ms).join(", ");
        format!("{figures} ms of {}", times.len())
    }

    #[track_caller]
    fn check(mut self, what: &str, webhook: &Webhook, bound: Duration) {
        for times in [&self.established, &self.new] {
            let longest = times.iter().max().expect("some");
            assert!(*longest < bound, "{what}: {longest:?}");
        }
        eprintln!(
            "{what}: p50, p99, longest on an established connection {}; on new ones {}; peak {} KiB",
            Self::quantiles(&mut self.established),
            Self::quantiles(&mut self.new),
            webhook.status_figure("VmHWM"),
        );
    }
}

/// Reviews that are sent while each attack has all its connections.
const REVIEWS: usize = 30;

/// Runs attacks, and sends reviews until `is_over` says so, given the number of those since each attack has all its
/// connections. Each must be answered.
fn reviews_during(
    webhook: &Webhook,
    attacks: &[Attack],
    attackers: u8,
    interval: Duration,
    is_over: impl Fn(usize) -> bool,
) -> Times {
    raise_descriptors();
    let target = Target::new(webhook, attackers);
    let mut established = webhook.client();
    let mut times = Times::default();
    let mut review = |number: usize| {
        let name = format!("web-{number}");
        let request = post(&review_of(&pod(&name)));
        let watch = Stopwatch::start(webhook.pid());
        established.send(&request);
        assert_injected(&established.response(), &name);
        times.established.push(watch.elapsed());
        let watch = Stopwatch::start(webhook.pid());
        assert_injected(&send_on_new_connection(webhook, &request), &name);
        times.new.push(watch.elapsed());
    };
    std::thread::scope(|scope| {
        let (is_ready, ready) = mpsc::channel();
        for attack in attacks {
            let (target, is_ready) = (target.clone(), is_ready.clone());
            scope.spawn(move || attack.run(&target, &is_ready));
        }
        // A review that fails must end the attacks, too.
        let _stop = Stop(&target.stop);
        let (mut number, mut attacking) = (0, 0);
        let mut since_ready = 0;
        while !is_over(since_ready) {
            attacking += ready.try_iter().count();
            review(number);
            number += 1;
            since_ready += usize::from(attacking == attacks.len());
            std::thread::sleep(interval);
        }
    });
    times
}

/// Sends a request, again if the connection was evicted as slow only because the client or the webhook had no CPU.
fn send_on_new_connection(webhook: &Webhook, request: &[u8]) -> Response {
    loop {
        let (began, watch) = (Instant::now(), Stopwatch::start(webhook.pid()));
        let slow = limits::WEBHOOK_SLOW_HANDSHAKE;
        match webhook.try_send(request) {
            Ok(response) => return response,
            Err(_) if began.elapsed() >= slow && watch.elapsed() < slow => {}
            Err(error) => panic!("after {:?}: {error}", began.elapsed()),
        }
    }
}

/// Stops attacks when it is dropped.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[track_caller]
fn assert_delays_nobody(attack: Attack) -> Webhook {
    assert_delays_nobody_from(ADDRESSES, attack)
}

#[track_caller]
fn assert_delays_nobody_from(attackers: u8, attack: Attack) -> Webhook {
    let webhook = Webhook::start(&[]);
    let times = reviews_during(&webhook, &[attack], attackers, Duration::ZERO, |number| {
        number >= REVIEWS
    });
    times.check(
        &format!("{attack:?} from {attackers}"),
        &webhook,
        REVIEW_BOUND,
    );
    webhook
}

fn large_bodies_that_do_not_arrive_delay_nobody() {
    assert_delays_nobody(Attack::LargeBodies);
}

fn small_bodies_that_do_not_arrive_delay_nobody() {
    let webhook = assert_delays_nobody(Attack::SmallBodies);
    assert!(webhook.logged("status=503") > 0 || webhook.logged("status=408") > 0);
}

fn chunked_bodies_that_do_not_arrive_delay_nobody() {
    assert_delays_nobody(Attack::ChunkedBodies);
}

fn bodies_that_trickle_delay_nobody() {
    assert_delays_nobody(Attack::TricklingBodies);
}

fn responses_that_are_not_read_delay_nobody() {
    assert_delays_nobody(Attack::UnreadResponses);
}

fn silent_connections_delay_nobody() {
    let webhook = assert_delays_nobody(Attack::Silent);
    assert!(webhook.metric("evicted_connections_total", &[("phase", "silent")]) > 0.5);
    webhook.wait_log("level=warn msg=\"connection evicted\" phase=silent client=127.0.0.");
}

fn half_handshakes_delay_nobody() {
    let webhook = assert_delays_nobody(Attack::HalfHandshakes);
    assert!(webhook.metric("evicted_connections_total", &[("phase", "handshake")]) > 0.5);
}

fn handshakes_in_a_loop_delay_nobody() {
    assert_delays_nobody(Attack::HandshakeLoop);
}

fn complete_hellos_without_another_byte_delay_nobody() {
    let webhook = assert_delays_nobody(Attack::CompleteHellos);
    assert!(webhook.metric("evicted_connections_total", &[("phase", "handshake")]) > 0.5);
}

fn complete_hellos_of_many_addresses_delay_nobody() {
    assert_delays_nobody_from(MANY_ADDRESSES, Attack::CompleteHellos);
}

fn hello_retries_delay_nobody() {
    assert_delays_nobody(Attack::HelloRetries);
}

fn four_hundred_handshakes_at_once_delay_nobody() {
    assert_delays_nobody(Attack::HandshakeBursts);
}

fn four_hundred_handshakes_at_once_of_one_address_complete() {
    raise_descriptors();
    let webhook = Webhook::start(&[]);
    let target = Target::new(&webhook, 1);
    let start = |number| {
        let tcp = target.tcp(number).expect("a connection");
        Handshake::new(tcp, &target.unverifying)
    };
    // Each has a connection before the first sends a byte.
    let mut handshakes: Vec<_> = (0..BURST)
        .map(|number| (number, start(number), Instant::now()))
        .collect();
    let all_complete = within(WAIT_LIMIT, || {
        handshakes.retain_mut(|(number, handshake, polled_at)| {
            let waited = polled_at.elapsed();
            *polled_at = Instant::now();
            match handshake.advance() {
                Poll::Pending => true,
                Poll::Ready(Ok(())) => false,
                // This client had too little CPU time.
                Poll::Ready(Err(_)) if waited >= limits::WEBHOOK_SLOW_HANDSHAKE => {
                    *handshake = start(*number);
                    true
                }
                Poll::Ready(Err(error)) => panic!("evicted after {waited:?}: {error}"),
            }
        });
        handshakes.is_empty()
    });
    assert!(all_complete);
    assert_injected(&webhook.send(&post(&review_of(&pod("a")))), "a");
}

fn a_client_that_answers_a_webhook_without_cpu_time_is_not_evicted() {
    let webhook = Webhook::start(&[]);
    let target = Target::new(&webhook, MANY_ADDRESSES);
    let mut client = None;
    // On a busy machine the client's own handshake may become slow before the webhook is stopped.
    let is_connected = within(WAIT_LIMIT, || {
        let config = hostile_handshakes::connection(&target.trust);
        let mut oldest = StreamOwned::new(config, webhook.tcp());
        oldest.conn.write_tls(&mut oldest.sock).expect("sent");
        let is_answered = |tcp: &TcpStream| tcp.peek(&mut [0]).is_ok_and(|len| len > 0);
        assert!(is_answered(&oldest.sock));
        let hello = |number| Attack::CompleteHellos.open(&target, number);
        let held: Vec<_> = (0..2 * limits::WEBHOOK_HANDSHAKES).map(hello).collect();
        let have_permits = held.iter().take(limits::WEBHOOK_HANDSHAKES - 1);
        for held in have_permits {
            let Some(Held::Tcp(tcp)) = held else {
                return false;
            };
            is_answered(tcp);
        }
        webhook.signal(Signal::STOP);
        client = Client::complete(oldest).ok();
        let is_evicted = client.as_mut().is_none_or(|client| {
            let tcp = &mut client.stream.sock;
            let has_ended = hostile_handshakes::has_ended(tcp);
            tcp.set_nonblocking(false).expect("a socket");
            has_ended
        });
        // The time passes that makes a handshake slow.
        std::thread::sleep(limits::WEBHOOK_SLOW_HANDSHAKE);
        webhook.signal(Signal::CONT);
        !is_evicted
    });
    assert!(is_connected);
    let mut client = client.expect("connected");
    client.send(&post(&review_of(&pod("a"))));
    assert_injected(&client.response(), "a");
}

fn long_heads_and_records_that_do_not_end_delay_nobody() {
    let webhook = assert_delays_nobody(Attack::LongHeads);
    webhook.wait_log("status=431");
}

fn complete_large_reviews_delay_nobody() {
    let webhook = assert_delays_nobody(Attack::CompleteLargeBodies);
    // The pod is too large for etcd, which is found at the end of its review.
    webhook.wait_log("pod=demo/large outcome=");
}

fn pipelined_requests_delay_nobody() {
    assert_delays_nobody(Attack::PipelinedRequests);
}

fn a_large_review_gets_the_memory_of_bodies_that_do_not_arrive() {
    let webhook = Webhook::start(&[]);
    let target = Target::new(&webhook, ADDRESSES);
    // All but one byte of a body, of more bodies than there is memory for.
    let body = vec![b' '; limits::REVIEW_BYTES - 1];
    let request = [&head(limits::REVIEW_BYTES), &body[..]].concat();
    let held = limits::LARGE_BODY_BYTES_TOTAL / limits::REVIEW_BYTES;
    let mut stalled: Vec<_> = (0..held + 2)
        .map(|number| {
            let tcp = target.tcp(number).expect("a connection");
            let mut client = Webhook::client_over(tcp, &target.trust).expect("a handshake");
            client.send(&request);
            client
        })
        .collect();
    let is_evicted = within(WAIT_LIMIT, || {
        webhook.metric("evicted_bodies_total", &[]) > 0.5
    });
    assert!(is_evicted);
    let large = post(&padded("large", 2 * limits::SMALL_BODY_BYTES));
    for _ in 0..10 {
        assert_injected(&webhook.send(&large), "large");
    }
    assert_eq!(stalled[0].response().code(), Some(503));
    webhook.wait_log("status=503 error=\"the memory of the body was needed for other reviews");
}

/// Attacks for this number of seconds, or for that of the environment variable.
#[track_caller]
fn attack_with_everything(webhook: &Webhook, seconds: u64) {
    let given = std::env::var(SECONDS_VARIABLE).ok();
    let seconds = given.map_or(seconds, |text| text.parse().expect("a number of seconds"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let interval = Duration::from_millis(100);
    let given = std::env::var(MIXED_ADDRESSES_VARIABLE).ok();
    let attackers = given.map_or(MIXED_ADDRESSES, |text| text.parse().expect("a number"));
    let is_over = |_| Instant::now() >= end;
    let times = reviews_during(webhook, &ALL, attackers, interval, is_over);
    times.check("all attacks", webhook, MIXED_REVIEW_BOUND);
}

fn all_attacks_at_once_fail_no_review() {
    attack_with_everything(&Webhook::start(&[]), 5);
}

fn all_attacks_at_once_stay_below_the_memory_limit_of_the_deployment() {
    let mut webhook = Webhook::start_in_memory_cgroup(MEMORY_LIMIT_BYTES);
    attack_with_everything(&webhook, 20);
    assert!(webhook.is_alive());
    let cgroup = webhook.cgroup().expect("it is in one");
    eprintln!("peak charged {} KiB", cgroup.peak_bytes() / 1024);
    assert_eq!(cgroup.killed(), 0);
}
