//! Log lines, their rate limits, and metrics as Prometheus text, for agent and webhook.

mod counters;
mod log;
pub mod prometheus;
mod rate_limit;
mod repeat_filter;

pub use counters::{Counter, Histogram, StatusCounter};
pub use log::{Format, Level, Line, LogSettings, Logger};
pub use rate_limit::{ChangeFilter, ChangeFilters, RateLimit};
pub use repeat_filter::RepeatFilter;
