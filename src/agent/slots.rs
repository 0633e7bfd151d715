//! The slots of the status port, one for each connection that is read, written or probed for, without I/O.
//!
//! A connection belongs to the pool until its probe starts, and again after it. When the pool is full, a new connection
//! evicts one: the oldest of the client address that has most. A connection whose probe runs is never evicted.

use core::cell::RefCell;
use core::future::poll_fn;
use core::net::IpAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::net::Socket;

mod eviction;

/// An accepted connection.
pub struct Connected {
    /// The connection.
    pub socket: Socket,
    /// The client's address.
    pub client: IpAddr,
    /// When it was accepted.
    pub accepted_at: Instant,
}

/// A complete request that waits for a slot of its prober.
pub struct WaitingRequest {
    pub connected: Connected,
    /// Its bytes.
    pub head: Box<[u8]>,
}

/// State of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState {
    /// Without a connection.
    Free,
    /// The connection is reading or writing and may be evicted.
    Pooled {
        /// The value of `Table::clock` when it joined the pool.
        since: u32,
    },
    /// The app is being probed.
    Probing {
        /// Whether the task has to check that the client is still connected.
        must_check: bool,
    },
    /// Evicted, but its task has not run since.
    Evicted,
}

struct Slot<C> {
    state: SlotState,
    client: IpAddr,
    /// The connection until the slot's task takes it.
    pending: Option<C>,
    /// The slot's task.
    waker: Option<Waker>,
}

struct Table<C> {
    /// Slots that were ever used: memory grows with the most that were used at once.
    slots: Vec<Slot<C>>,
    /// The number of connections that joined the pool.
    clock: u32,
    acceptor: Option<Waker>,
}

/// All slots of the status port, with connections of type `C`.
pub struct Slots<C = Connected> {
    /// Number of slots.
    total: usize,
    /// Connections in the pool.
    pool: usize,
    table: RefCell<Table<C>>,
}

/// Result of [`Slots::admit`].
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// The slot had a connection before: its task gets this one.
    Reused,
    /// The slot of this number has no task yet: the caller starts it.
    New(usize),
}

impl<C> Slots<C> {
    /// `total` slots, all free, of which `pool` may be in the pool.
    pub fn new(total: usize, pool: usize) -> Slots<C> {
        let table = RefCell::new(Table {
            slots: Vec::new(),
            clock: 0,
            acceptor: None,
        });
        Slots { total, pool, table }
    }

    /// Whether a connection can be admitted now.
    pub fn has_free_slot(&self) -> bool {
        self.free_slot(&self.table.borrow()).is_some()
    }

    /// Waits until a connection can be admitted. Evicts a connection of the pool for it: its slot is free after its task has
    /// run.
    pub async fn wait_for_slot(&self) {
        poll_fn(|cx| {
            if self.has_free_slot() {
                return Poll::Ready(());
            }
            let mut table = self.table.borrow_mut();
            table.acceptor = Some(cx.waker().clone());
            let evicted = table.evict_unless_one_is();
            drop(table);
            evicted.into_iter().for_each(Waker::wake);
            Poll::Pending
        })
        .await;
    }

    /// Assigns a slot to a connection, and evicts one if the pool is full.
    ///
    /// # Errors
    /// The connection, if there is no room.
    pub fn admit(&self, client: IpAddr, connection: C) -> Result<Admission, C> {
        let mut table = self.table.borrow_mut();
        let Some(index) = self.free_slot(&table) else {
            return Err(connection);
        };
        let evicted = match table.pooled() < self.pool {
            true => None,
            false => table.evict_for(client),
        };
        let slot = Slot {
            state: table.next_pooled(),
            client,
            pending: Some(connection),
            waker: None,
        };
        let (admission, task) = match table.slots.get_mut(index) {
            Some(free) => (Admission::Reused, core::mem::replace(free, slot).waker),
            None => {
                table.slots.push(slot);
                (Admission::New(index), None)
            }
        };
        drop(table);
        evicted.into_iter().chain(task).for_each(Waker::wake);
        Ok(admission)
    }

    /// Waits for the next connection of this slot.
    pub async fn next_connection(&self, index: usize) -> C {
        poll_fn(|cx| {
            let slot = &mut self.table.borrow_mut().slots[index];
            match slot.pending.take() {
                Some(connection) => Poll::Ready(connection),
                None => {
                    slot.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Runs `future` until it ends or the connection is evicted; then there is no result.
    pub async fn unless_evicted<T>(
        &self,
        index: usize,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        poll_fn(|cx| {
            if self.is_evicted(index) {
                return Poll::Ready(None);
            }
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            let slot = &mut self.table.borrow_mut().slots[index];
            crate::net::set_waker(&mut slot.waker, cx);
            Poll::Pending
        })
        .await
    }

    fn is_evicted(&self, index: usize) -> bool {
        self.table.borrow().slots[index].state == SlotState::Evicted
    }

    /// Removes the connection of `client` from the pool while its probe runs.
    pub fn start_probing(&self, index: usize, client: IpAddr) {
        let mut table = self.table.borrow_mut();
        let slot = &mut table.slots[index];
        let was_evicted = slot.state == SlotState::Evicted;
        (slot.state, slot.client) = (SlotState::Probing { must_check: false }, client);
        if was_evicted {
            // The acceptor may wait for this slot: it has to evict another one.
            table.acceptor.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Returns the connection to the pool, as its newest one.
    pub fn stop_probing(&self, index: usize) {
        let mut table = self.table.borrow_mut();
        table.slots[index].state = table.next_pooled();
    }

    /// Makes the task of a running probe check its client: [`Slots::take_must_check`].
    pub fn check_client(&self, index: usize) {
        let slot = &mut self.table.borrow_mut().slots[index];
        if let SlotState::Probing { must_check } = &mut slot.state {
            *must_check = true;
            slot.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Whether the task of a running probe has to check its client now. If not, it is woken when it has to.
    pub fn take_must_check(&self, index: usize, cx: &Context<'_>) -> bool {
        let slot = &mut self.table.borrow_mut().slots[index];
        crate::net::set_waker(&mut slot.waker, cx);
        match &mut slot.state {
            SlotState::Probing { must_check } => core::mem::take(must_check),
            SlotState::Free | SlotState::Pooled { .. } | SlotState::Evicted => false,
        }
    }

    /// Frees the slot of a closed connection.
    pub fn release(&self, index: usize) {
        let mut table = self.table.borrow_mut();
        table.slots[index].state = SlotState::Free;
        table.acceptor.take().into_iter().for_each(Waker::wake);
    }

    /// Number of open connections.
    pub fn open_connections(&self) -> usize {
        let table = self.table.borrow();
        let slots = table.slots.iter();
        slots.filter(|slot| slot.state != SlotState::Free).count()
    }

    /// A used slot if one is free, because its memory is resident; else the next new one.
    fn free_slot(&self, table: &Table<C>) -> Option<usize> {
        let used = table.slots.len();
        let free = table
            .slots
            .iter()
            .position(|slot| slot.state == SlotState::Free);
        free.or((used < self.total).then_some(used))
    }
}

impl<C> Table<C> {
    fn next_pooled(&mut self) -> SlotState {
        self.clock = self.clock.wrapping_add(1);
        SlotState::Pooled { since: self.clock }
    }

    fn pooled(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_pooled()).count()
    }
}

impl<C> Slot<C> {
    fn is_pooled(&self) -> bool {
        matches!(self.state, SlotState::Pooled { .. })
    }
}

#[cfg(test)]
mod tests;
