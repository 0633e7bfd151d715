//! Turns at the handshake: so many at once, shared out among the app's ports, and those who wait are served
//! in order.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::net::set_waker;

/// The turns, and who waits for one.
pub(super) struct Permits {
    turns: usize,
    /// The next ticket's number.
    next: Cell<u32>,
    /// The ports of those who have a turn.
    held: RefCell<Vec<u16>>,
    waiting: RefCell<VecDeque<Waiting>>,
    /// How many gave up before their turn came.
    given_up: Cell<usize>,
}

struct Waiting {
    ticket: u32,
    port: u16,
    waker: Option<Waker>,
    /// A turn was passed on to this one, which has not taken it up yet.
    granted: bool,
}

/// A turn; it ends when this is dropped.
pub(super) struct Permit {
    permits: Rc<Permits>,
    port: u16,
}

/// A place in the queue. Who leaves it with a turn passed on to them passes it on further.
struct Ticket {
    permits: Rc<Permits>,
    number: u32,
    port: u16,
}

impl Permits {
    pub(super) fn new(turns: usize) -> Rc<Permits> {
        Rc::new(Permits {
            turns,
            next: Cell::new(0),
            held: RefCell::default(),
            waiting: RefCell::default(),
            given_up: Cell::new(0),
        })
    }

    /// How many gave up waiting since this was last asked.
    pub(super) fn take_given_up(&self) -> usize {
        self.given_up.take()
    }

    /// A turn, if there is one for `port` now.
    pub(super) fn take_now(self: &Rc<Self>, port: u16) -> Option<Permit> {
        self.begin(port).then(|| self.permit(port))
    }

    /// Waits for a turn.
    pub(super) async fn take(self: &Rc<Self>, port: u16) -> Permit {
        if let Some(permit) = self.take_now(port) {
            return permit;
        }
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        self.waiting.borrow_mut().push_back(Waiting {
            ticket: number,
            port,
            waker: None,
            granted: false,
        });
        let ticket = Ticket {
            permits: self.clone(),
            number,
            port,
        };
        poll_fn(|cx| ticket.poll(cx)).await
    }

    fn permit(self: &Rc<Self>, port: u16) -> Permit {
        Permit {
            permits: self.clone(),
            port,
        }
    }

    /// Begins a turn where one may: the more of them a port has, the more others must be free. An app that
    /// hangs in its handshakes gets half of them, the next one half of the rest, and so on.
    fn begin(&self, port: u16) -> bool {
        let mut held = self.held.borrow_mut();
        let own = held.iter().filter(|other| **other == port).count();
        let begins = self.turns - held.len() > own;
        if begins {
            held.push(port);
        }
        begins
    }

    /// Ends a turn, and passes it on to whoever has waited longest and may have it.
    fn end(&self, port: u16) {
        let mut held = self.held.borrow_mut();
        if let Some(turn) = held.iter().position(|other| *other == port) {
            held.swap_remove(turn);
        }
        drop(held);
        let mut wakers = Vec::new();
        let mut waiting = self.waiting.borrow_mut();
        for next in waiting.iter_mut().filter(|waiting| !waiting.granted) {
            next.granted = self.begin(next.port);
            wakers.extend(next.waker.take_if(|_| next.granted));
        }
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Takes somebody out of the queue.
    fn leave(&self, number: u32) -> Option<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let index = waiting.iter().position(|waiting| waiting.ticket == number);
        index.and_then(|index| waiting.remove(index))
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
        Poll::Ready(self.permits.permit(self.port))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        match self.permits.leave(self.number) {
            Some(left) if left.granted => self.permits.end(self.port),
            Some(_) => self.permits.given_up.set(self.permits.given_up.get() + 1),
            // It has its turn.
            None => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.end(self.port);
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

    const WEB: u16 = 8443;

    fn assert_all_free(permits: &Permits) {
        assert!(permits.waiting.borrow().is_empty());
        assert!(permits.held.borrow().is_empty());
    }

    #[test]
    fn those_who_wait_are_served_in_order() {
        let permits = Permits::new(1);
        let first = permits.take_now(WEB).expect("one is free");
        assert!(permits.take_now(WEB).is_none());
        let (mut second, mut third) = (pin!(permits.take(WEB)), pin!(permits.take(WEB)));
        assert!(poll!(second).is_pending() && poll!(third).is_pending());
        drop(first);
        assert!(poll!(third).is_pending() && permits.take_now(WEB).is_none());
        let Poll::Ready(second) = poll!(second) else {
            panic!("it is the second one's turn");
        };
        drop(second);
        assert!(poll!(third).is_ready());
        assert_all_free(&permits);
    }

    #[test]
    fn whoever_gives_up_waiting_takes_no_turn_along() {
        let permits = Permits::new(1);
        let first = permits.take_now(WEB).expect("one is free");
        let mut last = pin!(permits.take(WEB));
        {
            let (mut granted, mut not_yet) = (pin!(permits.take(WEB)), pin!(permits.take(WEB)));
            assert!(poll!(granted).is_pending() && poll!(not_yet).is_pending());
            assert!(poll!(last).is_pending());
            drop(first);
        }
        assert!(poll!(last).is_ready(), "the turn was passed on twice");
        assert_eq!(
            permits.take_given_up(),
            1,
            "one had its turn and did not know"
        );
        assert_all_free(&permits);
    }

    #[test]
    fn a_port_gets_half_of_what_is_left_and_the_next_one_half_of_the_rest() {
        let permits = Permits::new(8);
        let shares: Vec<Vec<_>> = (1..6)
            .map(|port| Vec::from_iter(core::iter::from_fn(|| permits.take_now(port))))
            .collect();
        let counts = shares.iter().map(Vec::len);
        assert_eq!(counts.collect::<Vec<_>>(), [4, 2, 1, 1, 0]);
        drop(shares);
        assert_all_free(&permits);
    }

    #[test]
    fn whoever_may_not_begin_yet_does_not_keep_others_from_it() {
        let permits = Permits::new(4);
        let mut hung: Vec<_> = core::iter::from_fn(|| permits.take_now(1)).collect();
        assert_eq!(hung.len(), 2);
        let mut more = pin!(permits.take(1));
        assert!(poll!(more).is_pending());
        let other = permits.take_now(2).expect("it has none yet");
        drop(other);
        assert!(poll!(more).is_pending());
        hung.pop();
        assert!(poll!(more).is_ready());
        drop(hung);
        assert_all_free(&permits);
    }
}
