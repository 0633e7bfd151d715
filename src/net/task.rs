//! Helpers of tasks: wakers that are cloned only when they change, and a way to yield.

use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

/// Stores the task's waker, unless the stored one wakes the same task: one clone less at each wait.
pub fn set_waker(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *slot = Some(cx.waker().clone()),
    }
}

/// Lets the other tasks and epoll run first.
pub async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if core::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
