//! The order of turns, without a socket.

use super::*;
use core::net::Ipv4Addr;

mod simulation;

const LIMIT: usize = limits::WAITING_PER_PROBER;

fn client(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))
}

/// A queue and its clock.
struct Fixture {
    queue: ProberQueue<u8>,
    now: Instant,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture {
            queue: ProberQueue::new(),
            now: Instant::now(),
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn try_start(&mut self, n: u8) -> bool {
        self.queue.try_start(client(n), n.into(), self.now)
    }

    /// Enqueues a request that has the number of its client.
    fn enqueue(&mut self, n: u8) -> Option<u8> {
        let due = Some(self.now + Duration::from_secs(1));
        self.queue
            .enqueue(client(n), due, n, LIMIT, self.now, |_| false)
    }

    /// Ends the probe of a client, and starts the next one. Returns the client of that.
    fn finish(&mut self, n: u8) -> Option<u8> {
        assert!(self.queue.finish(n.into(), self.now));
        self.start_next(n)
    }

    /// Starts the next request in the slot of its client.
    fn start_next(&mut self, slot: u8) -> Option<u8> {
        let next = self.queue.start_next(slot.into(), self.now, |_| false)?;
        for probe in self.queue.running.iter_mut().flatten() {
            if probe.slot == usize::from(slot) {
                probe.slot = next.into();
            }
        }
        Some(next)
    }
}

#[test]
fn two_probes_run_at_once_each_of_another_client() {
    let mut fixture = Fixture::new();
    assert!(fixture.try_start(1));
    assert!(!fixture.try_start(1), "one at a time of each client");
    assert!(fixture.try_start(2));
    assert!(!fixture.try_start(3), "both slots are occupied");
    assert_eq!(fixture.finish(1), None);
    assert!(fixture.try_start(3));
}

#[test]
fn a_second_request_of_a_client_runs_after_its_first() {
    let mut fixture = Fixture::new();
    assert!(fixture.try_start(1));
    assert_eq!(fixture.enqueue(1), None);
    assert_eq!(
        fixture.start_next(9),
        None,
        "the free slot is for another client"
    );
    assert_eq!(fixture.enqueue(1), Some(1), "the third is refused");
    assert_eq!(fixture.finish(1), Some(1));
}

#[test]
fn the_client_served_longest_ago_is_next() {
    let mut fixture = Fixture::new();
    for n in 1..=4 {
        assert!(fixture.try_start(n));
        fixture.pass(1);
        assert_eq!(fixture.finish(n), None);
    }
    assert!(fixture.try_start(5) && fixture.try_start(6));
    for n in [4, 2, 3, 1] {
        assert_eq!(fixture.enqueue(n), None);
    }
    let mut running = 5;
    for expected in [1, 2, 3, 4] {
        assert_eq!(fixture.finish(running), Some(expected));
        running = expected;
    }
}

#[test]
fn a_client_that_pauses_goes_before_those_that_do_not() {
    let mut fixture = Fixture::new();
    assert!(fixture.try_start(9));
    assert_eq!(fixture.finish(9), None);
    for n in 1..=2 {
        assert!(fixture.try_start(n));
    }
    for n in 1..=8 {
        assert_eq!(fixture.enqueue(n), None);
    }
    fixture.pass(1000);
    assert_eq!(
        fixture.enqueue(9),
        Some(2),
        "of the clients that have a probe running, the one served last gets no slot"
    );
    assert_eq!(fixture.finish(1), Some(9));
}

#[test]
fn a_client_that_pauses_longer_is_first() {
    let mut fixture = Fixture::new();
    for n in [1, 2] {
        assert!(fixture.try_start(n));
        assert_eq!(fixture.finish(n), None);
        fixture.pass(500);
    }
    assert!(fixture.try_start(3) && fixture.try_start(4));
    assert_eq!(fixture.enqueue(2), None);
    assert_eq!(fixture.enqueue(1), None);
    assert_eq!(fixture.finish(3), Some(1));
}

#[test]
fn a_new_request_does_not_overtake_one_that_waits() {
    let mut fixture = Fixture::new();
    assert!(fixture.try_start(1) && fixture.try_start(2));
    assert_eq!(fixture.enqueue(3), None);
    // The task of the probe that ended has not started the next one yet.
    assert!(fixture.queue.finish(1, fixture.now));
    assert!(!fixture.try_start(4));
    assert_eq!(fixture.start_next(1), Some(3));
}

#[test]
fn a_request_that_waits_for_its_own_client_does_not_block_others() {
    let mut fixture = Fixture::new();
    assert!(fixture.try_start(1));
    assert_eq!(fixture.enqueue(1), None);
    assert!(fixture.try_start(2));
}

#[test]
fn a_request_that_is_gone_is_dropped() {
    let mut fixture = Fixture::new();
    assert!(fixture.try_start(1) && fixture.try_start(2));
    assert_eq!(fixture.enqueue(3), None);
    assert_eq!(fixture.enqueue(4), None);
    assert!(fixture.queue.finish(1, fixture.now));
    let now = fixture.now;
    assert_eq!(
        fixture.queue.start_next(7, now, |request| *request == 3),
        Some(4)
    );
    assert!(!fixture.queue.has_waiters());
}

#[test]
fn a_request_that_is_gone_does_not_block_the_next_of_its_client() {
    let mut fixture = Fixture::new();
    assert!(fixture.try_start(1) && fixture.try_start(2));
    assert_eq!(fixture.enqueue(3), None);
    let now = fixture.now;
    let refused = fixture
        .queue
        .enqueue(client(3), None, 33, LIMIT, now, |request| *request == 3);
    assert_eq!(refused, None);
    assert_eq!(fixture.finish(1), Some(33));
}

#[test]
fn a_request_expires_at_its_deadline() {
    let mut fixture = Fixture::new();
    assert!(fixture.try_start(1) && fixture.try_start(2));
    assert_eq!(fixture.enqueue(3), None);
    let now = fixture.now;
    assert_eq!(
        fixture
            .queue
            .enqueue(client(4), None, 4, LIMIT, now, |_| false),
        None
    );
    assert_eq!(
        fixture.queue.next_deadline(),
        Some(now + Duration::from_secs(1))
    );
    assert_eq!(fixture.queue.take_expired(fixture.now), None);
    fixture.pass(1000);
    assert_eq!(fixture.queue.take_expired(fixture.now), Some(3));
    assert_eq!(fixture.queue.take_expired(fixture.now), None);
    assert_eq!(fixture.queue.next_deadline(), None, "a hook has none");
}

#[test]
fn an_unknown_client_is_first_for_a_hook() {
    let mut fixture = Fixture::new();
    for n in 1..=3 {
        assert!(fixture.try_start(n));
        assert_eq!(fixture.finish(n), None);
    }
    fixture.pass(1000);
    assert!(fixture.try_start(1) && fixture.try_start(2));
    for n in [3, 9] {
        let refused = fixture
            .queue
            .enqueue(client(n), None, n, LIMIT, fixture.now, |_| false);
        assert_eq!(refused, None);
    }
    assert_eq!(fixture.finish(1), Some(9));
}

#[test]
fn known_clients_are_bounded() {
    let mut fixture = Fixture::new();
    for n in 0..=255 {
        assert!(fixture.try_start(n));
        fixture.pass(1);
        assert_eq!(fixture.finish(n), None);
    }
    assert_eq!(fixture.queue.clients.len(), limits::KNOWN_CLIENTS);
    let mut known = fixture.queue.clients.iter().map(|known| known.addr);
    assert!(
        known.any(|addr| addr == client(0)),
        "a client that pauses stays known"
    );
    assert!(known.any(|addr| addr == client(255)));
}

/// Eight clients loop at an app that needs a third of the timeout, and have all been served before the ninth.
#[test]
fn a_periodic_client_waits_for_one_running_probe_at_most() {
    const STEP: u64 = 333;
    let mut fixture = Fixture::new();
    let mut running: Vec<u8> = Vec::new();
    for n in 1..=8 {
        if fixture.try_start(n) {
            running.push(n);
        } else {
            assert_eq!(fixture.enqueue(n), None);
        }
    }
    for round in 0..100 {
        if round >= 12 && round % 3 == 0 {
            fixture.enqueue(9);
        }
        fixture.pass(STEP);
        let mut next = Vec::new();
        for n in core::mem::take(&mut running) {
            next.extend(fixture.finish(n));
            if n != 9 {
                fixture.enqueue(n);
            }
        }
        next.extend(fixture.start_next(100));
        if round >= 12 && round % 3 == 0 {
            assert!(next.contains(&9), "round {round}: {next:?}");
        }
        running = next;
    }
}
