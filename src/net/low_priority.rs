//! Turns of tasks that continue after those that are ready.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;

use super::task::set_waker;

/// The tasks that wait for their turn, in order.
#[derive(Default)]
pub(super) struct TurnQueue {
    /// Their wakers; none for a task that was dropped.
    waiting: VecDeque<Option<Waker>>,
    /// The number of the first one's turn.
    first: u64,
}

/// The turn of a task. Dropping it removes the task from the queue.
struct Turn<'q> {
    queue: &'q RefCell<TurnQueue>,
    number: u64,
}

/// Waits until [`TurnQueue::pop`] has removed as many turns as wait now, and the one of this task.
pub(super) async fn wait_turn(queue: &RefCell<TurnQueue>) {
    let turn = Turn {
        queue,
        number: queue.borrow_mut().enqueue(),
    };
    poll_fn(|cx| queue.borrow_mut().poll(turn.number, cx)).await;
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
        self.queue.borrow_mut().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::pin;

    fn queue() -> RefCell<TurnQueue> {
        RefCell::default()
    }

    fn wake_first(queue: &RefCell<TurnQueue>) {
        let first = queue.borrow_mut().pop();
        first.into_iter().for_each(Waker::wake);
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
        let queue = queue();
        let mut first = pin!(wait_turn(&queue));
        let mut second = pin!(wait_turn(&queue));
        for _ in 0..1000 {
            assert!(poll!(first).is_pending() && poll!(second).is_pending());
        }
        assert_eq!(queue.borrow().waiting.len(), 2);
        wake_first(&queue);
        assert!(poll!(second).is_pending() && poll!(first).is_ready());
        wake_first(&queue);
        assert!(poll!(second).is_ready());
        assert!(queue.borrow().is_empty());
    }

    #[test]
    fn a_task_that_is_dropped_delays_no_other() {
        let queue = queue();
        let mut first = Box::pin(wait_turn(&queue));
        let mut second = pin!(wait_turn(&queue));
        let mut third = Box::pin(wait_turn(&queue));
        assert!(poll!(first).is_pending() && poll!(second).is_pending());
        assert!(poll!(third).is_pending());
        drop(first);
        drop(third);
        wake_first(&queue);
        assert!(poll!(second).is_ready());
        assert!(queue.borrow().is_empty());
    }
}
