//! The table of deadlines that the reactor waits for.

use core::task::{Context, Poll, Waker};
use std::time::Instant;

use super::task::set_waker;

/// Deadlines and the tasks to wake. A task has few timers and there are few tasks, so a scan beats a heap.
#[derive(Default)]
pub(super) struct Timers(Vec<Option<Timer>>);

struct Timer {
    deadline: Instant,
    waker: Option<Waker>,
}

impl Timers {
    /// The earliest deadline that has not fired.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let armed = self.0.iter().flatten().filter(|t| t.waker.is_some());
        armed.map(|timer| timer.deadline).min()
    }

    /// Wakes the tasks whose deadline has passed. Reads the clock only when a task waits.
    pub(super) fn fire(&mut self) {
        let mut now = None;
        for timer in self.0.iter_mut().flatten() {
            if timer.waker.is_some() && timer.deadline <= *now.get_or_insert_with(Instant::now) {
                timer.waker.take().into_iter().for_each(Waker::wake);
            }
        }
    }

    /// Adds a timer. Returns its index, which is valid until [`Timers::remove`].
    pub(super) fn insert(&mut self, deadline: Instant, waker: Waker) -> usize {
        let timer = Some(Timer {
            deadline,
            waker: Some(waker),
        });
        match self.0.iter().position(Option::is_none) {
            Some(index) => {
                self.0[index] = timer;
                index
            }
            None => {
                self.0.push(timer);
                self.0.len() - 1
            }
        }
    }

    /// Ready once the deadline has passed; otherwise the task is woken when it does.
    pub(super) fn poll(&mut self, index: usize, cx: &Context<'_>) -> Poll<()> {
        match &mut self.0[index] {
            Some(timer) if timer.deadline > Instant::now() => {
                set_waker(&mut timer.waker, cx);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    pub(super) fn remove(&mut self, index: usize) {
        self.0[index] = None;
    }
}
