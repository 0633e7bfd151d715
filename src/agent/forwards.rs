//! Log lines of the forwards: a target's failures and recoveries, as of a prober, and not every connection.

use core::cell::RefCell;
use std::time::Instant;

use rustix::io::Errno;

use super::Agent;
use crate::forward;
use crate::probe::Failure;
use crate::telemetry::{ChangeFilter, Level};

/// Result of a connection to a target, as far as it matters for the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Healthy,
    Failing(Failure),
    Full,
}

/// Selects the log lines of each forward.
pub struct Forwards(RefCell<Box<[ChangeFilter<State>]>>);

impl Forwards {
    /// For so many forwards. A target that is reachable from the start is not logged.
    pub fn new(forwards: usize) -> Forwards {
        let filter = ChangeFilter::new(Some(State::Healthy));
        Forwards(RefCell::new(vec![filter; forwards].into()))
    }
}

impl Agent {
    fn note_forward(&self, index: usize, state: State) {
        let filter = &mut self.forwards.0.borrow_mut()[index];
        let Some(suppressed) = filter.observe(state, Instant::now()) else {
            return;
        };
        let (level, message, reason) = match state {
            State::Healthy => (Level::Info, "forward healthy", None),
            State::Failing(failure) => (Level::Warn, "forward failing", Some(failure.as_str())),
            State::Full => (Level::Warn, "forward full", None),
        };
        let forward = &self.config.forwards[index];
        self.log
            .line(level, message)
            .field("port", forward.listen.port)
            .field("target", forward.target)
            .maybe("reason", reason)
            .suppressed(suppressed);
    }
}

impl forward::Events for Agent {
    fn target_reached(&self, index: usize) {
        self.note_forward(index, State::Healthy);
    }

    fn target_failed(&self, index: usize, failure: Failure) {
        self.note_forward(index, State::Failing(failure));
    }

    fn all_taken(&self, index: usize) {
        self.note_forward(index, State::Full);
    }

    fn accept_failed(&self, error: Errno) {
        self.note_accept_failed(error);
    }
}
