//! What agent and webhook report about themselves, each thing once: log lines, their rate limit, and
//! metrics as Prometheus text.

mod counters;
mod log;
pub mod prometheus;
mod quoted;
mod rate_limit;
mod redacted;

pub use counters::{Counter, Histogram, StatusCounter};
pub use log::{Format, Level, Line, LogSettings, Logger};
pub use quoted::Quoted;
pub use rate_limit::{ChangeFilter, RateLimit};
pub use redacted::Redacted;
