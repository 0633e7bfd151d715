//! Trials by their function's name, so that it is written once, and how long each of them takes.

use super::Outcome;
use libtest_mimic::Trial;
use std::time::Instant;

/// A trial; with `PROBELET_TEST_TIMES=1` it prints its duration in seconds to stderr.
pub fn trial(name: impl Into<String>, body: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    let name = name.into();
    if std::env::var_os("PROBELET_TEST_TIMES").is_none_or(|value| value != "1") {
        return Trial::test(name, body);
    }
    let label = name.clone();
    Trial::test(name, move || {
        let started = Instant::now();
        let outcome = body();
        eprintln!("{:8.3} s {label}", started.elapsed().as_secs_f64());
        outcome
    })
}

/// A list of trials out of functions that panic when what they hold does not hold.
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
