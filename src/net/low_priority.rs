//! Turns of tasks that continue after those that are ready.

use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;

use super::reactor::Reactor;
use super::task::set_waker;

/// The tasks that wait in [`Reactor::yield_low_priority`], in order.
#[derive(Default)]
pub(super) struct TurnQueue {
    /// Their wakers; none for a task that was dropped.
    waiting: VecDeque<Option<Waker>>,
    /// The number of the first one's turn.
    first: u64,
}

/// The turn of a task. Dropping it removes the task from the queue.
struct Turn<'r> {
    reactor: &'r Reactor,
    number: u64,
}

impl TurnQueue {
    /// Appends a turn, and returns its number.
    fn enqueue(&mut self) -> u64 {
        self.waiting.push_back(None);
        self.first + (self.waiting.len() - 1) as u64
    }

    fn waker(&mut self, turn: u64) -> Option<&mut Option<Waker>> {
        let index = usize::try_from(turn.checked_sub(self.first)?).ok()?;
        self.waiting.get_mut(index)
    }

    /// Ready once the turn has come.
    fn poll(&mut self, turn: u64, cx: &Context<'_>) -> Poll<()> {
        match self.waker(turn) {
            Some(waker) => {
                set_waker(waker, cx);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// Removes a turn that has not come.
    fn remove(&mut self, turn: u64) {
        if let Some(waker) = self.waker(turn) {
            *waker = None;
            while self.waiting.pop_back_if(|waker| waker.is_none()).is_some() {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Removes the first turn, and returns its task.
    #[inline(never)]
    pub(super) fn pop(&mut self) -> Option<Waker> {
        while let Some(first) = self.waiting.pop_front() {
            self.first += 1;
            if first.is_some() {
                return first;
            }
        }
        None
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.reactor.low_priority.borrow_mut().remove(self.number);
    }
}

impl Reactor {
    /// Lets the tasks run that are ready, and those whose events have arrived. The tasks that wait here continue one after
    /// the other, each after an `epoll_wait`, also if an event of their own wakes them before: bulk data of many
    /// connections delays a probe by little more than one of them does.
    pub async fn yield_low_priority(&self) {
        let turn = Turn {
            reactor: self,
            number: self.low_priority.borrow_mut().enqueue(),
        };
        poll_fn(|cx| self.low_priority.borrow_mut().poll(turn.number, cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::pin;

    fn reactor() -> Reactor {
        Reactor::new(vec![0; 16].leak()).expect("an epoll instance")
    }

    macro_rules! poll {
        ($future:expr) => {
            $future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        };
    }

    #[test]
    fn a_task_that_other_events_wake_waits_for_its_turn() {
        let reactor = reactor();
        let mut first = pin!(reactor.yield_low_priority());
        let mut second = pin!(reactor.yield_low_priority());
        for _ in 0..1000 {
            assert!(poll!(first).is_pending() && poll!(second).is_pending());
        }
        assert_eq!(reactor.low_priority.borrow().waiting.len(), 2);
        reactor.wake_low_priority();
        assert!(poll!(second).is_pending() && poll!(first).is_ready());
        reactor.wake_low_priority();
        assert!(poll!(second).is_ready());
        assert!(!reactor.has_low_priority());
    }

    #[test]
    fn a_task_that_is_dropped_delays_no_other() {
        let reactor = reactor();
        let mut first = Box::pin(reactor.yield_low_priority());
        let mut second = pin!(reactor.yield_low_priority());
        let mut third = Box::pin(reactor.yield_low_priority());
        assert!(poll!(first).is_pending() && poll!(second).is_pending());
        assert!(poll!(third).is_pending());
        drop(first);
        drop(third);
        reactor.wake_low_priority();
        assert!(poll!(second).is_ready());
        assert!(!reactor.has_low_priority());
    }
}
