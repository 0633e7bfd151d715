//! Limits the log lines of one source. An SD card must not wear out from a log, and a client must not be able to fill
//! it.

use core::cell::RefCell;
use core::time::Duration;
use std::time::Instant;

use crate::limits;

/// The window over which lines are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// At most `LINES` lines within any 60 seconds: the window slides. A fixed window would let through twice
/// as many around its boundary.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit<const LINES: usize = { limits::LOG_LINES_PER_MINUTE }> {
    /// When the last lines were written: a ring whose oldest entry is at `oldest`.
    written: [Option<Instant>; LINES],
    oldest: u32,
    suppressed: u32,
}

impl<const LINES: usize> Default for RateLimit<LINES> {
    fn default() -> Self {
        RateLimit {
            written: [None; LINES],
            oldest: 0,
            suppressed: 0,
        }
    }
}

impl<const LINES: usize> RateLimit<LINES> {
    /// Counts a line if one may be written now, and returns the number of lines suppressed before it. Else
    /// counts it as suppressed.
    pub fn try_acquire(&mut self, now: Instant) -> Option<u32> {
        if self.is_exhausted(now) {
            self.count_suppressed();
            return None;
        }
        self.written[self.oldest as usize] = Some(now);
        self.oldest = (self.oldest + 1) % LINES as u32;
        Some(core::mem::take(&mut self.suppressed))
    }

    fn is_exhausted(&self, now: Instant) -> bool {
        self.written[self.oldest as usize].is_some_and(|written| now < written + WINDOW)
    }

    fn count_suppressed(&mut self) {
        self.suppressed = self.suppressed.saturating_add(1);
    }
}

/// Selects the results worth a log line: the first one, then each change, within a rate limit.
#[derive(Clone, Copy, Debug)]
pub struct ChangeFilter<S> {
    last_observed: Option<S>,
    last_logged: Option<S>,
    limit: RateLimit,
}

impl<S: Copy + PartialEq> ChangeFilter<S> {
    /// A filter that selects the first result unless it is the `expected` one.
    pub fn new(expected: Option<S>) -> Self {
        ChangeFilter {
            last_observed: expected,
            last_logged: expected,
            limit: RateLimit::default(),
        }
    }

    /// Records a result. Returns the number of suppressed changes if this one should be logged.
    pub fn observe(&mut self, state: S, now: Instant) -> Option<u32> {
        let is_change = self.last_observed.replace(state) != Some(state);
        let is_last_logged = self.last_logged == Some(state);
        if is_last_logged || self.limit.is_exhausted(now) {
            // A suppressed change counts once, and so does its reversal. The state is logged by a later
            // result if it lasts.
            if is_change {
                self.limit.count_suppressed();
            }
            return None;
        }
        self.last_logged = Some(state);
        self.limit.try_acquire(now)
    }
}

/// A [`ChangeFilter`] for each entry of a table.
#[derive(Debug)]
pub struct ChangeFilters<S>(RefCell<Box<[ChangeFilter<S>]>>);

impl<S: Copy + PartialEq> ChangeFilters<S> {
    /// Filters of `count` entries. Each selects its first result unless it is the `expected` one.
    pub fn new(count: usize, expected: Option<S>) -> Self {
        let filters = vec![ChangeFilter::new(expected); count];
        ChangeFilters(RefCell::new(filters.into_boxed_slice()))
    }

    /// Filters of an empty table.
    pub fn empty() -> Self {
        ChangeFilters(RefCell::new(Box::new([])))
    }

    /// Records a result of entry `index`, as [`ChangeFilter::observe`] does.
    pub fn observe(&self, index: usize, state: S, now: Instant) -> Option<u32> {
        self.0.borrow_mut()[index].observe(state, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_result_and_each_change_are_logged() {
        let (mut filter, now) = (ChangeFilter::new(None), Instant::now());
        let logged = [200, 200, 502, 502, 504, 200].map(|status| filter.observe(status, now));
        assert_eq!(logged, [Some(0), None, Some(0), None, Some(0), Some(0)]);
    }

    #[test]
    fn a_change_over_the_limit_is_logged_later_with_the_number_of_suppressed_ones() {
        let (mut filter, now) = (ChangeFilter::new(None), Instant::now());
        for n in 0..limits::LOG_LINES_PER_MINUTE {
            let status = if n % 2 == 0 { 200 } else { 502 };
            assert_eq!(filter.observe(status, now), Some(0));
        }
        // Logged last: 502. Suppressed: to 200, back to 502, to 504.
        let over = [200, 200, 502, 504, 504].map(|status| filter.observe(status, now));
        assert_eq!(over, [None; 5]);
        assert_eq!(filter.observe(504, now + WINDOW), Some(3));
        assert_eq!(filter.observe(504, now + WINDOW), None);
    }

    #[test]
    fn no_window_of_a_minute_has_more_lines_than_the_limit() {
        let (mut limit, start) = (RateLimit::<6>::default(), Instant::now());
        let times = (0..600).map(|n| start + Duration::from_millis(500) * n);
        let written: Vec<_> = times
            .filter(|now| limit.try_acquire(*now).is_some())
            .collect();
        for line in &written {
            let minute = written
                .iter()
                .filter(|t| (*line..*line + WINDOW).contains(*t));
            assert!(minute.count() <= 6);
        }
        assert_eq!(written.len(), 5 * 6);
    }
}
