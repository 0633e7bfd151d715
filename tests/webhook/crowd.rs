//! A thousand reviews at once, and a webhook that is full.

use super::stand::{Webhook, assert_injected, get, head, padded, pod, post, review_of, trusting};
use crate::support::agent::is_emulated;
use crate::support::trials::trials;
use libtest_mimic::Trial;
use probelet::limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub fn tests() -> Vec<Trial> {
    trials!["webhook_crowd":
        a_thousand_reviews_at_once_are_answered_in_32_mib,
        whoever_is_idle_makes_room_for_whoever_asks,
        with_few_descriptors_whoever_is_idle_makes_room_too,
        half_heads_make_room_before_whoever_is_idle,
    ]
}

/// Resident KiB that a thousand reviews at once may take.
const RESIDENT_KIB: u64 = 32 * 1024;

/// Descriptors for all these connections, beside those of other tests.
fn raise_descriptors() {
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

fn a_thousand_reviews_at_once_are_answered_in_32_mib() {
    raise_descriptors();
    let webhook = Webhook::start(&[]);
    let config = trusting(&webhook.authority.pem());
    let mut lines = Vec::new();
    for index in 0..1000 {
        let name = format!("web-{index}");
        let line = webhook.line_by(&config).expect("a handshake");
        lines.push((line, padded(&name, 4096), name));
    }
    // None is whole before all have begun.
    for (line, body, _) in &mut lines {
        line.send(&[&head(body.len()), &body[..body.len() / 2]].concat());
    }
    webhook.wait_metric("reviews_in_flight", 1000.0);
    for (line, body, _) in &mut lines {
        line.send(&body[body.len() / 2..]);
    }
    for (line, _, name) in &mut lines {
        assert_injected(&line.answer(), name);
    }
    let peak = webhook.status_figure("VmHWM");
    assert!(is_emulated() || peak <= RESIDENT_KIB, "{peak} KiB");
}

fn whoever_is_idle_makes_room_for_whoever_asks() {
    raise_descriptors();
    let webhook = Webhook::start(&[]);
    let config = trusting(&webhook.authority.pem());
    let open = || webhook.line_by(&config).expect("a handshake");
    let mut lines: Vec<_> = (0..limits::WEBHOOK_CONNECTIONS).map(|_| open()).collect();
    // The first has asked for something since, so it is the second that has been idle longest.
    lines[0].send(&get("/healthz"));
    assert_eq!(lines[0].answer().code(), Some(200));
    let mut late = open();
    late.send(&post(&review_of(&pod("late"))));
    assert_injected(&late.answer(), "late");
    lines[0].send(&get("/healthz"));
    assert_eq!(lines[0].answer().code(), Some(200));
    let _ = lines[1].try_send(&get("/healthz"));
    assert_eq!(lines[1].answer().code(), None);
}

fn with_few_descriptors_whoever_is_idle_makes_room_too() {
    let webhook = Webhook::start_with_descriptors(64);
    let config = trusting(&webhook.authority.pem());
    let open = || webhook.line_by(&config).expect("a handshake");
    // Kept open, all of them: more than there are descriptors.
    let mut lines: Vec<_> = (0..100).map(|_| open()).collect();
    let last = lines.last_mut().expect("some");
    last.send(&post(&review_of(&pod("last"))));
    assert_injected(&last.answer(), "last");
    assert_eq!(
        webhook.logged("TLS handshake failed"),
        0,
        "{:#?}",
        webhook.log()
    );
}

fn half_heads_make_room_before_whoever_is_idle() {
    raise_descriptors();
    let webhook = Webhook::start(&[]);
    let config = trusting(&webhook.authority.pem());
    let open = || webhook.line_by(&config).expect("a handshake");
    let mut idle = open();
    let mut lines: Vec<_> = (1..limits::WEBHOOK_CONNECTIONS).map(|_| open()).collect();
    idle.send(&post(&review_of(&pod("a"))));
    assert_injected(&idle.answer(), "a");
    for line in &mut lines {
        line.send(b"P");
    }
    // All places are taken; this one is for half a head, too, and the next for a review.
    let mut more = open();
    more.send(b"P");
    lines.push(more);
    let mut late = open();
    late.send(&post(&review_of(&pod("late"))));
    assert_injected(&late.answer(), "late");
    idle.send(&post(&review_of(&pod("b"))));
    assert_injected(&idle.answer(), "b");
    for line in &mut lines[..2] {
        assert_eq!(line.answer().code(), None);
    }
}
