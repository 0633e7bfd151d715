//! The slots of the status port, one for each connection that is read, written or probed for, without I/O.
//!
//! A connection belongs to the pool until its probe starts, and again after it. When the pool is full, a new connection
//! evicts one: the oldest of the client address that has most. A connection whose probe runs is never evicted.

use core::cell::{Ref, RefCell};
use core::future::poll_fn;
use core::net::IpAddr;
use core::pin::Pin;
use core::task::{Poll, Waker};
use std::time::Instant;

use crate::net::Socket;

/// An accepted connection.
pub struct Connected {
    /// The connection.
    pub socket: Socket,
    /// The client's address.
    pub client: IpAddr,
    /// When it was accepted.
    pub accepted_at: Instant,
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
    Probing,
    /// Evicted, or its probe canceled, but its task has not run since.
    Evicted,
}

struct Slot {
    state: SlotState,
    client: IpAddr,
    /// The slot's task.
    waker: Option<Waker>,
}

struct Table {
    /// Slots that were ever used: a pod pays for as many as it has used at once.
    slots: Vec<Slot>,
    /// The number of connections that joined the pool.
    clock: u32,
    acceptor: Option<Waker>,
}

/// All slots of the status port, with connections of type `C`.
pub struct Slots<C = Connected> {
    /// Connections in the pool.
    pool: usize,
    table: RefCell<Table>,
    /// The connection of each slot. Its task holds a reference while it serves the connection.
    connections: Box<[RefCell<Option<C>>]>,
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
        let connections = (0..total).map(|_| RefCell::new(None)).collect();
        Slots {
            pool,
            table,
            connections,
        }
    }

    /// Whether a connection can be admitted now.
    pub fn has_room(&self) -> bool {
        self.free_slot(&self.table.borrow()).is_some()
    }

    /// Waits until a connection can be admitted. Evicts the oldest connection of the pool for it: its slot is free after its
    /// task has run.
    pub async fn make_room(&self) {
        let mut table = self.table.borrow_mut();
        let evicted = table
            .oldest(|_| true)
            .and_then(|oldest| table.evict(oldest));
        drop(table);
        evicted.into_iter().for_each(Waker::wake);
        poll_fn(|cx| {
            if self.has_room() {
                return Poll::Ready(());
            }
            self.table.borrow_mut().acceptor = Some(cx.waker().clone());
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
        *self.connections[index].borrow_mut() = Some(connection);
        let state = table.next_pooled();
        let slot = Slot {
            state,
            client,
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
    pub async fn next_connection(&self, index: usize) {
        poll_fn(|cx| {
            let slot = &mut self.table.borrow_mut().slots[index];
            if slot.state == SlotState::Free {
                slot.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }

    /// The connection of a slot that is not free.
    pub fn connection(&self, index: usize) -> Option<Ref<'_, C>> {
        Ref::filter_map(self.connections[index].borrow(), Option::as_ref).ok()
    }

    /// Removes the connection from its slot.
    pub fn take_connection(&self, index: usize) -> Option<C> {
        self.connections[index].take()
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

    /// Removes the connection from the pool while its probe runs.
    pub fn start_probing(&self, index: usize) {
        self.table.borrow_mut().slots[index].state = SlotState::Probing;
    }

    /// Returns the connection to the pool, as its newest one.
    pub fn stop_probing(&self, index: usize) {
        let mut table = self.table.borrow_mut();
        table.slots[index].state = table.next_pooled();
    }

    /// Starts the probe of a request that waited, in the slot of a connection that has ended.
    pub fn resume(&self, index: usize, client: IpAddr, connection: C) {
        let slot = &mut self.table.borrow_mut().slots[index];
        (slot.state, slot.client) = (SlotState::Probing, client);
        *self.connections[index].borrow_mut() = Some(connection);
    }

    /// Cancels the probe of a slot if its client is gone. Returns whether it was.
    pub fn cancel_if(&self, index: usize, is_gone: impl Fn(&C) -> bool) -> bool {
        let connection = self.connection(index);
        if !connection.is_some_and(|connection| is_gone(&connection)) {
            return false;
        }
        let task = self.table.borrow_mut().evict(index);
        task.into_iter().for_each(Waker::wake);
        true
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
    fn free_slot(&self, table: &Table) -> Option<usize> {
        let used = table.slots.len();
        let free = table
            .slots
            .iter()
            .position(|slot| slot.state == SlotState::Free);
        free.or((used < self.connections.len()).then_some(used))
    }
}

impl Table {
    fn next_pooled(&mut self) -> SlotState {
        self.clock = self.clock.wrapping_add(1);
        SlotState::Pooled { since: self.clock }
    }

    fn pooled(&self) -> usize {
        let is_pooled = |slot: &&Slot| matches!(slot.state, SlotState::Pooled { .. });
        self.slots.iter().filter(is_pooled).count()
    }

    /// Marks a connection as evicted. Returns its task to wake.
    fn evict(&mut self, index: usize) -> Option<Waker> {
        self.slots[index].state = SlotState::Evicted;
        self.slots[index].waker.take()
    }

    /// Evicts the oldest connection of the client that has most in the pool, with one more for `newcomer`; of several such
    /// clients, `newcomer` itself or else the one with the oldest connection. So nobody's connections evict those of a
    /// client that has fewer. Returns the evicted task to wake.
    #[inline(never)]
    fn evict_for(&mut self, newcomer: IpAddr) -> Option<Waker> {
        let most = |table: &Table| {
            let counts = table.slots.iter().map(|slot| table.pooled_of(slot.client));
            counts.max().unwrap_or_default()
        };
        let most = most(self);
        let oldest = match self.pooled_of(newcomer) {
            own if own > 0 && own + 1 >= most => self.oldest(|slot| slot.client == newcomer),
            _ => self.oldest(|slot| self.pooled_of(slot.client) == most),
        };
        oldest.and_then(|oldest| self.evict(oldest))
    }

    fn pooled_of(&self, client: IpAddr) -> usize {
        let is_pooled =
            |slot: &&Slot| slot.client == client && matches!(slot.state, SlotState::Pooled { .. });
        self.slots.iter().filter(is_pooled).count()
    }

    /// The connection that is in the pool longest, of those selected.
    fn oldest(&self, selects: impl Fn(&Slot) -> bool) -> Option<usize> {
        let age = |slot: &Slot| match slot.state {
            SlotState::Pooled { since } if selects(slot) => Some(self.clock.wrapping_sub(since)),
            SlotState::Pooled { .. }
            | SlotState::Free
            | SlotState::Probing
            | SlotState::Evicted => None,
        };
        let slots = self.slots.iter().enumerate();
        let pooled = slots.filter_map(|(index, slot)| Some((age(slot)?, index)));
        pooled.max().map(|(_, index)| index)
    }
}

#[cfg(test)]
mod tests;
