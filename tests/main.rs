//! The integration test binary. Each module has a `tests()`. `support::needs` declares what a test requires of the machine
//! (Go, root, a peer), so that nothing is skipped silently.

mod allowed_peers;
mod capacity;
#[cfg(feature = "check")]
mod check;
#[cfg(feature = "check")]
mod check_flags;
#[cfg(feature = "check")]
mod check_requests;
mod client_certificates;
mod e2e;
mod exhaustion;
mod expectations;
mod forward_ends;
mod forward_log;
mod forward_slots;
#[cfg(feature = "check")]
mod grpc_health_probe;
mod grpc_probes;
mod handshakes;
mod inbound;
mod inbound_clients;
mod inbound_ends;
mod inbound_handshakes;
mod inbound_identity;
mod inbound_peers;
mod inbound_relay;
mod inbound_segments;
mod inbound_soak;
#[cfg(feature = "inject")]
mod injector;
#[cfg(feature = "check")]
mod install;
mod lifecycle;
mod log;
mod metrics;
mod mistaken_schemes;
mod passthrough;
mod request_heads;
mod settings;
mod slots;
mod status_port;
mod support;
mod verdicts;
#[cfg(feature = "inject")]
mod webhook;

use libtest_mimic::Arguments;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    trials.extend(support::tests());
    trials.extend(verdicts::tests());
    trials.extend(status_port::tests());
    trials.extend(allowed_peers::tests());
    trials.extend(slots::tests());
    trials.extend(capacity::tests());
    trials.extend(passthrough::tests());
    trials.extend(lifecycle::tests());
    trials.extend(settings::tests());
    trials.extend(log::tests());
    trials.extend(metrics::tests());
    trials.extend(request_heads::tests());
    trials.extend(exhaustion::tests());
    trials.extend(expectations::tests());
    trials.extend(forward_slots::tests());
    trials.extend(forward_ends::tests());
    trials.extend(forward_log::tests());
    trials.extend(mistaken_schemes::tests());
    trials.extend(handshakes::tests());
    trials.extend(inbound::tests());
    trials.extend(inbound_ends::tests());
    trials.extend(inbound_peers::tests());
    trials.extend(inbound_relay::tests());
    trials.extend(inbound_clients::tests());
    trials.extend(inbound_handshakes::tests());
    trials.extend(inbound_identity::tests());
    trials.extend(inbound_segments::tests());
    trials.extend(inbound_soak::tests());
    trials.extend(grpc_probes::tests());
    trials.extend(client_certificates::tests());
    #[cfg(feature = "check")]
    trials.extend(check::tests());
    #[cfg(feature = "check")]
    trials.extend(check_requests::tests());
    #[cfg(feature = "check")]
    trials.extend(check_flags::tests());
    #[cfg(feature = "check")]
    trials.extend(grpc_health_probe::tests());
    #[cfg(feature = "check")]
    trials.extend(install::tests());
    #[cfg(feature = "inject")]
    trials.extend(injector::tests());
    #[cfg(feature = "inject")]
    trials.extend(webhook::tests());
    trials.extend(e2e::tests());
    support::trials::run(arguments, trials).exit_code()
}
