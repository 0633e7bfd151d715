//! The command lines of both programs: arguments to actions, and the text of `--help`. A flag is written once, in
//! the table of its command; everything else is derived from it.

mod args;
#[cfg(feature = "check")]
mod check;
mod exit;
#[cfg(all(test, feature = "check", feature = "inject"))]
mod generate;
mod help;
#[cfg(feature = "inject")]
pub mod injector;
mod probelet;
mod program;
mod run;
mod table;

#[cfg(feature = "check")]
pub use check::Install;
pub use exit::Exit;
pub use probelet::{GRPC_HEALTH_PROBE, Invocation, parse};
