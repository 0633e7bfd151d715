//! What agent and webhook report about themselves, each thing once: log lines, their rate limit, and
//! Prometheus text.

mod quoted;

pub use quoted::{Discreet, Quoted};

/// Which log lines are written, and in which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least severe level that is still written.
    pub level: Level,
    /// The format of a line.
    pub format: Format,
}

/// Severity of a log line, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// probelet itself cannot continue, or lost something.
    Error,
    /// A prober began to fail; a request could not be served.
    Warn,
    /// Start, stop, a prober's first result and its recoveries.
    Info,
    /// Every probe.
    Debug,
}

/// Format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `key=value key="quoted value"`
    Logfmt,
    /// One JSON object per line.
    Json,
}
