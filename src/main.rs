//! Parses the arguments, runs the command, returns the exit code.

use probelet::agent;
#[cfg(feature = "check")]
use probelet::check;
use probelet::cli::{self, Invocation};
use probelet::text::EscapedLines;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(Invocation::Run(config)) => match agent::run(config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => print_error(&error, error.exit_code()),
        },
        #[cfg(feature = "check")]
        Ok(Invocation::Check(plan)) => match check::run(plan) {
            Ok(report) => print_result(report.text, u8::from(!report.is_healthy)),
            Err(error) => print_error(format_args!("epoll failed: {error}"), 1),
        },
        #[cfg(feature = "check")]
        Ok(Invocation::Install(directory)) => match check::install(&directory) {
            Ok(file) => print_result(file.display(), 0),
            Err(error) => print_error(error, 1),
        },
        Err(exit) => ExitCode::from(exit.print(&mut io::stdout(), &mut io::stderr())),
    }
}

// Nothing can be done about a closed output, here and below.
#[cfg(feature = "check")]
fn print_result(text: impl Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stdout(), "{}", EscapedLines(text));
    ExitCode::from(code)
}

fn print_error(error: impl Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "probelet: {}", EscapedLines(error));
    ExitCode::from(code)
}
