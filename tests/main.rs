//! The one integration test binary. A module of tests offers `tests()`; what a test needs of the
//! machine (Go, root, a peer) is said by `support::needs`, so that nothing is skipped in silence.

mod judgement;
mod support;

use libtest_mimic::Arguments;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    trials.extend(support::tests());
    trials.extend(judgement::tests());
    libtest_mimic::run(&arguments, trials).exit_code()
}
