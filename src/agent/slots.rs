//! Who has a place at the status port, and who has to go when a place is wanted.
//!
//! A connection takes a probe place from its accept on. When all are taken, the oldest connection
//! that is not probing is sent away; when all are probing, a reserve place reads the request to say
//! that. Hooks move to places of their own as soon as they are known. Bookkeeping only: no I/O.

use core::cell::RefCell;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Poll, Waker};
use std::time::Instant;

use crate::config::Capacity;
use crate::net::Socket;

/// A connection on its way to a slot.
pub struct Accepted {
    /// The connection.
    pub socket: Socket,
    /// When it was accepted.
    pub at: Instant,
}

/// What a connection may do in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Be probed for.
    Probe,
    /// Run a lifecycle hook.
    Hook,
    /// Be told that all probe places are probing.
    Reserve,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody is here.
    Free,
    /// It reads or is being answered: it can be sent away.
    Idle { since: u32 },
    /// The app is being asked.
    Probing,
    /// It was sent away, but its task has not run yet.
    Evicted,
}

struct Slot<M> {
    stage: Stage,
    place: Place,
    mail: Option<M>,
    waker: Option<Waker>,
}

struct State<M> {
    /// Those that were ever used: a pod with three probers pays for three.
    slots: Vec<Slot<M>>,
    clock: u32,
    acceptor: Option<Waker>,
}

/// All slots of the status port; `M` is what is handed to a slot.
pub struct Slots<M = Accepted> {
    capacity: Capacity,
    state: RefCell<State<M>>,
}

/// What [`Slots::admit`] did.
#[derive(Debug, PartialEq, Eq)]
pub enum Admitted {
    /// The slot's task has it.
    Handed,
    /// The slot has no task yet: start one.
    Start(usize),
}

impl<M> Slots<M> {
    /// All free.
    pub fn new(capacity: Capacity) -> Slots<M> {
        let state = RefCell::new(State {
            slots: Vec::new(),
            clock: 0,
            acceptor: None,
        });
        Slots { capacity, state }
    }

    /// Whether a connection could be admitted now.
    pub fn has_room(&self) -> bool {
        let state = self.state.borrow();
        state.free_slot(&self.capacity).is_some() && state.placement(&self.capacity).is_some()
    }

    /// Whether a connection that waits can be admitted now. If only a slot is wanting, whoever is
    /// idle the longest is sent away for it, which takes a moment.
    pub fn make_room(&self) -> bool {
        if self.has_room() {
            return true;
        }
        let mut state = self.state.borrow_mut();
        let oldest = state.oldest_idle(Place::Reserve);
        if let Some(oldest) = state.oldest_idle(Place::Probe).or(oldest) {
            state.evict(oldest).into_iter().for_each(Waker::wake);
        }
        false
    }

    /// Waits until a connection can be admitted.
    pub async fn room(&self) {
        poll_fn(|cx| {
            if self.has_room() {
                return Poll::Ready(());
            }
            self.state.borrow_mut().acceptor = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Gives a connection a slot.
    ///
    /// # Errors
    /// The connection, when there is no room.
    pub fn admit(&self, connection: M) -> Result<Admitted, M> {
        let mut state = self.state.borrow_mut();
        let Some(index) = state.free_slot(&self.capacity) else {
            return Err(connection);
        };
        let Some((place, oldest)) = state.placement(&self.capacity) else {
            return Err(connection);
        };
        let evicted = oldest.and_then(|oldest| state.evict(oldest));
        state.clock = state.clock.wrapping_add(1);
        let since = state.clock;
        let Some(slot) = state.slots.get_mut(index) else {
            state.slots.push(Slot {
                stage: Stage::Idle { since },
                place,
                mail: Some(connection),
                waker: None,
            });
            drop(state);
            evicted.into_iter().for_each(Waker::wake);
            return Ok(Admitted::Start(index));
        };
        slot.stage = Stage::Idle { since };
        slot.place = place;
        slot.mail = Some(connection);
        let owner = slot.waker.take();
        drop(state);
        evicted.into_iter().chain(owner).for_each(Waker::wake);
        Ok(Admitted::Handed)
    }

    /// The next connection for this slot.
    pub async fn next(&self, index: usize) -> M {
        poll_fn(|cx| {
            let slot = &mut self.state.borrow_mut().slots[index];
            match slot.mail.take() {
                Some(connection) => Poll::Ready(connection),
                None => {
                    slot.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Runs `future` unless the connection is sent away meanwhile; then there is no result.
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
            let slot = &mut self.state.borrow_mut().slots[index];
            crate::net::set_waker(&mut slot.waker, cx);
            Poll::Pending
        })
        .await
    }

    fn is_evicted(&self, index: usize) -> bool {
        self.state.borrow().slots[index].stage == Stage::Evicted
    }

    /// What the connection in this slot may do. A reserve place turns into a probe place when one has
    /// come free since the accept.
    pub fn place(&self, index: usize) -> Place {
        let mut state = self.state.borrow_mut();
        let has_probe_place = state.count(Place::Probe) < self.capacity.probes;
        let slot = &mut state.slots[index];
        if slot.place == Place::Reserve && has_probe_place {
            slot.place = Place::Probe;
        }
        slot.place
    }

    /// From here on the connection is not sent away.
    pub fn start_probing(&self, index: usize) {
        self.state.borrow_mut().slots[index].stage = Stage::Probing;
    }

    /// The app was asked; whoever takes the answer slowly can be sent away again.
    pub fn stop_probing(&self, index: usize) {
        let mut state = self.state.borrow_mut();
        state.clock = state.clock.wrapping_add(1);
        let since = state.clock;
        state.slots[index].stage = Stage::Idle { since };
        state.wake_acceptor();
    }

    /// Moves a hook to a place of its own and gives its probe place back; false when none is free.
    pub fn move_to_hook(&self, index: usize) -> bool {
        let mut state = self.state.borrow_mut();
        if state.count(Place::Hook) >= self.capacity.hooks {
            return false;
        }
        state.slots[index].place = Place::Hook;
        state.wake_acceptor();
        true
    }

    /// The connection is gone.
    pub fn free(&self, index: usize) {
        let mut state = self.state.borrow_mut();
        state.slots[index].stage = Stage::Free;
        state.wake_acceptor();
    }

    /// Connections that have a slot.
    pub fn open(&self) -> usize {
        let state = self.state.borrow();
        state
            .slots
            .iter()
            .filter(|slot| slot.stage != Stage::Free)
            .count()
    }
}

impl<M> State<M> {
    /// A slot that was used before if there is one, whose memory is warm; else the next new one.
    fn free_slot(&self, capacity: &Capacity) -> Option<usize> {
        let most = capacity.probes + capacity.hooks + capacity.reserve;
        let used = self.slots.len();
        let free = self.slots.iter().position(|slot| slot.stage == Stage::Free);
        free.or((used < most).then_some(used))
    }

    /// The place for one more connection, and who has to go for it.
    fn placement(&self, capacity: &Capacity) -> Option<(Place, Option<usize>)> {
        if self.count(Place::Probe) < capacity.probes {
            return Some((Place::Probe, None));
        }
        if let Some(oldest) = self.oldest_idle(Place::Probe) {
            return Some((Place::Probe, Some(oldest)));
        }
        if self.count(Place::Reserve) < capacity.reserve {
            return Some((Place::Reserve, None));
        }
        let oldest = self.oldest_idle(Place::Reserve)?;
        Some((Place::Reserve, Some(oldest)))
    }

    /// Marks a connection to be sent away, and gives who has to know.
    fn evict(&mut self, index: usize) -> Option<Waker> {
        self.slots[index].stage = Stage::Evicted;
        self.slots[index].waker.take()
    }

    fn count(&self, place: Place) -> usize {
        let here = |slot: &&Slot<M>| {
            slot.place == place && !matches!(slot.stage, Stage::Free | Stage::Evicted)
        };
        self.slots.iter().filter(here).count()
    }

    fn oldest_idle(&self, place: Place) -> Option<usize> {
        let age = |slot: &Slot<M>| match slot.stage {
            Stage::Idle { since } if slot.place == place => Some(self.clock.wrapping_sub(since)),
            _ => None,
        };
        let idle = self.slots.iter().enumerate();
        let idle = idle.filter_map(|(index, slot)| Some((age(slot)?, index)));
        idle.max().map(|(_, index)| index)
    }

    fn wake_acceptor(&mut self) {
        self.acceptor.take().into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
