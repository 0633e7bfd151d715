//! The list of trials: the name of a function is the name of its trial. Also their order, their concurrency, and the
//! duration of each.

use super::Outcome;
use super::agent::is_emulated;
use super::permit::{TrialLoad, TrialPermit};
use libtest_mimic::{Arguments, Trial};
use std::time::Instant;

/// The default number of concurrent trials. Nearly all of them wait.
const CONCURRENT: usize = 16;

/// The default with an emulated agent, whose TLS handshakes take most of a probe's timeout of 1 s.
const CONCURRENT_EMULATED: usize = 6;

/// Prefixes of trials that wait for a timeout of half a minute or more. They start first.
const LONG_WAITS: &[&str] = &[
    "log::a_flapping_app",
    "forward_ends::",
    "webhook_timeouts::",
    "handshakes::",
];

/// Prefixes of trials that compute, flood, or measure memory. They run last, with permits.
const HEAVY: &[&str] = &[
    "injector::admission::",
    "injector::generated::",
    "injector::memory::",
    "exhaustion::",
    "webhook_attacks::",
    "webhook_capacity::",
    "webhook_cluster::pages_of_many_mib",
    "webhook_cluster::an_item_that_never_ends",
    "verdicts::a_flood",
    "grpc_probes::an_app_that_floods",
    "forward_slots::a_flood",
    "capacity::clients_that_loop",
    "capacity::attacks_of_every_kind",
    "handshakes::a_long_handshake_that_hangs",
    "inbound_peers::files_rotate",
    "inbound_peers::honest_clients",
    "inbound_soak::",
    "inbound_clients::",
    "inbound_segments::a_client_hello_may_be_split",
    "inbound_segments::a_permissive_port_tells",
    "verdicts::long_trailers",
    "verdicts::kubelet_agrees_on_each_changed_byte",
];

/// Runs the trials in the order that minimises the total time.
pub fn run(mut arguments: Arguments, mut trials: Vec<Trial>) -> libtest_mimic::Conclusion {
    arguments.test_threads.get_or_insert(match is_emulated() {
        true => CONCURRENT_EMULATED,
        false => CONCURRENT,
    });
    let is_named = |beginning: &&str| {
        trials
            .iter()
            .any(|trial| trial.name().starts_with(*beginning))
    };
    let mut lists = LONG_WAITS.iter().chain(HEAVY);
    // A build with fewer features has fewer trials.
    assert!(
        !cfg!(feature = "inject") || is_emulated() || lists.all(is_named),
        "a prefix in a list matches no trial"
    );
    trials.sort_by_key(|trial| (runs_late(trial.name()), !begins(LONG_WAITS, trial.name())));
    libtest_mimic::run(&arguments, trials)
}

fn begins(list: &[&str], name: &str) -> bool {
    list.iter().any(|beginning| name.starts_with(beginning))
}

fn is_heavy(name: &str) -> bool {
    begins(HEAVY, name)
}

/// Whether a trial runs after those that wait. The floods of the fault catalogue run one at a time, while no other fault
/// case does.
fn runs_late(name: &str) -> bool {
    is_heavy(name) || name.contains("-flood-")
}

/// A trial; with `PROBELET_TEST_TIMES=1` it prints its duration in seconds to stderr.
pub fn trial(name: impl Into<String>, body: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    let name = name.into();
    let label = name.clone();
    Trial::test(name, move || {
        let _permit = is_heavy(&label).then(|| TrialPermit::acquire(TrialLoad::Computing));
        let started = Instant::now();
        let outcome = body();
        if std::env::var_os("PROBELET_TEST_TIMES").is_some_and(|value| value == "1") {
            eprintln!("{:8.3} s {label}", started.elapsed().as_secs_f64());
        }
        outcome
    })
}

/// A list of trials from functions that panic on failure.
macro_rules! trials {
    ($module:literal: $($test:ident),* $(,)?) => {
        vec![$($crate::support::trials::trial(concat!($module, "::", stringify!($test)), || {
            $test();
            Ok(())
        })),*]
    };
    ($module:literal needs $needs:expr; $($test:ident),* $(,)?) => {
        vec![$($crate::support::needs($needs, concat!($module, "::", stringify!($test)), || {
            $test();
            Ok(())
        })),*]
    };
}
pub(crate) use trials;
