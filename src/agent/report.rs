//! What is told of the probes: a prober's first result and then its changes, not its days of health.
//! An edge node's SD card must not wear out from a log.

use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use super::log::Logger;
use crate::config::Prober;
use crate::limits;
use crate::probe::Outcome;
use crate::telemetry::Level;

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

/// What makes one result differ from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Healthy,
    Failing(u16, Option<&'static str>),
}

/// What was last seen and last told of a prober, or of a forward.
#[derive(Clone, Copy)]
pub struct Story<V> {
    seen: Option<V>,
    told: Option<V>,
    limit: RateLimit,
}

impl<V: Copy + PartialEq> Story<V> {
    /// One whose first result is news, unless it is this one.
    pub fn new(expected: Option<V>) -> Self {
        Story {
            seen: expected,
            told: expected,
            limit: RateLimit::default(),
        }
    }

    /// Takes a result; when it is to be told, gives how many changes went untold before it.
    pub fn news(&mut self, verdict: V, now: Instant) -> Option<u32> {
        let again = self.seen.replace(verdict) == Some(verdict);
        if self.told == Some(verdict) {
            // Back from a change that went untold: this one goes untold with it.
            if !again {
                self.limit.suppressed = self.limit.suppressed.saturating_add(1);
            }
            return None;
        }
        let counted = self.limit.suppressed;
        let suppressed = self.limit.allow(now);
        if suppressed.is_some() {
            self.told = Some(verdict);
        } else if again {
            // A change that went untold is counted once, and told by a later result of its kind.
            self.limit.suppressed = counted;
        }
        suppressed
    }
}

/// A result of a probe.
pub struct Probed<'a> {
    /// The prober's number.
    pub number: usize,
    pub prober: &'a Prober,
    pub target: SocketAddr,
    pub outcome: Outcome,
    /// From the accept to the outcome.
    pub took: Duration,
}

impl Probed<'_> {
    fn verdict(&self) -> Verdict {
        if self.outcome.is_healthy() {
            Verdict::Healthy
        } else {
            Verdict::Failing(self.outcome.status(), self.outcome.reason())
        }
    }

    fn tell(&self, log: &Logger, level: Level, message: &str, suppressed: u32) {
        log.line(level, message)
            .field("path", &self.prober.path)
            .field("target", self.target)
            .maybe("reason", self.outcome.reason())
            .field("status", self.outcome.status())
            .field("ms", self.took.as_millis() as u64)
            .suppressed(suppressed);
    }
}

/// Tells results to the log.
pub struct Reports {
    stories: RefCell<Box<[Story<Verdict>]>>,
}

impl Reports {
    /// For a table of `probers`.
    pub fn new(probers: usize) -> Reports {
        Reports {
            stories: RefCell::new(vec![Story::new(None); probers].into_boxed_slice()),
        }
    }

    /// Takes a result and tells it when it is news; at debug level it tells each one.
    pub fn result(&self, log: &Logger, probed: &Probed<'_>, now: Instant) {
        probed.tell(log, Level::Debug, "probed", 0);
        let verdict = probed.verdict();
        let story = &mut self.stories.borrow_mut()[probed.number];
        let Some(suppressed) = story.news(verdict, now) else {
            return;
        };
        match verdict {
            Verdict::Healthy => probed.tell(log, Level::Info, "healthy", suppressed),
            Verdict::Failing(..) => probed.tell(log, Level::Warn, "failing", suppressed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Verdict = Verdict::Healthy;
    const DEAD: Verdict = Verdict::Failing(502, Some("refused"));
    const SLOW: Verdict = Verdict::Failing(504, Some("deadline"));

    #[test]
    fn the_first_result_is_news_and_then_each_change() {
        let (mut story, now) = (Story::new(None), Instant::now());
        let told = [WELL, WELL, DEAD, DEAD, SLOW, WELL].map(|verdict| story.news(verdict, now));
        assert_eq!(told, [Some(0), None, Some(0), None, Some(0), Some(0)]);
    }

    #[test]
    fn a_change_past_the_limit_is_told_later_with_the_number_of_those_untold() {
        let (mut story, now) = (Story::new(None), Instant::now());
        for n in 0..limits::LOG_LINES_A_MINUTE {
            let verdict = if n % 2 == 0 { WELL } else { DEAD };
            assert_eq!(story.news(verdict, now), Some(0));
        }
        // Told last: DEAD. Untold: to WELL, back to DEAD, to SLOW.
        let untold = [WELL, WELL, DEAD, SLOW, SLOW].map(|verdict| story.news(verdict, now));
        assert_eq!(untold, [None; 5]);
        assert_eq!(story.news(SLOW, now + WINDOW), Some(3));
        assert_eq!(story.news(SLOW, now + WINDOW), None);
    }

    #[test]
    fn no_minute_has_more_lines_than_the_limit() {
        let (mut limit, start) = (RateLimit::default(), Instant::now());
        let told = (0..600).map(|n| start + Duration::from_millis(500) * n);
        let told: Vec<_> = told.filter(|now| limit.allow(*now).is_some()).collect();
        for line in &told {
            let minute = told.iter().filter(|t| (*line..*line + WINDOW).contains(*t));
            assert!(minute.count() <= limits::LOG_LINES_A_MINUTE);
        }
        assert_eq!(told.len(), 5 * limits::LOG_LINES_A_MINUTE);
    }
}
