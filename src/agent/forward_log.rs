//! Log lines of the forwards: failures and recoveries of a target, not every connection.

use std::time::Instant;

use crate::config::Forward;
use crate::probe::Failure;
use crate::telemetry::{ChangeFilters, Level, Logger};

/// Result of a connection to a forward.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ForwardState {
    /// The target was reached.
    Healthy,
    /// The target was not reached.
    Failing(Failure),
    /// A client was reset: the forward has `limit` connections, and none may be evicted.
    LimitReached {
        /// `--max-forwards`, or less if there are too few file descriptors.
        limit: usize,
    },
}

/// The filters of `forwards` forwards. A target that is reachable from the start is not logged.
pub fn forward_filters(forwards: usize) -> ChangeFilters<ForwardState> {
    ChangeFilters::new(forwards, Some(ForwardState::Healthy))
}

/// Logs `state` of forward number `index` if it is a change.
pub fn log_forward(
    logger: &Logger,
    filters: &ChangeFilters<ForwardState>,
    index: usize,
    forward: &Forward,
    state: ForwardState,
) {
    let Some(suppressed) = filters.observe(index, state, Instant::now()) else {
        return;
    };
    let (level, message) = match state {
        ForwardState::Healthy => (Level::Info, "forward healthy"),
        ForwardState::Failing(_) => (Level::Warn, "forward failing"),
        ForwardState::LimitReached { .. } => (Level::Warn, "forward connection limit reached"),
    };
    let (reason, limit) = match state {
        ForwardState::Healthy => (None, None),
        ForwardState::Failing(failure) => (Some(failure.as_str()), None),
        ForwardState::LimitReached { limit } => (None, Some(limit)),
    };
    logger
        .line(level, message)
        .field("port", forward.listen.port)
        .field("target", forward.target)
        .maybe("reason", reason)
        .maybe("limit", limit)
        .suppressed(suppressed);
}
