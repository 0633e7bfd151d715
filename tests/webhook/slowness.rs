//! Clients that take their time, and bodies that wait for room.

use super::stand::{
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
    trials!["webhook_slowness":
        a_head_has_its_time_and_no_byte_renews_it,
        a_body_has_its_time_and_no_byte_renews_it,
        one_who_hangs_up_in_a_body_leaves_nothing_behind,
        a_handshake_has_its_time_and_no_byte_renews_it,
        a_body_that_finds_no_room_waits_unread,
        a_body_waits_for_room_no_longer_than_the_client_does,
        whoever_stops_reading_the_log_holds_no_review_up,
    ]
}

/// A byte each time that this goes by, until something comes back. A deadline that a byte renewed would never come.
const BETWEEN: Duration = Duration::from_millis(100);

/// Sends a byte at a time until something comes back; how long that took. There must be bytes for twice the limit.
#[track_caller]
fn trickle(tcp: &TcpStream, bytes: &[u8], mut send: impl FnMut(u8)) -> Duration {
    let began = Instant::now();
    tcp.set_read_timeout(Some(BETWEEN)).expect("a timeout");
    for byte in bytes {
        send(*byte);
        match tcp.peek(&mut [0]) {
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // An answer, or the end.
            _ => {
                tcp.set_read_timeout(Some(WAIT_LIMIT)).expect("a timeout");
                return began.elapsed();
            }
        }
    }
    panic!("all is sent, in {:?}, and nothing came", began.elapsed());
}

/// Held to the limit, with half as much again for a busy machine.
#[track_caller]
fn assert_took(took: Duration, limit: Duration) {
    assert!(
        took >= limit - BETWEEN && took < limit * 3 / 2,
        "{took:?} instead of {limit:?}"
    );
}

/// Bytes that take twice this time, and more.
fn too_many(limit: Duration) -> usize {
    usize::try_from(2 * limit.as_millis() / BETWEEN.as_millis()).expect("some") + 100
}

fn a_head_has_its_time_and_no_byte_renews_it() {
    let webhook = Webhook::start(&[]);
    let mut line = webhook.line();
    let limit = limits::WEBHOOK_HEAD_TIME;
    let request = get(&"x".repeat(too_many(limit)));
    let tcp = line.stream.sock.try_clone().expect("a socket");
    let took = trickle(&tcp, &request, |byte| line.send(&[byte]));
    assert_took(took, limit);
    assert_eq!(line.answer().code(), Some(408));
    assert_eq!(line.ended(), End::Fin);
}

fn a_body_has_its_time_and_no_byte_renews_it() {
    let webhook = Webhook::start(&[]);
    let limit = limits::WEBHOOK_BODY_TIME;
    let body = padded("a", too_many(limit));
    let mut line = webhook.line();
    line.send(&head(body.len()));
    let tcp = line.stream.sock.try_clone().expect("a socket");
    let took = trickle(&tcp, &body, |byte| line.send(&[byte]));
    assert_took(took, limit);
    assert_eq!(line.answer().code(), Some(408));
    assert_eq!(line.ended(), End::Fin);
}

fn one_who_hangs_up_in_a_body_leaves_nothing_behind() {
    let webhook = Webhook::start(&[]);
    let mut line = webhook.line();
    line.send(&head(1000));
    webhook.wait_metric("body_bytes", 1000.0);
    drop(line);
    webhook.wait_metric("body_bytes", 0.0);
    webhook.wait_metric("reviews_in_flight", 0.0);
}

fn a_handshake_has_its_time_and_no_byte_renews_it() {
    let webhook = Webhook::start(&[]);
    let limit = limits::WEBHOOK_HANDSHAKE_TIME;
    // A hello of any length would do: only its beginning goes out.
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
    // Its bytes were read, so the end is a clean one.
    assert_eq!(tcp.read(&mut [0]).expect("a clean end"), 0);
    webhook.wait_log("msg=\"TLS handshake failed\" reason=\"timed out\"");
}

fn a_body_that_finds_no_room_waits_unread() {
    let webhook = Webhook::start(&[]);
    let mut holders = Vec::new();
    let held = limits::REVIEW_BYTES_TOTAL / limits::REVIEW_BYTES;
    for _ in 0..held {
        let mut line = webhook.line();
        line.send(&head(limits::REVIEW_BYTES));
        holders.push(line);
    }
    let bytes = (held * limits::REVIEW_BYTES) as f64;
    webhook.wait_metric("body_bytes", bytes);
    // There is room for two thirds of it.
    let body = padded("a", limits::REVIEW_BYTES - 4096);
    let mut line = webhook.line();
    line.send(&head(body.len()));
    webhook.wait_metric("reviews_in_flight", held as f64 + 1.0);
    webhook.wait_metric("body_bytes", bytes);
    let writer = std::thread::spawn(move || {
        line.send(&body);
        line.answer()
    });
    drop(holders.pop());
    assert_injected(&writer.join().expect("no panic"), "a");
    drop(holders);
    webhook.wait_metric("body_bytes", 0.0);
    assert_injected(&webhook.ask(&post(&review_of(&pod("b")))), "b");
}

fn a_body_waits_for_room_no_longer_than_the_client_does() {
    let webhook = Webhook::start(&[]);
    let mut holders = Vec::new();
    for _ in 0..limits::REVIEW_BYTES_TOTAL / limits::REVIEW_BYTES {
        let mut line = webhook.line();
        line.send(&head(limits::REVIEW_BYTES));
        holders.push(line);
    }
    let bytes = (holders.len() * limits::REVIEW_BYTES) as f64;
    webhook.wait_metric("body_bytes", bytes);
    let head = String::from_utf8(head(limits::REVIEW_BYTES)).expect("text");
    // Before the holders' own time is over, and there is room.
    let answer = webhook.ask(head.replace("timeout=10s", "timeout=1s").as_bytes());
    assert_eq!(answer.code(), Some(503), "{answer:?}");
}

fn whoever_stops_reading_the_log_holds_no_review_up() {
    let webhook = Webhook::start(&[]);
    let stalled = webhook.stall_log();
    let mut line = webhook.line();
    // Twice what the pipe and its reader take.
    let name = "x".repeat(500);
    for _ in 0..300 {
        line.send(&post(&review_of(&pod(&name))));
        assert_injected(&line.answer(), &name);
    }
    drop(stalled);
    let is_told = within(WAIT_LIMIT, || {
        line.send(&post(&review_of(&pod("next"))));
        assert_injected(&line.answer(), "next");
        webhook.logged(" dropped=") > 0
    });
    assert!(is_told);
    assert_eq!(webhook.logged(" dropped="), 1);
}
