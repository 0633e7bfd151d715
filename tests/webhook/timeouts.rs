//! Slow clients, and bodies that wait for memory.

use super::fixture::{
    NAME, Webhook, assert_injected, get, head, padded, pod, post, review_of, trusting,
};
use crate::support::http::End;
use crate::support::trials::trials;
use crate::support::{WAIT_LIMIT, within};
use libtest_mimic::Trial;
use probelet::limits;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub fn tests() -> Vec<Trial> {
    trials!["webhook_timeouts":
        a_head_has_a_deadline_that_no_byte_extends,
        a_body_has_a_deadline_that_no_byte_extends,
        a_client_that_closes_within_a_body_frees_its_memory,
        a_handshake_has_a_deadline_that_no_byte_extends,
        a_log_that_is_not_read_delays_no_review,
    ]
}

/// Interval between two bytes. If a byte extended the deadline, it would never pass.
const BYTE_INTERVAL: Duration = Duration::from_millis(100);

/// Sends a byte at a time until something is received. Returns how long that took. `bytes` must last for twice the limit.
#[track_caller]
fn trickle(tcp: &TcpStream, bytes: &[u8], mut send: impl FnMut(u8)) -> Duration {
    let began = Instant::now();
    tcp.set_read_timeout(Some(BYTE_INTERVAL))
        .expect("a timeout");
    for byte in bytes {
        send(*byte);
        match tcp.peek(&mut [0]) {
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // A response, or the end.
            _ => {
                tcp.set_read_timeout(Some(WAIT_LIMIT)).expect("a timeout");
                return began.elapsed();
            }
        }
    }
    panic!(
        "all bytes were sent, in {:?}, and nothing was received",
        began.elapsed()
    );
}

/// Allows 50 % more on a busy machine.
#[track_caller]
fn assert_took(took: Duration, limit: Duration) {
    assert!(
        took >= limit - BYTE_INTERVAL && took < limit * 3 / 2,
        "{took:?} instead of {limit:?}"
    );
}

/// A number of bytes that takes more than twice this time.
fn too_many(limit: Duration) -> usize {
    usize::try_from(2 * limit.as_millis() / BYTE_INTERVAL.as_millis()).expect("some") + 100
}

fn a_head_has_a_deadline_that_no_byte_extends() {
    let webhook = Webhook::start(&[]);
    let mut client = webhook.client();
    let limit = limits::WEBHOOK_HEAD_TIMEOUT;
    let request = get(&"x".repeat(too_many(limit)));
    let tcp = client.stream.sock.try_clone().expect("a socket");
    let took = trickle(&tcp, &request, |byte| client.send(&[byte]));
    assert_took(took, limit);
    assert_eq!(client.response().code(), Some(408));
    assert_eq!(client.read_end(), End::Fin);
    webhook.wait_log("level=warn msg=\"request failed\" status=408 error=\"the request head ");
}

fn a_body_has_a_deadline_that_no_byte_extends() {
    let webhook = Webhook::start(&[]);
    let limit = limits::WEBHOOK_BODY_TIMEOUT;
    let body = padded("a", too_many(limit));
    let mut client = webhook.client();
    client.send(&head(body.len()));
    let tcp = client.stream.sock.try_clone().expect("a socket");
    let took = trickle(&tcp, &body, |byte| client.send(&[byte]));
    assert_took(took, limit);
    assert_eq!(client.response().code(), Some(408));
    assert_eq!(client.read_end(), End::Fin);
}

fn a_client_that_closes_within_a_body_frees_its_memory() {
    let webhook = Webhook::start(&[]);
    let mut client = webhook.client();
    client.send(&head(1000));
    webhook.wait_metric("reserved_body_bytes", 1000.0);
    drop(client);
    webhook.wait_metric("reserved_body_bytes", 0.0);
    webhook.wait_metric("reviews_in_flight", 0.0);
}

fn a_handshake_has_a_deadline_that_no_byte_extends() {
    let webhook = Webhook::start(&[]);
    let limit = limits::WEBHOOK_HANDSHAKE_TIMEOUT;
    // Only the beginning of the ClientHello is sent.
    let name = ServerName::try_from(NAME).expect("a name");
    let trusts = trusting(&webhook.authority.pem());
    let mut client = ClientConnection::new(trusts, name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a hello");
    let mut tcp = webhook.tcp();
    let writer = tcp.try_clone().expect("a socket");
    let took = trickle(&tcp, &hello, |byte| {
        (&writer).write_all(&[byte]).expect("sent");
    });
    assert_took(took, limit);
    // All bytes were read, so the connection ends without a reset.
    assert_eq!(tcp.read(&mut [0]).expect("a clean end"), 0);
    webhook.wait_log("msg=\"TLS handshake failed\" error=\"the handshake did not complete within ");
}

fn a_log_that_is_not_read_delays_no_review() {
    let webhook = Webhook::start(&[]);
    let stalled = webhook.stall_log();
    let mut client = webhook.client();
    // Twice the capacity of the pipe and its reader.
    let name = "x".repeat(500);
    for _ in 0..300 {
        client.send(&post(&review_of(&pod(&name))));
        assert_injected(&client.response(), &name);
    }
    drop(stalled);
    let is_logged = within(WAIT_LIMIT, || {
        client.send(&post(&review_of(&pod("next"))));
        assert_injected(&client.response(), "next");
        webhook.logged(" dropped=") > 0
    });
    assert!(is_logged);
    assert_eq!(webhook.logged(" dropped="), 1);
}
