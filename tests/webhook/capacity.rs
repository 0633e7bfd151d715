//! A thousand reviews at once, and more connections than the webhook accepts.

use super::fixture::{Webhook, assert_injected, get, head, padded, pod, post, review_of, trusting};
use crate::support::agent::is_emulated;
use crate::support::trials::trials;
use libtest_mimic::Trial;
use probelet::limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Write;
use std::time::Instant;

pub fn tests() -> Vec<Trial> {
    trials!["webhook_capacity":
        a_thousand_reviews_at_once_are_answered_in_24_mib,
        the_longest_idle_connection_is_evicted_for_a_new_one,
        with_few_descriptors_an_idle_connection_is_evicted_as_well,
        unfinished_heads_are_evicted_before_idle_connections,
        a_failed_accept_is_logged_but_no_failed_handshake,
    ]
}

/// Limit of resident memory with a thousand reviews at once, in KiB, without the pages of the program itself: an unoptimised
/// one has 11 MiB of them.
const MEMORY_KIB: u64 = 24 * 1024;

/// Raises the limit to the descriptors of all these connections and of the other tests.
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(8192, |maximum| maximum.min(8192));
    if limit.current.is_some_and(|now| now < current) {
        let raised = Rlimit {
            current: Some(current),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).expect("descriptors");
    }
}

fn a_thousand_reviews_at_once_are_answered_in_24_mib() {
    raise_descriptors();
    let webhook = Webhook::start(&[]);
    let config = trusting(&webhook.authority.pem());
    let mut clients = Vec::new();
    for index in 0..1000 {
        let name = format!("web-{index}");
        let mut client = webhook.client_trusting(&config).expect("a handshake");
        let body = padded(&name, 4096);
        let (begin, end) = body.split_at(body.len() / 2);
        // Encrypted now, so that little time passes between the first review and the last one.
        let begin = client.encrypt(&[&head(body.len()), begin].concat());
        let end = client.encrypt(end);
        clients.push((client, [begin, end], post(&body), name));
    }
    let began = Instant::now();
    // No review is complete before all have begun.
    for (client, [begin, _], ..) in &mut clients {
        client.stream.sock.write_all(begin).expect("sent");
    }
    webhook.wait_metric("reviews_in_flight", 1000.0);
    for (client, [_, end], ..) in &mut clients {
        client.stream.sock.write_all(end).expect("sent");
    }
    for (client, _, request, name) in &mut clients {
        let mut response = client.response();
        // Its timeout is over, as others use the CPU: the API server has given up, and a controller creates the pod again.
        if response.code() == Some(503) && began.elapsed() >= limits::REVIEW_TIMEOUT {
            client.send(request);
            response = client.response();
        }
        assert_injected(&response, name);
    }
    let [peak, program] = ["VmHWM", "RssFile"].map(|name| webhook.status_figure(name));
    let memory = peak.saturating_sub(program);
    assert!(
        is_emulated() || memory <= MEMORY_KIB,
        "{memory} KiB beside {program} KiB of the program"
    );
}

fn the_longest_idle_connection_is_evicted_for_a_new_one() {
    raise_descriptors();
    let webhook = Webhook::start(&[]);
    let config = trusting(&webhook.authority.pem());
    let open = || webhook.client_trusting(&config).expect("a handshake");
    let mut clients: Vec<_> = (0..limits::WEBHOOK_CONNECTIONS).map(|_| open()).collect();
    // The first sends a request, so the second is idle longest.
    clients[0].send(&get("/healthz"));
    assert_eq!(clients[0].response().code(), Some(200));
    let mut late = open();
    late.send(&post(&review_of(&pod("late"))));
    assert_injected(&late.response(), "late");
    clients[0].send(&get("/healthz"));
    assert_eq!(clients[0].response().code(), Some(200));
    let _ = clients[1].try_send(&get("/healthz"));
    assert_eq!(clients[1].response().code(), None);
}

fn with_few_descriptors_an_idle_connection_is_evicted_as_well() {
    let webhook = Webhook::start_with_descriptors(64);
    let config = trusting(&webhook.authority.pem());
    let open = || webhook.client_trusting(&config).expect("a handshake");
    // All of them stay open: more than there are descriptors.
    let mut clients: Vec<_> = (0..100).map(|_| open()).collect();
    let last = clients.last_mut().expect("some");
    last.send(&post(&review_of(&pod("last"))));
    assert_injected(&last.response(), "last");
    assert_eq!(
        webhook.logged("TLS handshake failed"),
        0,
        "{:#?}",
        webhook.log()
    );
}

fn unfinished_heads_are_evicted_before_idle_connections() {
    raise_descriptors();
    let webhook = Webhook::start(&[]);
    let config = trusting(&webhook.authority.pem());
    let open = || webhook.client_trusting(&config).expect("a handshake");
    let mut idle = open();
    let mut clients: Vec<_> = (1..limits::WEBHOOK_CONNECTIONS).map(|_| open()).collect();
    idle.send(&post(&review_of(&pod("a"))));
    assert_injected(&idle.response(), "a");
    // Only those that are evicted, so that none of them reaches the timeout of heads on a busy machine.
    let began = Instant::now();
    for client in &mut clients[..2] {
        client.send(b"P");
    }
    // The table is full; two more connections evict two unfinished heads.
    let mut more = open();
    more.send(b"P");
    clients.push(more);
    let mut late = open();
    late.send(&post(&review_of(&pod("late"))));
    assert_injected(&late.response(), "late");
    // They were evicted by now, unless they timed out before.
    let may_have_timed_out = began.elapsed() >= limits::WEBHOOK_HEAD_TIMEOUT;
    idle.send(&post(&review_of(&pod("b"))));
    assert_injected(&idle.response(), "b");
    for client in &mut clients[..2] {
        match client.response().code() {
            Some(408) if may_have_timed_out => {}
            code => assert_eq!(code, None),
        }
    }
}

fn a_failed_accept_is_logged_but_no_failed_handshake() {
    let webhook = Webhook::start(&[]);
    let limit = webhook.limit_descriptors_to_open_ones();
    let client = webhook.tcp();
    webhook.wait_log("level=error msg=\"accept failed\" error=");
    webhook.set_descriptor_limit(limit);
    assert_injected(&webhook.send(&post(&review_of(&pod("a")))), "a");
    assert!(webhook.metric("tls_handshake_failures_total", &[]) < 0.5);
    assert_eq!(webhook.logged("TLS handshake failed"), 0);
    drop(client);
}
