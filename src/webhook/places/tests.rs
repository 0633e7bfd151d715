use super::{Phase, Places};
use crate::limits;
use smol::future::{block_on, pending, poll_once};
use smol::{LocalExecutor, Task};
use std::pin::pin;
use std::time::Instant;

/// Somebody who stays until he is sent away.
fn stays(executor: &LocalExecutor<'static>) -> Task<()> {
    executor.spawn(pending())
}

fn filled(executor: &LocalExecutor<'static>, count: usize, phase: Phase) -> Places {
    let places = Places::new(limits::WEBHOOK_CONNECTIONS);
    for _ in 0..count {
        let id = places.open();
        places.keep(id, stays(executor));
        places.enter(id, phase);
    }
    places
}

#[test]
fn the_one_that_was_idle_longest_makes_room() {
    let executor = LocalExecutor::new();
    let places = filled(&executor, limits::WEBHOOK_CONNECTIONS, Phase::Idle);
    places.enter(0, Phase::Busy);
    block_on(places.room());
    assert_eq!(places.count(), limits::WEBHOOK_CONNECTIONS - 1);
    assert_eq!(places.evicted(), 1);
    let is_there = |id| places.list.borrow().contains_key(&id);
    assert!(is_there(0) && !is_there(1) && is_there(2));
}

#[test]
fn a_head_that_does_not_end_goes_before_whoever_is_idle() {
    let executor = LocalExecutor::new();
    let places = filled(&executor, limits::WEBHOOK_CONNECTIONS, Phase::Head);
    places.enter(0, Phase::Busy);
    places.enter(1, Phase::Idle);
    let is_there = |id| places.list.borrow().contains_key(&id);
    for id in 2..limits::WEBHOOK_CONNECTIONS as u64 {
        block_on(places.room());
        assert!(!is_there(id), "{id}");
        places.enter(places.open(), Phase::Busy);
    }
    assert!(is_there(0) && is_there(1));
    block_on(places.room());
    assert!(is_there(0) && !is_there(1));
}

#[test]
fn nobody_who_is_served_makes_room() {
    let executor = LocalExecutor::new();
    let places = filled(&executor, limits::WEBHOOK_CONNECTIONS, Phase::Busy);
    block_on(async {
        let mut room = pin!(places.room());
        assert!(poll_once(&mut room).await.is_none());
        places.close(7);
        room.await;
    });
    assert_eq!(places.evicted(), 0);
}

#[test]
fn handshakes_wait_for_each_other_until_one_is_stale() {
    let executor = LocalExecutor::new();
    let places = filled(&executor, limits::WEBHOOK_HANDSHAKES, Phase::Handshake);
    block_on(async {
        let mut room = pin!(places.room());
        assert!(poll_once(&mut room).await.is_none());
        places.enter(3, Phase::Idle);
        room.await;
    });
    assert_eq!(places.evicted(), 0);
    // It is full again, and nothing but time changes anything.
    let (first, began) = (places.open(), Instant::now());
    block_on(places.room());
    assert!(began.elapsed() <= limits::WEBHOOK_HANDSHAKE_STALE * 5);
    assert_eq!(places.evicted(), 1);
    let first = first + 1;
    assert_eq!(places.open(), first);
    for place in places.list.borrow_mut().values_mut() {
        place.since -= limits::WEBHOOK_HANDSHAKE_STALE;
    }
    places.enter(first, Phase::Handshake);
    block_on(places.room());
    assert_eq!(places.evicted(), 2);
    assert_eq!(
        places.count_at(Phase::Idle),
        1,
        "an idle one is in nobody's way"
    );
}

#[test]
fn only_those_who_are_served_stay_when_it_ends() {
    let executor = LocalExecutor::new();
    let places = filled(&executor, 3, Phase::Idle);
    places.enter(1, Phase::Busy);
    places.close_unasked();
    assert_eq!(places.count(), 1);
    block_on(async {
        let mut ended = pin!(places.ended());
        assert!(poll_once(&mut ended).await.is_none());
        places.close(1);
        ended.await;
    });
}
