//! The status port: accept, route, answer, log, metrics, drain.

mod answer;
mod forward_log;
mod log_cold;
mod log_events;
mod metrics;
mod metrics_page;
mod probe_log;
mod resources;
mod run;
mod serve;
mod slots;
mod state;

pub use run::{RunError, run};
