//! Who gets a place and who has to go, without a socket.

use super::*;

const CAPACITY: Capacity = Capacity {
    probes: 3,
    hooks: 1,
    reserve: 2,
    forwards: 0,
};

/// Slots into which so many connections came, none of which probes yet.
fn slots(connections: usize) -> Slots<usize> {
    let slots = Slots::new(CAPACITY);
    for n in 0..connections {
        assert_eq!(slots.admit(n), Ok(Admitted::Start(n)));
    }
    slots
}

fn evicted(slots: &Slots<usize>) -> Vec<usize> {
    let used = slots.state.borrow().slots.len();
    (0..used).filter(|n| slots.is_evicted(*n)).collect()
}

#[test]
fn the_oldest_that_is_not_probing_makes_room() {
    let slots = slots(3);
    slots.start_probing(0);
    assert_eq!(slots.admit(3), Ok(Admitted::Start(3)));
    assert_eq!(evicted(&slots), [1]);
    assert_eq!(slots.place(3), Place::Probe);
}

#[test]
fn whoever_probed_before_is_the_youngest_again() {
    let slots = slots(3);
    slots.start_probing(0);
    slots.stop_probing(0);
    assert_eq!(slots.admit(3), Ok(Admitted::Start(3)));
    assert_eq!(evicted(&slots), [1]);
}

#[test]
fn when_all_are_probing_the_reserve_takes_over() {
    let slots = slots(3);
    (0..3).for_each(|n| slots.start_probing(n));
    assert_eq!(slots.admit(3), Ok(Admitted::Start(3)));
    assert_eq!(slots.place(3), Place::Reserve);
    assert_eq!(slots.admit(4), Ok(Admitted::Start(4)));
    assert_eq!(slots.admit(5), Ok(Admitted::Start(5)));
    assert_eq!(evicted(&slots), [3], "the reserve can be parked as little");
    slots.free(0);
    assert_eq!(slots.place(4), Place::Probe, "a late place is taken");
    assert_eq!(slots.place(5), Place::Reserve);
}

#[test]
fn a_hook_gives_its_probe_place_back() {
    let slots = slots(3);
    assert!(slots.move_to_hook(0));
    assert!(!slots.move_to_hook(1), "there is one place");
    assert_eq!(slots.admit(3), Ok(Admitted::Start(3)));
    assert_eq!(evicted(&slots), [0; 0]);
}

#[test]
fn a_freed_slot_is_used_before_a_new_one() {
    let slots = slots(2);
    slots.free(0);
    assert_eq!(slots.admit(2), Ok(Admitted::Handed));
    assert_eq!(slots.open(), 2);
}

#[test]
fn with_no_slot_left_somebody_is_sent_away_first() {
    let slots = slots(3);
    assert!(slots.move_to_hook(0));
    assert_eq!(slots.admit(3), Ok(Admitted::Start(3)));
    (0..4).for_each(|n| slots.start_probing(n));
    (4..6).for_each(|n| assert_eq!(slots.admit(n), Ok(Admitted::Start(n))));
    assert!(!slots.make_room());
    assert_eq!(evicted(&slots), [4]);
    assert_eq!(slots.admit(6), Err(6));
    slots.free(4);
    assert!(slots.make_room());
    assert_eq!(slots.admit(6), Ok(Admitted::Handed));
}

#[test]
fn age_is_told_apart_when_the_clock_wraps() {
    let slots = slots(0);
    slots.state.borrow_mut().clock = u32::MAX - 1;
    (0..3).for_each(|n| assert_eq!(slots.admit(n), Ok(Admitted::Start(n))));
    assert_eq!(slots.admit(3), Ok(Admitted::Start(3)));
    assert_eq!(evicted(&slots), [0]);
}
