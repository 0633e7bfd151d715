//! Turns at the handshake: so many at once, and those who wait are served in order.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::net::set_waker;

/// The turns, and who waits for one.
pub(super) struct Permits {
    free: Cell<usize>,
    /// The next ticket's number.
    next: Cell<u32>,
    waiting: RefCell<VecDeque<Waiting>>,
}

struct Waiting {
    ticket: u32,
    waker: Option<Waker>,
    /// A turn was passed on to this one, which has not taken it up yet.
    granted: bool,
}

/// A turn; it ends when this is dropped.
pub(super) struct Permit(Rc<Permits>);

/// A place in the queue. Who leaves it with a turn passed on to them passes it on further.
struct Ticket {
    permits: Rc<Permits>,
    number: u32,
}

impl Permits {
    pub(super) fn new(permits: usize) -> Rc<Permits> {
        Rc::new(Permits {
            free: Cell::new(permits),
            next: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// A turn, if there is one now. Nobody waits then: a turn that comes free is passed on.
    pub(super) fn take_now(self: &Rc<Self>) -> Option<Permit> {
        self.free.set(self.free.get().checked_sub(1)?);
        Some(Permit(self.clone()))
    }

    /// Waits for a turn.
    pub(super) async fn take(self: &Rc<Self>) -> Permit {
        if let Some(permit) = self.take_now() {
            return permit;
        }
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        self.waiting.borrow_mut().push_back(Waiting {
            ticket: number,
            waker: None,
            granted: false,
        });
        let ticket = Ticket {
            permits: self.clone(),
            number,
        };
        poll_fn(|cx| ticket.poll(cx)).await
    }

    /// Passes a turn on to whoever has waited longest.
    fn pass_on(&self) {
        let mut waiting = self.waiting.borrow_mut();
        let waker = match waiting.iter_mut().find(|waiting| !waiting.granted) {
            Some(next) => {
                next.granted = true;
                next.waker.take()
            }
            None => {
                self.free.set(self.free.get() + 1);
                None
            }
        };
        drop(waiting);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Takes somebody out of the queue; true when a turn had been passed on to them.
    fn leave(&self, number: u32) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let index = waiting.iter().position(|waiting| waiting.ticket == number);
        let left = index.and_then(|index| waiting.remove(index));
        left.is_some_and(|left| left.granted)
    }
}

impl Ticket {
    fn poll(&self, cx: &Context<'_>) -> Poll<Permit> {
        let mut waiting = self.permits.waiting.borrow_mut();
        let mut all = waiting.iter_mut();
        match all.find(|waiting| waiting.ticket == self.number) {
            Some(waiting) if !waiting.granted => {
                set_waker(&mut waiting.waker, cx);
                return Poll::Pending;
            }
            _ => {}
        }
        drop(waiting);
        self.permits.leave(self.number);
        Poll::Ready(Permit(self.permits.clone()))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.permits.leave(self.number) {
            self.permits.pass_on();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::pin;

    /// Polls once, as a task would that nobody woke.
    macro_rules! poll {
        ($future:expr) => {
            $future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        };
    }

    #[test]
    fn those_who_wait_are_served_in_order() {
        let permits = Permits::new(1);
        let first = permits.take_now().expect("one is free");
        assert!(permits.take_now().is_none());
        let (mut second, mut third) = (pin!(permits.take()), pin!(permits.take()));
        assert!(poll!(second).is_pending() && poll!(third).is_pending());
        drop(first);
        assert!(poll!(third).is_pending() && permits.take_now().is_none());
        let Poll::Ready(second) = poll!(second) else {
            panic!("it is the second one's turn");
        };
        drop(second);
        assert!(poll!(third).is_ready());
        assert!(permits.waiting.borrow().is_empty());
        assert_eq!(permits.free.get(), 1);
    }

    #[test]
    fn whoever_gives_up_waiting_takes_no_turn_along() {
        let permits = Permits::new(1);
        let first = permits.take_now().expect("one is free");
        let mut last = pin!(permits.take());
        {
            let (mut granted, mut not_yet) = (pin!(permits.take()), pin!(permits.take()));
            assert!(poll!(granted).is_pending() && poll!(not_yet).is_pending());
            assert!(poll!(last).is_pending());
            drop(first);
        }
        assert!(poll!(last).is_ready(), "the turn was passed on twice");
        assert!(permits.waiting.borrow().is_empty());
        assert_eq!(permits.free.get(), 1);
    }

    #[test]
    fn there_are_never_more_turns_than_permits() {
        let permits = Permits::new(3);
        let all: Vec<_> = core::iter::from_fn(|| permits.take_now()).collect();
        assert_eq!(all.len(), 3);
        drop(all);
        assert_eq!(permits.free.get(), 3);
    }
}
