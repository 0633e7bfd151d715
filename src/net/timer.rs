//! Deadlines: absolute, on the monotonic clock, kept as the timeout of `epoll_wait`.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::time::Instant;

use super::reactor::{Reactor, set_waker};

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Who is to be woken when. A task has few timers and there are few tasks, so a scan beats a heap.
#[derive(Default)]
pub(super) struct Timers(Vec<Option<Timer>>);

struct Timer {
    at: Instant,
    waker: Option<Waker>,
}

impl Timers {
    /// The earliest deadline that has not fired.
    pub(super) fn next(&self) -> Option<Instant> {
        let armed = self.0.iter().flatten().filter(|t| t.waker.is_some());
        armed.map(|timer| timer.at).min()
    }

    /// Wakes whoever's deadline has passed. Reads the clock only when somebody waits.
    pub(super) fn fire(&mut self) {
        let mut now = None;
        for timer in self.0.iter_mut().flatten() {
            if timer.waker.is_some() && timer.at <= *now.get_or_insert_with(Instant::now) {
                timer.waker.take().into_iter().for_each(Waker::wake);
            }
        }
    }

    fn insert(&mut self, timer: Timer) -> usize {
        match self.0.iter().position(Option::is_none) {
            Some(index) => {
                self.0[index] = Some(timer);
                index
            }
            None => {
                self.0.push(Some(timer));
                self.0.len() - 1
            }
        }
    }
}

/// One deadline of one task; takes its place in the table when it first has to wait.
struct Alarm<'r> {
    reactor: &'r Reactor,
    at: Instant,
    index: Option<usize>,
}

impl Alarm<'_> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut timers = self.reactor.timers.borrow_mut();
        let Some(index) = self.index else {
            let waker = Some(cx.waker().clone());
            self.index = Some(timers.insert(Timer { at: self.at, waker }));
            return Poll::Pending;
        };
        match &mut timers.0[index] {
            Some(timer) if timer.at > Instant::now() => {
                set_waker(&mut timer.waker, cx);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            self.reactor.timers.borrow_mut().0[index] = None;
        }
    }
}

impl Reactor {
    /// Runs `future` until it is done or `at` has come. What is ready at the deadline still counts.
    /// It is pinned by the caller: an async function that takes a future keeps it twice.
    ///
    /// # Errors
    /// [`Elapsed`] when the deadline came first.
    pub async fn before<T>(
        &self,
        at: Instant,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Elapsed> {
        let mut alarm = Alarm {
            reactor: self,
            at,
            index: None,
        };
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => alarm.poll(cx).map(|()| Err(Elapsed)),
        })
        .await
    }

    /// Waits until `at`.
    pub async fn sleep_until(&self, at: Instant) {
        let Err(Elapsed) = self
            .before(
                at,
                pin!(core::future::pending::<core::convert::Infallible>()),
            )
            .await;
    }
}
