//! The status port: accept, route, respond; log lines, metrics, shutdown.

mod connection;
mod forward_log;
mod handler;
mod log_cold;
mod log_events;
mod metrics;
mod metrics_page;
mod probe_log;
mod resources;
mod run;
mod slots;
mod state;

pub use run::{RunError, run};
