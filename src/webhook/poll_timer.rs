//! How often a file is polled for changes, at most.

use core::time::Duration;
use std::time::Instant;

/// Limits polls to one in each interval.
#[derive(Debug)]
pub struct PollTimer {
    interval: Duration,
    next: Instant,
}

impl PollTimer {
    /// The first poll may happen at once.
    pub fn new(interval: Duration) -> PollTimer {
        PollTimer {
            interval,
            next: Instant::now(),
        }
    }

    /// Starts a poll. Returns false if the last one started less than an interval ago.
    pub fn try_start(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.next = now + self.interval;
        }
        is_due
    }
}
