//! Admission and eviction, without a socket.

use super::*;
use core::net::Ipv4Addr;

/// Connections of the pool, and slots in all.
const POOL: usize = 4;
const TOTAL: usize = 6;

fn client(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))
}

/// Slots with one connection of each of these clients, none of which is probing.
fn slots(clients: &[u8]) -> Slots<u8> {
    let slots = Slots::new(TOTAL, POOL);
    for (index, n) in clients.iter().enumerate() {
        assert_eq!(slots.admit(client(*n), *n), Ok(Admission::New(index)));
    }
    slots
}

fn evicted(slots: &Slots<u8>) -> Vec<usize> {
    let used = slots.table.borrow().slots.len();
    (0..used).filter(|n| slots.is_evicted(*n)).collect()
}

#[test]
fn the_oldest_connection_of_the_client_with_most_is_evicted() {
    let slots = slots(&[1, 2, 3, 2]);
    assert_eq!(slots.admit(client(4), 4), Ok(Admission::New(4)));
    assert_eq!(evicted(&slots), [1]);
}

#[test]
fn a_client_that_would_have_most_evicts_its_own_connection() {
    let slots = slots(&[1, 2, 1, 2]);
    assert_eq!(slots.admit(client(2), 2), Ok(Admission::New(4)));
    assert_eq!(evicted(&slots), [1]);
}

#[test]
fn of_clients_with_one_connection_each_the_oldest_is_evicted() {
    let slots = slots(&[1, 2, 3, 4]);
    assert_eq!(slots.admit(client(5), 5), Ok(Admission::New(4)));
    assert_eq!(evicted(&slots), [0]);
}

#[test]
fn a_probing_connection_is_not_in_the_pool() {
    let slots = slots(&[1, 1, 2, 3]);
    slots.start_probing(0, client(1));
    slots.start_probing(1, client(1));
    assert_eq!(slots.admit(client(1), 1), Ok(Admission::New(4)));
    assert_eq!(evicted(&slots), [0; 0]);
    slots.stop_probing(0);
    assert_eq!(slots.admit(client(4), 4), Ok(Admission::New(5)));
    assert_eq!(
        evicted(&slots),
        [4],
        "the one that has probed is the newest again"
    );
}

#[test]
fn a_freed_slot_is_used_before_a_new_one() {
    let slots = slots(&[1, 2]);
    slots.release(0);
    assert_eq!(slots.admit(client(3), 3), Ok(Admission::Reused));
    assert_eq!(slots.open_connections(), 2);
}

#[test]
fn without_a_free_slot_a_connection_of_the_pool_is_evicted() {
    let slots = slots(&[1, 2, 3, 4]);
    slots.start_probing(0, client(1));
    slots.start_probing(1, client(2));
    assert_eq!(slots.admit(client(5), 5), Ok(Admission::New(4)));
    assert_eq!(slots.admit(client(6), 6), Ok(Admission::New(5)));
    assert!(!slots.has_free_slot());
    assert_eq!(slots.admit(client(7), 7), Err(7));
    let mut room = core::pin::pin!(slots.wait_for_slot());
    let mut cx = core::task::Context::from_waker(Waker::noop());
    assert!(room.as_mut().poll(&mut cx).is_pending());
    assert_eq!(evicted(&slots), [2]);
    slots.release(2);
    assert!(room.as_mut().poll(&mut cx).is_ready());
    assert_eq!(slots.admit(client(7), 7), Ok(Admission::Reused));
}

#[test]
fn a_running_probe_checks_its_client_once_if_it_must() {
    let slots = slots(&[1, 2]);
    slots.start_probing(0, client(1));
    let cx = core::task::Context::from_waker(Waker::noop());
    assert!(!slots.take_must_check(0, &cx));
    slots.check_client(0);
    slots.check_client(1);
    assert!(slots.take_must_check(0, &cx));
    assert!(!slots.take_must_check(0, &cx));
    slots.start_probing(1, client(2));
    assert!(
        !slots.take_must_check(1, &cx),
        "it did not run when it had to"
    );
}

#[test]
fn the_oldest_is_known_when_the_clock_wraps() {
    let slots = slots(&[]);
    slots.table.borrow_mut().clock = u32::MAX - 1;
    for n in 0..4 {
        assert!(slots.admit(client(n), n).is_ok());
    }
    assert_eq!(slots.admit(client(9), 9), Ok(Admission::New(4)));
    assert_eq!(evicted(&slots), [0]);
}
