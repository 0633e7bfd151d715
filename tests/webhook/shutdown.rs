//! Graceful shutdown.

use super::fixture::{Webhook, assert_injected, head, padded, pod, review_of};
use crate::support::http::End;
use crate::support::trials::trials;
use libtest_mimic::Trial;
use probelet::limits;
use rustix::process::Signal;
use std::io::Write;
use std::net::TcpStream;

pub fn tests() -> Vec<Trial> {
    trials!["webhook_shutdown":
        a_request_in_flight_is_answered_before_exit,
        a_request_in_flight_gets_the_memory_of_bodies_that_do_not_arrive,
        the_webhook_keeps_serving_for_the_shutdown_delay,
        a_second_signal_exits_at_once,
        the_webhook_cannot_gain_privileges,
    ]
}

fn a_request_in_flight_is_answered_before_exit() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut webhook = Webhook::start(&["--shutdown-delay", "0"]);
        let (mut idle, mut busy) = (webhook.client(), webhook.client());
        let body = review_of(&pod("a"));
        let (one, two) = body.split_at(100);
        busy.send(&[&head(body.len()), one].concat());
        webhook.wait_metric("reviews_in_flight", 1.0);
        webhook.signal(signal);
        webhook.wait_log("msg=stopping");
        assert_ne!(idle.read_end(), End::Open);
        busy.send(two);
        let answer = busy.response();
        assert_injected(&answer, "a");
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(busy.read_end(), End::Fin);
        assert_eq!(webhook.wait_exit().code(), Some(0));
        webhook.wait_log("level=info msg=stopped open_connections=0");
    }
}

fn a_request_in_flight_gets_the_memory_of_bodies_that_do_not_arrive() {
    let webhook = Webhook::start(&["--shutdown-delay", "0"]);
    let mut idle = webhook.client();
    let rest = limits::LARGE_BODY_BYTES_TOTAL % limits::REVIEW_BYTES - limits::SMALL_BODY_BYTES;
    let mut bodies =
        vec![limits::REVIEW_BYTES; limits::LARGE_BODY_BYTES_TOTAL / limits::REVIEW_BYTES];
    bodies.push(rest);
    let mut stalled: Vec<_> = bodies
        .iter()
        .map(|bytes| {
            let mut client = webhook.client();
            let request = [&head(*bytes)[..], &vec![b' '; bytes - 1]].concat();
            // Encrypted now, so that the time until the first body times out is that of the webhook.
            let records = request.chunks(16 * 1024);
            let records: Vec<u8> = records.flat_map(|part| client.encrypt(part)).collect();
            (client, records)
        })
        .collect();
    for (client, records) in &mut stalled {
        client.stream.sock.write_all(records).expect("sent");
    }
    let held: usize = bodies.iter().sum();
    webhook.wait_metric("reserved_body_bytes", held as f64);
    let mut busy = webhook.client();
    let body = padded("a", 2 * limits::SMALL_BODY_BYTES);
    busy.send(&head(body.len()));
    webhook.wait_metric("reviews_in_flight", (bodies.len() + 1) as f64);
    webhook.signal(Signal::TERM);
    assert_ne!(idle.read_end(), End::Open);
    busy.send(&body);
    assert_injected(&busy.response(), "a");
    // Without an eviction it waits until the first of them has timed out.
    webhook.wait_log("status=503 error=\"the memory of the body was needed for other reviews");
}

fn the_webhook_keeps_serving_for_the_shutdown_delay() {
    let mut webhook = Webhook::start(&["--shutdown-delay", "2"]);
    webhook.signal(Signal::TERM);
    webhook.wait_log("msg=stopping delay_seconds=2");
    assert_injected(
        &webhook.send(&super::fixture::post(&review_of(&pod("a")))),
        "a",
    );
    let addr = webhook.tcp().peer_addr().expect("an address");
    assert_eq!(webhook.wait_exit().code(), Some(0));
    assert!(TcpStream::connect(addr).is_err());
}

fn a_second_signal_exits_at_once() {
    let mut webhook = Webhook::start(&["--shutdown-delay", "3600"]);
    webhook.signal(Signal::TERM);
    webhook.wait_log("msg=stopping");
    assert!(webhook.is_alive());
    webhook.signal(Signal::TERM);
    assert_eq!(webhook.wait_exit().code(), Some(143));
}

fn the_webhook_cannot_gain_privileges() {
    let webhook = Webhook::start(&[]);
    assert_eq!(webhook.status_figure("NoNewPrivs"), 1);
}
