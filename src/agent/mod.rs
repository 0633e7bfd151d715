//! The status port: accept, route, respond; log lines, metrics, shutdown.

mod connection;
mod forward_log;
mod forward_observer;
mod handler;
#[cfg(feature = "tls")]
mod inbound;
#[cfg(feature = "tls")]
mod inbound_metrics;
#[cfg(feature = "tls")]
mod inbound_ports;
mod log_cold;
mod log_events;
mod metrics;
mod metrics_page;
mod probe_log;
mod prober_queue;
mod probing;
mod resources;
mod run;
mod run_error;
mod shutdown;
mod slots;
mod state;
mod waiting;

pub use run::run;
pub use run_error::RunError;
