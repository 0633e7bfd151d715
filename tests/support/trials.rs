//! Tests by their function's name, so that it is written once.

/// A list of trials out of functions that panic when what they hold does not hold.
macro_rules! trials {
    ($module:literal: $($test:ident),* $(,)?) => {
        vec![$(libtest_mimic::Trial::test(concat!($module, "::", stringify!($test)), || {
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
