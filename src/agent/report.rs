//! What is told of the probes: a prober's first result and then its changes, not its days of health.
//! An edge node's SD card must not wear out from a log.

use core::cell::RefCell;
use core::fmt::Display;
use core::time::Duration;
use std::time::Instant;

use super::log::Logger;
use crate::config::{Level, Prober};
use crate::limits;
use crate::probe::Outcome;

/// The time over which lines are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// At most [`limits::LOG_LINES_A_MINUTE`] lines of one source in any minute.
#[derive(Clone, Copy, Default)]
pub struct RateLimit {
    /// When the last lines were written, from `oldest` on round and round.
    written: [Option<Instant>; limits::LOG_LINES_A_MINUTE],
    oldest: usize,
    suppressed: u32,
}

impl RateLimit {
    /// Whether a line may be written now; then it is to say how many went untold before it.
    pub fn allow(&mut self, now: Instant) -> Option<u32> {
        let oldest = &mut self.written[self.oldest];
        if oldest.is_some_and(|written| now < written + WINDOW) {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        *oldest = Some(now);
        self.oldest = (self.oldest + 1) % limits::LOG_LINES_A_MINUTE;
        Some(core::mem::take(&mut self.suppressed))
    }
}

/// What was last seen and last told of a prober.
#[derive(Clone, Copy, Default)]
struct Story {
    seen: Option<Verdict>,
    told: Option<Verdict>,
    limit: RateLimit,
}

/// What makes one result differ from another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Healthy,
    Failing(u16, Option<&'static str>),
}

/// Tells results to the log.
pub struct Reports {
    stories: RefCell<Box<[Story]>>,
}

impl Reports {
    /// For a table of `probers`.
    pub fn new(probers: usize) -> Reports {
        Reports {
            stories: RefCell::new(vec![Story::default(); probers].into_boxed_slice()),
        }
    }

    /// Takes a result of prober number `index` and tells it when it is news.
    pub fn result(
        &self,
        log: &Logger,
        index: usize,
        prober: &Prober,
        target: &impl Display,
        outcome: Outcome,
        took: Duration,
    ) {
        let verdict = if outcome.is_healthy() {
            Verdict::Healthy
        } else {
            Verdict::Failing(outcome.status(), outcome.reason())
        };
        let story = &mut self.stories.borrow_mut()[index];
        let again = story.seen == Some(verdict);
        story.seen = Some(verdict);
        if story.told == Some(verdict) {
            // Back from a change that went untold: this one goes untold with it.
            if !again {
                story.limit.suppressed = story.limit.suppressed.saturating_add(1);
            }
            return;
        }
        // A change that went untold is told by a later result of its kind, and counted only once.
        let counted = story.limit.suppressed;
        let Some(suppressed) = story.limit.allow(Instant::now()) else {
            if again {
                story.limit.suppressed = counted;
            }
            return;
        };
        story.told = Some(verdict);
        let (level, message) = match verdict {
            Verdict::Healthy => (Level::Info, "healthy"),
            Verdict::Failing(..) => (Level::Warn, "failing"),
        };
        log.line(level, message)
            .field("path", &prober.path)
            .field("target", target)
            .maybe("reason", outcome.reason())
            .field("status", outcome.status())
            .field("ms", took.as_millis() as u64)
            .suppressed(suppressed);
    }
}
