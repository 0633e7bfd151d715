//! Which connection is evicted, and when accepting waits.

use super::{ConnectionTable, Phase};
use crate::limits;
use smol::future::{block_on, pending, poll_once};
use smol::{LocalExecutor, Task};
use std::pin::pin;
use std::time::Instant;

/// The task of a connection that stays open until it is evicted.
fn open_forever(executor: &LocalExecutor<'static>) -> Task<()> {
    executor.spawn(pending())
}

fn filled(executor: &LocalExecutor<'static>, count: usize, phase: Phase) -> ConnectionTable {
    let table = ConnectionTable::new(limits::WEBHOOK_CONNECTIONS);
    for _ in 0..count {
        let id = table.insert();
        table.set_task(id, open_forever(executor));
        table.set_phase(id, phase);
    }
    table
}

#[test]
fn the_connection_that_is_idle_longest_is_evicted() {
    let executor = LocalExecutor::new();
    let table = filled(&executor, limits::WEBHOOK_CONNECTIONS, Phase::Idle);
    table.set_phase(0, Phase::Busy);
    block_on(table.wait_for_slot());
    assert_eq!(table.count(), limits::WEBHOOK_CONNECTIONS - 1);
    assert_eq!(table.evicted_count(), 1);
    let is_open = |id| table.connections.borrow().contains_key(&id);
    assert!(is_open(0) && !is_open(1) && is_open(2));
}

#[test]
fn an_unfinished_head_is_evicted_before_an_idle_connection() {
    let executor = LocalExecutor::new();
    let table = filled(&executor, limits::WEBHOOK_CONNECTIONS, Phase::Head);
    table.set_phase(0, Phase::Busy);
    table.set_phase(1, Phase::Idle);
    let is_open = |id| table.connections.borrow().contains_key(&id);
    for id in 2..limits::WEBHOOK_CONNECTIONS as u64 {
        block_on(table.wait_for_slot());
        assert!(!is_open(id), "{id}");
        table.set_phase(table.insert(), Phase::Busy);
    }
    assert!(is_open(0) && is_open(1));
    block_on(table.wait_for_slot());
    assert!(is_open(0) && !is_open(1));
}

#[test]
fn a_connection_with_a_request_is_not_evicted() {
    let executor = LocalExecutor::new();
    let table = filled(&executor, limits::WEBHOOK_CONNECTIONS, Phase::Busy);
    block_on(async {
        let mut slot = pin!(table.wait_for_slot());
        assert!(poll_once(&mut slot).await.is_none());
        table.remove(7);
        slot.await;
    });
    assert_eq!(table.evicted_count(), 0);
}

#[test]
fn a_full_handshake_limit_evicts_only_a_stale_handshake() {
    let executor = LocalExecutor::new();
    let table = filled(&executor, limits::WEBHOOK_HANDSHAKES, Phase::Handshake);
    block_on(async {
        let mut slot = pin!(table.wait_for_slot());
        assert!(poll_once(&mut slot).await.is_none());
        table.set_phase(3, Phase::Idle);
        slot.await;
    });
    assert_eq!(table.evicted_count(), 0);
    // The limit is reached again, and only time changes that.
    let (first, began) = (table.insert(), Instant::now());
    block_on(table.wait_for_slot());
    assert!(began.elapsed() <= limits::WEBHOOK_HANDSHAKE_STALE * 5);
    assert_eq!(table.evicted_count(), 1);
    let first = first + 1;
    assert_eq!(table.insert(), first);
    for connection in table.connections.borrow_mut().values_mut() {
        connection.since -= limits::WEBHOOK_HANDSHAKE_STALE;
    }
    table.set_phase(first, Phase::Handshake);
    block_on(table.wait_for_slot());
    assert_eq!(table.evicted_count(), 2);
    assert_eq!(
        table.count_in(Phase::Idle),
        1,
        "an idle connection does not count as a handshake"
    );
}

#[test]
fn only_connections_with_a_request_stay_open_while_draining() {
    let executor = LocalExecutor::new();
    let table = filled(&executor, 3, Phase::Idle);
    table.set_phase(1, Phase::Busy);
    table.close_idle_and_handshaking();
    assert_eq!(table.count(), 1);
    block_on(async {
        let mut empty = pin!(table.wait_until_empty());
        assert!(poll_once(&mut empty).await.is_none());
        table.remove(1);
        empty.await;
    });
}
