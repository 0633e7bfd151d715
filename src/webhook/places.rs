//! The connections there are: how many, what each is at, and which one makes room for another.

use super::stream::before;
use crate::limits;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use smol::Task;
use std::collections::BTreeMap;
use std::time::Instant;

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// TLS is not there yet.
    Handshake,
    /// It may send a request.
    Idle,
    /// It has begun one whose head is not whole, so nobody knows yet what is asked.
    Head,
    /// Its request is being served.
    Busy,
}

/// The name of a connection.
pub type Id = u64;

#[derive(Debug)]
struct Place {
    phase: Phase,
    since: Instant,
    /// Dropped, it takes the connection with it.
    task: Option<Task<()>>,
}

/// The connections there are.
#[derive(Debug)]
pub struct Places {
    most: usize,
    list: RefCell<BTreeMap<Id, Place>>,
    next: Cell<Id>,
    evicted: Cell<u64>,
    /// Whoever waits for a place, or for all to end.
    waits: RefCell<Option<Waker>>,
}

impl Places {
    /// So many of them, at most.
    pub fn new(most: usize) -> Places {
        Places {
            most,
            list: RefCell::default(),
            next: Cell::new(0),
            evicted: Cell::new(0),
            waits: RefCell::default(),
        }
    }

    /// A place for a connection that was accepted.
    pub fn open(&self) -> Id {
        let id = self.next.get();
        self.next.set(id + 1);
        let place = Place {
            phase: Phase::Handshake,
            since: Instant::now(),
            task: None,
        };
        self.list.borrow_mut().insert(id, place);
        id
    }

    /// Keeps what serves a connection, if it is not over already.
    pub fn keep(&self, id: Id, task: Task<()>) {
        match self.list.borrow_mut().get_mut(&id) {
            Some(place) => place.task = Some(task),
            None => task.detach(),
        }
    }

    /// A connection is over, which its own task says.
    pub fn close(&self, id: Id) {
        let place = self.list.borrow_mut().remove(&id);
        if let Some(task) = place.and_then(|place| place.task) {
            task.detach();
        }
        self.wake();
    }

    /// A connection is at something else now.
    pub fn enter(&self, id: Id, phase: Phase) {
        if let Some(place) = self.list.borrow_mut().get_mut(&id) {
            place.phase = phase;
            place.since = Instant::now();
        }
        self.wake();
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.borrow().len()
    }

    /// How many are at this.
    pub fn count_at(&self, phase: Phase) -> usize {
        let list = self.list.borrow();
        list.values().filter(|place| place.phase == phase).count()
    }

    /// How many had to make room so far.
    pub fn evicted(&self) -> u64 {
        self.evicted.get()
    }

    /// Waits until another connection may be accepted, for which one may have to go.
    pub async fn room(&self) {
        while !self.has_room() && !self.make_room() {
            match self.oldest(Phase::Handshake) {
                Some((_, since)) => {
                    let stale = since + limits::WEBHOOK_HANDSHAKE_STALE;
                    before(stale, self.changed()).await;
                }
                None => self.changed().await,
            }
        }
    }

    fn has_room(&self) -> bool {
        self.count() < self.most && !self.is_shaking_hands_enough()
    }

    fn is_shaking_hands_enough(&self) -> bool {
        self.count_at(Phase::Handshake) >= limits::WEBHOOK_HANDSHAKES
    }

    /// A head that does not end goes before the API server's connection, which is idle between two pods.
    fn make_room(&self) -> bool {
        let stale = self
            .oldest(Phase::Handshake)
            .filter(|(_, since)| since.elapsed() >= limits::WEBHOOK_HANDSHAKE_STALE);
        let unasked = || match self.is_shaking_hands_enough() {
            true => None,
            false => self
                .oldest(Phase::Head)
                .or_else(|| self.oldest(Phase::Idle)),
        };
        let Some((id, _)) = stale.or_else(unasked) else {
            return false;
        };
        // It is dropped when nothing is borrowed any more.
        let place = self.list.borrow_mut().remove(&id);
        self.evicted.set(self.evicted.get() + 1);
        place.is_some()
    }

    fn oldest(&self, phase: Phase) -> Option<(Id, Instant)> {
        let list = self.list.borrow();
        let at = list.iter().filter(|(_, place)| place.phase == phase);
        at.map(|(id, place)| (*id, place.since))
            .min_by_key(|(_, since)| *since)
    }

    /// Ends every connection that has not begun a request.
    pub fn close_unasked(&self) {
        let mut gone = Vec::new();
        let mut list = self.list.borrow_mut();
        list.retain(|_, place| {
            let stays = matches!(place.phase, Phase::Head | Phase::Busy);
            if !stays {
                gone.extend(place.task.take());
            }
            stays
        });
    }

    /// Waits until there is none.
    pub async fn ended(&self) {
        while self.count() > 0 {
            self.changed().await;
        }
    }

    /// Waits until one ends or comes to something else. One waits at a time: the one that accepts, or drains.
    async fn changed(&self) {
        let mut waited = false;
        poll_fn(|cx| {
            if core::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            *self.waits.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        if let Some(waker) = self.waits.borrow_mut().take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests;
