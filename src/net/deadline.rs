//! Waiting with a deadline: absolute, on the monotonic clock, and the timeout of `epoll_wait`.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::time::Instant;

use super::reactor::Reactor;

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// One deadline of one task. It enters the reactor's table at the first poll that has to wait.
struct Alarm<'r> {
    reactor: &'r Reactor,
    deadline: Instant,
    index: Option<usize>,
}

impl Alarm<'_> {
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

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            self.reactor.timers.borrow_mut().remove(index);
        }
    }
}

impl Reactor {
    /// Runs `future` until it is done or `deadline` has passed. A result that is ready at the deadline still counts.
    /// The caller pins the future: an async function that takes one by value stores it twice.
    ///
    /// # Errors
    /// [`Elapsed`] when the deadline passed first.
    pub async fn before<T>(
        &self,
        deadline: Instant,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Elapsed> {
        let mut alarm = Alarm {
            reactor: self,
            deadline,
            index: None,
        };
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => alarm.poll(cx).map(|()| Err(Elapsed)),
        })
        .await
    }

    /// Waits until `deadline`.
    pub async fn sleep_until(&self, deadline: Instant) {
        let never = core::future::pending::<core::convert::Infallible>();
        let Err(Elapsed) = self.before(deadline, pin!(never)).await;
    }
}
