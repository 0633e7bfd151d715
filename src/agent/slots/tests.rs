//! Admission and eviction, without a socket.

use super::*;

const CAPACITY: Capacity = Capacity {
    probes: 3,
    hooks: 1,
    reserve: 2,
    forward_connections: 0,
};

/// Slots with so many connections, none of which is probing.
fn slots(connections: usize) -> Slots<usize> {
    let slots = Slots::new(CAPACITY);
    for n in 0..connections {
        assert_eq!(slots.admit(n), Ok(Admission::New(n)));
    }
    slots
}

fn evicted(slots: &Slots<usize>) -> Vec<usize> {
    let used = slots.table.borrow().slots.len();
    (0..used).filter(|n| slots.is_evicted(*n)).collect()
}

#[test]
fn the_oldest_connection_that_is_not_probing_is_evicted() {
    let slots = slots(3);
    slots.start_probing(0);
    assert_eq!(slots.admit(3), Ok(Admission::New(3)));
    assert_eq!(evicted(&slots), [1]);
    assert_eq!(slots.upgrade_reserve(3), SlotKind::Probe);
}

#[test]
fn a_connection_that_has_probed_is_the_newest_again() {
    let slots = slots(3);
    slots.start_probing(0);
    slots.stop_probing(0);
    assert_eq!(slots.admit(3), Ok(Admission::New(3)));
    assert_eq!(evicted(&slots), [1]);
}

#[test]
fn when_all_are_probing_a_reserve_slot_is_used() {
    let slots = slots(3);
    (0..3).for_each(|n| slots.start_probing(n));
    assert_eq!(slots.admit(3), Ok(Admission::New(3)));
    assert_eq!(slots.upgrade_reserve(3), SlotKind::Reserve);
    assert_eq!(slots.admit(4), Ok(Admission::New(4)));
    assert_eq!(slots.admit(5), Ok(Admission::New(5)));
    assert_eq!(evicted(&slots), [3], "reserve slots are evicted, too");
    slots.release(0);
    assert_eq!(
        slots.upgrade_reserve(4),
        SlotKind::Probe,
        "a probe slot became free"
    );
    assert_eq!(slots.upgrade_reserve(5), SlotKind::Reserve);
}

#[test]
fn a_hook_releases_its_probe_slot() {
    let slots = slots(3);
    assert!(slots.try_move_to_hook(0));
    assert!(!slots.try_move_to_hook(1), "there is one hook slot");
    assert_eq!(slots.admit(3), Ok(Admission::New(3)));
    assert_eq!(evicted(&slots), [0; 0]);
}

#[test]
fn a_freed_slot_is_used_before_a_new_one() {
    let slots = slots(2);
    slots.release(0);
    assert_eq!(slots.admit(2), Ok(Admission::Reused));
    assert_eq!(slots.open_connections(), 2);
}

#[test]
fn without_a_free_slot_a_connection_is_evicted_first() {
    let slots = slots(3);
    assert!(slots.try_move_to_hook(0));
    assert_eq!(slots.admit(3), Ok(Admission::New(3)));
    (0..4).for_each(|n| slots.start_probing(n));
    (4..6).for_each(|n| assert_eq!(slots.admit(n), Ok(Admission::New(n))));
    assert!(!slots.has_room());
    slots.evict_oldest();
    assert_eq!(evicted(&slots), [4]);
    assert_eq!(slots.admit(6), Err(6));
    slots.release(4);
    assert!(slots.has_room());
    assert_eq!(slots.admit(6), Ok(Admission::Reused));
}

#[test]
fn the_oldest_is_known_when_the_clock_wraps() {
    let slots = slots(0);
    slots.table.borrow_mut().clock = u32::MAX - 1;
    (0..3).for_each(|n| assert_eq!(slots.admit(n), Ok(Admission::New(n))));
    assert_eq!(slots.admit(3), Ok(Admission::New(3)));
    assert_eq!(evicted(&slots), [0]);
}
