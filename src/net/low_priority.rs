//! Turns of tasks that continue after those that are ready: handshakes and transfers of data, alternately.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;

use super::task::set_waker;

/// What a task does in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Passes on data.
    Data,
    /// Processes a message of a client's handshake.
    #[cfg(feature = "tls")]
    Handshake,
}

impl Work {
    const COUNT: usize = 2;
}

/// The tasks that wait for their turn, by the kind of their work. The kinds alternate: however many handshakes wait, every
/// second turn passes on data.
#[derive(Default)]
pub(super) struct Turns {
    queues: [TurnQueue; Work::COUNT],
    /// The kind that goes first, if a task of it waits.
    next: usize,
}

/// The tasks that wait for their turn, in order.
#[derive(Default)]
struct TurnQueue {
    /// Their wakers; none for a task that was dropped.
    waiting: VecDeque<Option<Waker>>,
    /// The number of the first one's turn.
    first: u64,
}

/// The turn of a task. Dropping it removes the task from its queue.
struct Turn<'t> {
    turns: &'t RefCell<Turns>,
    work: Work,
    number: u64,
}

/// Waits until [`Turns::pop`] has removed as many turns of this kind as wait now, and the one of this task.
pub(super) async fn wait_turn(turns: &RefCell<Turns>, work: Work) {
    let turn = Turn {
        turns,
        work,
        number: turns.borrow_mut().queue(work).enqueue(),
    };
    poll_fn(|cx| turns.borrow_mut().queue(work).poll(turn.number, cx)).await;
}

impl Turns {
    fn queue(&mut self, work: Work) -> &mut TurnQueue {
        &mut self.queues[work as usize]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.waiting.is_empty())
    }

    /// Removes the first turn of the kind that is next, and returns its task.
    #[inline(never)]
    pub(super) fn pop(&mut self) -> Option<Waker> {
        for kind in [self.next, 1 - self.next] {
            if let Some(first) = self.queues[kind].pop() {
                self.next = 1 - kind;
                return Some(first);
            }
        }
        None
    }
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

    fn pop(&mut self) -> Option<Waker> {
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
        let mut turns = self.turns.borrow_mut();
        turns.queue(self.work).remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::pin;

    fn turns() -> RefCell<Turns> {
        RefCell::default()
    }

    fn wake_first(turns: &RefCell<Turns>) {
        let first = turns.borrow_mut().pop();
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
        let turns = turns();
        let mut first = pin!(wait_turn(&turns, Work::Data));
        let mut second = pin!(wait_turn(&turns, Work::Data));
        for _ in 0..1000 {
            assert!(poll!(first).is_pending() && poll!(second).is_pending());
        }
        assert_eq!(turns.borrow_mut().queue(Work::Data).waiting.len(), 2);
        wake_first(&turns);
        assert!(poll!(second).is_pending() && poll!(first).is_ready());
        wake_first(&turns);
        assert!(poll!(second).is_ready());
        assert!(turns.borrow().is_empty());
    }

    #[test]
    fn a_task_that_is_dropped_delays_no_other() {
        let turns = turns();
        let mut first = Box::pin(wait_turn(&turns, Work::Data));
        let mut second = pin!(wait_turn(&turns, Work::Data));
        let mut third = Box::pin(wait_turn(&turns, Work::Data));
        assert!(poll!(first).is_pending() && poll!(second).is_pending());
        assert!(poll!(third).is_pending());
        drop(first);
        drop(third);
        wake_first(&turns);
        assert!(poll!(second).is_ready());
        assert!(turns.borrow().is_empty());
    }

    #[cfg(feature = "tls")]
    #[test]
    fn data_has_every_second_turn_beside_a_flood_of_handshakes() {
        let turns = turns();
        let handshake = || Box::pin(wait_turn(&turns, Work::Handshake));
        let mut handshakes: Vec<_> = (0..32).map(|_| handshake()).collect();
        for waiting in &mut handshakes {
            assert!(poll!(waiting).is_pending());
        }
        let mut data = Box::pin(wait_turn(&turns, Work::Data));
        let (mut data_turns, mut handshake_turns) = (0, 0);
        assert!(poll!(data).is_pending());
        while data_turns < 10 {
            wake_first(&turns);
            if poll!(data).is_ready() {
                data_turns += 1;
                data = Box::pin(wait_turn(&turns, Work::Data));
                assert!(poll!(data).is_pending());
            }
            // Each waits again after its turn.
            for waiting in &mut handshakes {
                if poll!(waiting).is_ready() {
                    handshake_turns += 1;
                    *waiting = handshake();
                    assert!(poll!(waiting).is_pending());
                }
            }
        }
        assert!((9..=11).contains(&handshake_turns), "{handshake_turns}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn one_kind_alone_has_all_turns() {
        let turns = turns();
        let mut first = pin!(wait_turn(&turns, Work::Handshake));
        let mut second = pin!(wait_turn(&turns, Work::Handshake));
        assert!(poll!(first).is_pending() && poll!(second).is_pending());
        wake_first(&turns);
        wake_first(&turns);
        assert!(poll!(first).is_ready() && poll!(second).is_ready());
    }
}
