//! What is told of the forwards: like a prober's, a target's failures and recoveries, not every try.

use core::cell::RefCell;
use std::time::Instant;

use rustix::io::Errno;

use super::Agent;
use super::report::Story;
use crate::forward;
use crate::probe::Failure;
use crate::telemetry::Level;

/// What makes one try differ from another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Healthy,
    Failing(Failure),
    Full,
}

/// What was last seen and last told of each forward.
pub struct Forwards(RefCell<Box<[Story<State>]>>);

impl Forwards {
    /// For so many forwards. A target that can be reached from the first is no news.
    pub fn new(forwards: usize) -> Forwards {
        let story = Story::new(Some(State::Healthy));
        Forwards(RefCell::new(vec![story; forwards].into()))
    }
}

impl Agent {
    fn note_forward(&self, index: usize, state: State) {
        let story = &mut self.forwards.0.borrow_mut()[index];
        let Some(suppressed) = story.news(state, Instant::now()) else {
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
