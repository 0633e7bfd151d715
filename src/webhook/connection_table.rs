//! The open connections: their number, the phase of each, and which one is evicted for a new one.

use super::stream_io::timeout_at;
use crate::limits;
use crate::net::set_waker;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use smol::Task;
use std::collections::BTreeMap;
use std::time::Instant;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// TLS handshake.
    Handshake,
    /// Between two requests.
    Idle,
    /// Receiving a request head.
    Head,
    /// Receiving the body of a request, or answering it.
    Busy,
}

/// Identifies a connection.
pub type ConnectionId = u64;

#[derive(Debug)]
struct Connection {
    phase: Phase,
    since: Instant,
    /// Serves the connection. Dropping it closes the connection.
    task: Option<Task<()>>,
}

/// The open connections.
#[derive(Debug)]
pub struct ConnectionTable {
    capacity: usize,
    connections: RefCell<BTreeMap<ConnectionId, Connection>>,
    next_id: Cell<ConnectionId>,
    evicted: Cell<u64>,
    /// Woken by each change. There is one waiter at a time: the accept loop, then the drain.
    waiter: RefCell<Option<Waker>>,
}

impl ConnectionTable {
    /// An empty table of at most `capacity` connections.
    pub fn new(capacity: usize) -> ConnectionTable {
        ConnectionTable {
            capacity,
            connections: RefCell::default(),
            next_id: Cell::new(0),
            evicted: Cell::new(0),
            waiter: RefCell::default(),
        }
    }

    /// Adds an accepted connection.
    pub fn insert(&self) -> ConnectionId {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let connection = Connection {
            phase: Phase::Handshake,
            since: Instant::now(),
            task: None,
        };
        self.connections.borrow_mut().insert(id, connection);
        id
    }

    /// Stores the task of a connection, unless it has ended already.
    pub fn set_task(&self, id: ConnectionId, task: Task<()>) {
        match self.connections.borrow_mut().get_mut(&id) {
            Some(connection) => connection.task = Some(task),
            None => task.detach(),
        }
    }

    /// Removes a connection. Called by its own task, which must not be dropped while it runs.
    pub fn remove(&self, id: ConnectionId) {
        let connection = self.connections.borrow_mut().remove(&id);
        if let Some(task) = connection.and_then(|connection| connection.task) {
            task.detach();
        }
        self.notify();
    }

    /// Sets the phase of a connection.
    pub fn set_phase(&self, id: ConnectionId, phase: Phase) {
        if let Some(connection) = self.connections.borrow_mut().get_mut(&id) {
            connection.phase = phase;
            connection.since = Instant::now();
        }
        self.notify();
    }

    /// Number of connections.
    pub fn count(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Number of connections in this phase.
    pub fn count_in(&self, phase: Phase) -> usize {
        let connections = self.connections.borrow();
        let is_in_phase = |connection: &&Connection| connection.phase == phase;
        connections.values().filter(is_in_phase).count()
    }

    /// Number of connections evicted so far.
    pub fn evicted_count(&self) -> u64 {
        self.evicted.get()
    }

    /// Waits until another connection may be accepted. Evicts one if that is necessary and possible.
    pub async fn wait_for_slot(&self) {
        while !self.has_slot() && !self.evict_one() {
            match self.oldest_in(Phase::Handshake) {
                Some((_, since)) => {
                    let stale = since + limits::WEBHOOK_HANDSHAKE_STALE;
                    timeout_at(stale, self.wait_for_change()).await;
                }
                None => self.wait_for_change().await,
            }
        }
    }

    fn has_slot(&self) -> bool {
        self.count() < self.capacity && !self.is_handshake_limit_reached()
    }

    fn is_handshake_limit_reached(&self) -> bool {
        self.count_in(Phase::Handshake) >= limits::WEBHOOK_HANDSHAKES
    }

    /// Evicts one connection and returns whether there was one. Order: a stale handshake, the oldest unfinished head, the
    /// longest idle connection. If the handshake limit is reached, only a stale handshake helps. Heads go before idle
    /// connections because the API server's connection is idle between reviews.
    fn evict_one(&self) -> bool {
        let stale = self
            .oldest_in(Phase::Handshake)
            .filter(|(_, since)| since.elapsed() >= limits::WEBHOOK_HANDSHAKE_STALE);
        let unfinished_or_idle = || match self.is_handshake_limit_reached() {
            true => None,
            false => self
                .oldest_in(Phase::Head)
                .or_else(|| self.oldest_in(Phase::Idle)),
        };
        let Some((id, _)) = stale.or_else(unfinished_or_idle) else {
            return false;
        };
        // The borrow ends before the connection is dropped: its task may use the table then.
        let connection = self.connections.borrow_mut().remove(&id);
        self.evicted.set(self.evicted.get() + 1);
        connection.is_some()
    }

    fn oldest_in(&self, phase: Phase) -> Option<(ConnectionId, Instant)> {
        let connections = self.connections.borrow();
        let in_phase = connections.iter().filter(|(_, c)| c.phase == phase);
        in_phase
            .map(|(id, connection)| (*id, connection.since))
            .min_by_key(|(_, since)| *since)
    }

    /// Closes every connection that is idle or in its handshake.
    pub fn close_idle_and_handshaking(&self) {
        let mut closed = Vec::new();
        let mut connections = self.connections.borrow_mut();
        connections.retain(|_, connection| {
            let has_request = match connection.phase {
                Phase::Head | Phase::Busy => true,
                Phase::Handshake | Phase::Idle => false,
            };
            if !has_request {
                closed.extend(connection.task.take());
            }
            has_request
        });
        drop(connections);
        drop(closed);
    }

    /// Waits until there is no connection.
    pub async fn wait_until_empty(&self) {
        while self.count() > 0 {
            self.wait_for_change().await;
        }
    }

    /// Waits until a connection ends or changes its phase.
    async fn wait_for_change(&self) {
        let mut is_first_poll = true;
        poll_fn(|cx| {
            if !core::mem::replace(&mut is_first_poll, false) {
                return Poll::Ready(());
            }
            set_waker(&mut self.waiter.borrow_mut(), cx);
            Poll::Pending
        })
        .await;
    }

    fn notify(&self) {
        if let Some(waker) = self.waiter.borrow_mut().take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests;
