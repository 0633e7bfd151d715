//! The loop of the one thread: run the tasks that are ready, then wait in epoll.

use core::cell::Cell;
use core::future::Future;
use std::rc::Rc;

use rustix::io;
use smol::LocalExecutor;

use super::reactor::Reactor;

/// Task steps between two calls of epoll. A task that always has work must not delay the events of others: eight reads
/// that are slow to decode delay a probe by milliseconds, not by hundreds.
const TICKS: usize = 8;

/// Runs `main` and what it spawns on `executor` until `main` is done.
///
/// # Errors
/// Those of `epoll_wait`.
pub fn run<T: 'static>(
    reactor: &Reactor,
    executor: &LocalExecutor<'static>,
    main: impl Future<Output = T> + 'static,
) -> io::Result<T> {
    let result = Rc::new(Cell::new(None));
    let task = executor.spawn({
        let result = result.clone();
        async move { result.set(Some(main.await)) }
    });
    task.detach();
    loop {
        let has_more = (0..TICKS).all(|_| executor.try_tick());
        if let Some(value) = result.take() {
            return Ok(value);
        }
        reactor.poll_events(!has_more && !reactor.has_low_priority())?;
        reactor.wake_low_priority();
    }
}
