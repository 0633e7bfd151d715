//! Log lines of the forwards: failures and recoveries of a target, not every connection.

use core::net::SocketAddr;
use std::time::Instant;

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

/// The kind of a port whose connections are passed to a target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RelayKind {
    Forward,
    #[cfg(feature = "tls")]
    Inbound,
}

/// A port whose connections are passed to a target.
#[derive(Clone, Copy)]
pub struct RelayPort {
    pub kind: RelayKind,
    pub port: u16,
    pub target: SocketAddr,
}

impl RelayKind {
    fn message(self, state: ForwardState) -> &'static str {
        match (self, state) {
            (RelayKind::Forward, ForwardState::Healthy) => "forward healthy",
            (RelayKind::Forward, ForwardState::Failing(_)) => "forward failing",
            (RelayKind::Forward, ForwardState::LimitReached { .. }) => {
                "forward connection limit reached"
            }
            #[cfg(feature = "tls")]
            (RelayKind::Inbound, ForwardState::Healthy) => "inbound port healthy",
            #[cfg(feature = "tls")]
            (RelayKind::Inbound, ForwardState::Failing(_)) => "inbound port failing",
            #[cfg(feature = "tls")]
            (RelayKind::Inbound, ForwardState::LimitReached { .. }) => {
                "inbound connection limit reached"
            }
        }
    }
}

/// Logs `state` of forward or inbound port number `index` if it is a change.
pub fn log_forward(
    logger: &Logger,
    filters: &ChangeFilters<ForwardState>,
    index: usize,
    port: RelayPort,
    state: ForwardState,
) {
    let Some(suppressed) = filters.observe(index, state, Instant::now()) else {
        return;
    };
    let level = match state {
        ForwardState::Healthy => Level::Info,
        ForwardState::Failing(_) | ForwardState::LimitReached { .. } => Level::Warn,
    };
    let (reason, limit) = match state {
        ForwardState::Healthy => (None, None),
        ForwardState::Failing(failure) => (Some(failure.as_str()), None),
        ForwardState::LimitReached { limit } => (None, Some(limit)),
    };
    logger
        .line(level, port.kind.message(state))
        .field("port", port.port)
        .field("target", port.target)
        .maybe("reason", reason)
        .maybe("limit", limit)
        .suppressed(suppressed);
}
