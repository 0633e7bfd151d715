//! The slots of the status port: admission and eviction of connections, without I/O.
//!
//! A connection occupies a probe slot from its accept. When all probe slots are occupied, the oldest
//! connection that is not probing is evicted; when all are probing, a reserve slot reads the request and
//! responds 503. A hook moves to a hook slot once its request is read.

use core::cell::RefCell;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Poll, Waker};
use std::time::Instant;

use crate::config::Capacity;
use crate::net::Socket;

/// An accepted connection before it has a slot.
pub struct Accepted {
    /// The connection.
    pub socket: Socket,
    pub accepted_at: Instant,
}

/// The kind of work that a connection may do in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// Probe.
    Probe,
    /// Run a lifecycle hook.
    Hook,
    /// Respond 503: all probe slots are probing.
    Reserve,
}

/// State of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState {
    /// Without a connection.
    Free,
    /// The connection is reading or writing and may be evicted.
    Evictable {
        /// The value of `Table::clock` at the last change.
        since: u32,
    },
    /// The app is being probed.
    Probing,
    /// Evicted, but its task has not run since.
    Evicted,
}

struct Slot<C> {
    state: SlotState,
    kind: SlotKind,
    /// The connection until the slot's task takes it.
    pending: Option<C>,
    /// The slot's task.
    waker: Option<Waker>,
}

struct Table<C> {
    /// Slots that were ever used: a pod with three probers pays for three.
    slots: Vec<Slot<C>>,
    /// The number of admissions and ended probes.
    clock: u32,
    acceptor: Option<Waker>,
}

/// All slots of the status port, with connections of type `C`.
pub struct Slots<C = Accepted> {
    capacity: Capacity,
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

/// The kind of slot for one more connection.
struct Placement {
    kind: SlotKind,
    /// The slot to evict first.
    evict: Option<usize>,
}

impl<C> Slots<C> {
    /// All free.
    pub fn new(capacity: Capacity) -> Slots<C> {
        let table = RefCell::new(Table {
            slots: Vec::new(),
            clock: 0,
            acceptor: None,
        });
        Slots { capacity, table }
    }

    /// Whether a connection can be admitted now.
    pub fn has_room(&self) -> bool {
        let table = self.table.borrow();
        table.free_slot(&self.capacity).is_some() && table.placement(&self.capacity).is_some()
    }

    /// Evicts the oldest evictable connection, from a probe slot if possible, else from a reserve slot. The slot is
    /// free after its task has run.
    pub fn evict_oldest(&self) {
        let mut table = self.table.borrow_mut();
        let oldest_reserve = table.oldest_evictable(SlotKind::Reserve);
        if let Some(oldest) = table.oldest_evictable(SlotKind::Probe).or(oldest_reserve) {
            table.evict(oldest).into_iter().for_each(Waker::wake);
        }
    }

    /// Waits until a connection can be admitted.
    pub async fn wait_for_room(&self) {
        poll_fn(|cx| {
            if self.has_room() {
                return Poll::Ready(());
            }
            self.table.borrow_mut().acceptor = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Assigns a slot to a connection.
    ///
    /// # Errors
    /// The connection, if there is no room.
    pub fn admit(&self, connection: C) -> Result<Admission, C> {
        let mut table = self.table.borrow_mut();
        let Some(index) = table.free_slot(&self.capacity) else {
            return Err(connection);
        };
        let Some(Placement { kind, evict }) = table.placement(&self.capacity) else {
            return Err(connection);
        };
        let evicted = evict.and_then(|oldest| table.evict(oldest));
        table.clock = table.clock.wrapping_add(1);
        let since = table.clock;
        let Some(slot) = table.slots.get_mut(index) else {
            table.slots.push(Slot {
                state: SlotState::Evictable { since },
                kind,
                pending: Some(connection),
                waker: None,
            });
            drop(table);
            evicted.into_iter().for_each(Waker::wake);
            return Ok(Admission::New(index));
        };
        slot.state = SlotState::Evictable { since };
        slot.kind = kind;
        slot.pending = Some(connection);
        let task = slot.waker.take();
        drop(table);
        evicted.into_iter().chain(task).for_each(Waker::wake);
        Ok(Admission::Reused)
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

    /// Turns a reserve slot into a probe slot if one has become free since the accept. Returns the slot's
    /// kind.
    pub fn upgrade_reserve(&self, index: usize) -> SlotKind {
        let mut table = self.table.borrow_mut();
        let has_probe_slot = table.count(SlotKind::Probe) < self.capacity.probes;
        let slot = &mut table.slots[index];
        if slot.kind == SlotKind::Reserve && has_probe_slot {
            slot.kind = SlotKind::Probe;
        }
        slot.kind
    }

    /// Protects the connection from eviction.
    pub fn start_probing(&self, index: usize) {
        self.table.borrow_mut().slots[index].state = SlotState::Probing;
    }

    /// Permits eviction again: a client may be slow to read the response.
    pub fn stop_probing(&self, index: usize) {
        let mut table = self.table.borrow_mut();
        table.clock = table.clock.wrapping_add(1);
        let since = table.clock;
        table.slots[index].state = SlotState::Evictable { since };
        table.wake_acceptor();
    }

    /// Moves a hook from its probe slot to a hook slot. Returns false if none is free.
    pub fn try_move_to_hook(&self, index: usize) -> bool {
        let mut table = self.table.borrow_mut();
        if table.count(SlotKind::Hook) >= self.capacity.hooks {
            return false;
        }
        table.slots[index].kind = SlotKind::Hook;
        table.wake_acceptor();
        true
    }

    /// Frees the slot of a closed connection.
    pub fn release(&self, index: usize) {
        let mut table = self.table.borrow_mut();
        table.slots[index].state = SlotState::Free;
        table.wake_acceptor();
    }

    /// Number of open connections.
    pub fn open_connections(&self) -> usize {
        let table = self.table.borrow();
        table
            .slots
            .iter()
            .filter(|slot| slot.state != SlotState::Free)
            .count()
    }
}

impl<C> Table<C> {
    /// A used slot if one is free, because its memory is resident; else the next new one.
    fn free_slot(&self, capacity: &Capacity) -> Option<usize> {
        let total = capacity.probes + capacity.hooks + capacity.reserve;
        let used = self.slots.len();
        let free = self
            .slots
            .iter()
            .position(|slot| slot.state == SlotState::Free);
        free.or((used < total).then_some(used))
    }

    fn placement(&self, capacity: &Capacity) -> Option<Placement> {
        let (kind, evict) = if self.count(SlotKind::Probe) < capacity.probes {
            (SlotKind::Probe, None)
        } else if let Some(oldest) = self.oldest_evictable(SlotKind::Probe) {
            (SlotKind::Probe, Some(oldest))
        } else if self.count(SlotKind::Reserve) < capacity.reserve {
            (SlotKind::Reserve, None)
        } else {
            (
                SlotKind::Reserve,
                Some(self.oldest_evictable(SlotKind::Reserve)?),
            )
        };
        Some(Placement { kind, evict })
    }

    /// Marks a connection as evicted. Returns its task to wake.
    fn evict(&mut self, index: usize) -> Option<Waker> {
        self.slots[index].state = SlotState::Evicted;
        self.slots[index].waker.take()
    }

    fn count(&self, kind: SlotKind) -> usize {
        let is_occupied = |slot: &&Slot<C>| {
            slot.kind == kind && !matches!(slot.state, SlotState::Free | SlotState::Evicted)
        };
        self.slots.iter().filter(is_occupied).count()
    }

    fn oldest_evictable(&self, kind: SlotKind) -> Option<usize> {
        let age = |slot: &Slot<C>| match slot.state {
            SlotState::Evictable { since } if slot.kind == kind => {
                Some(self.clock.wrapping_sub(since))
            }
            SlotState::Evictable { .. }
            | SlotState::Free
            | SlotState::Probing
            | SlotState::Evicted => None,
        };
        let slots = self.slots.iter().enumerate();
        let evictable = slots.filter_map(|(index, slot)| Some((age(slot)?, index)));
        evictable.max().map(|(_, index)| index)
    }

    fn wake_acceptor(&mut self) {
        self.acceptor.take().into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
