//! Timeouts: absolute deadlines on the monotonic clock, enforced by the timeout of `epoll_wait`.

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::time::Instant;

use super::reactor::Reactor;
use super::task::set_waker;

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// An entry of the reactor's [`Timers`](super::timers::Timers), removed on drop. It is inserted at the first poll that
/// has to wait.
struct TimerGuard<'r> {
    reactor: &'r Reactor,
    deadline: Instant,
    index: Option<usize>,
}

impl TimerGuard<'_> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut timers = self.reactor.timers.borrow_mut();
        match self.index {
            Some(index) => timers.poll(index, cx),
            None => {
                self.index = Some(timers.insert(self.deadline, cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for TimerGuard<'_> {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            self.reactor.timers.borrow_mut().remove(index);
        }
    }
}

impl Reactor {
    /// Runs `future` until it is done or `deadline` has passed. A result that is ready at the deadline still counts.
    /// The caller pins the future: an async function that owns one stores it twice.
    ///
    /// # Errors
    /// [`Elapsed`] when the deadline passed first.
    pub async fn timeout_at<T>(
        &self,
        deadline: Instant,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Elapsed> {
        let mut timer = TimerGuard {
            reactor: self,
            deadline,
            index: None,
        };
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => timer.poll(cx).map(|()| Err(Elapsed)),
        })
        .await
    }

    /// Waits until `deadline`.
    pub async fn sleep_until(&self, deadline: Instant) {
        let never = core::future::pending::<core::convert::Infallible>();
        let Err(Elapsed) = self.timeout_at(deadline, pin!(never)).await;
    }
}

/// A deadline that changes while a task waits for it.
#[derive(Default)]
pub struct Alarm {
    at: Cell<Option<Instant>>,
    waker: RefCell<Option<Waker>>,
}

impl Alarm {
    /// Sets the deadline, or none.
    pub fn set(&self, at: Option<Instant>) {
        if self.at.replace(at) != at {
            let waiting = self.waker.borrow_mut().take();
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Waits until the deadline, or for good while none is set.
    pub async fn wait(&self, reactor: &Reactor) {
        loop {
            let at = self.at.get();
            let changed = pin!(poll_fn(|cx| {
                if self.at.get() != at {
                    return Poll::Ready(());
                }
                set_waker(&mut self.waker.borrow_mut(), cx);
                Poll::Pending
            }));
            match at {
                None => changed.await,
                Some(deadline) => {
                    if reactor.timeout_at(deadline, changed).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
