//! `probelet check URL`: runs one probe with the agent's code, and prints one line about it.
//!
//! It reads only the files that flags name, so it works as an exec probe in an image without anything else. It installs no signal handlers: SIGINT ends it.

mod advice;
mod alert;
mod args_error;
mod failure_context;
mod go_duration;
mod grpc_health_probe;
mod install;
mod metadata;
mod output;
mod plan;
mod probing;
mod report;
mod resolve;
mod synthetic_request;
mod target;
mod watch;

pub use args_error::{ArgFault, ArgsError};
pub use grpc_health_probe::{GrpcHealthProbe, ProbeExit, ProbeFlags};
pub use install::{InstallError, install};
pub use output::DeadlineOutput;
pub use plan::{DialTarget, Plan, RawArgs};
pub use synthetic_request::SyntheticRequest;

use std::io::Write;
use std::rc::Rc;

use rustix::io;

use crate::text::EscapedLines;
use output::write_line;
use probing::resolve_and_probe;
use report::Report;
use watch::Watch;

/// Probes once.
///
/// # Errors
/// epoll fails. A failed probe is not an error: its result is in the report.
#[inline(never)] // keeps it out of the pages that the agent of every pod uses
fn run(plan: Plan) -> io::Result<Report> {
    let plan = Rc::new(plan);
    let watch = Rc::new(Watch::new(&plan));
    let result = resolve_and_probe(&plan, &watch)?;
    Ok(Report::new(&plan, &watch, result))
}

/// Runs the probe and prints its result, or the error. Returns the exit code.
#[inline(never)] // as `run`
pub fn run_and_print(
    plan: Plan,
    program: &str,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let is_quiet = plan.is_quiet;
    match run(plan) {
        Ok(report) => {
            if !is_quiet {
                write_line(stdout, EscapedLines(report.text));
            }
            u8::from(!report.is_healthy)
        }
        Err(error) => {
            let text = format!("{program}: epoll failed: {}", EscapedLines(error));
            write_line(stderr, text);
            1
        }
    }
}
