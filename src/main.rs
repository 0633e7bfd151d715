//! Arguments to configuration to run to exit code; the only place the process ends.

use probelet::agent;
#[cfg(feature = "check")]
use probelet::check;
use probelet::cli::{self, Action, Exit};
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(Action::Run(config)) => match agent::run(config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error, error.exit_code()),
        },
        #[cfg(feature = "check")]
        Ok(Action::Check(plan)) => match check::run(plan) {
            Ok(report) => say(report.text, true, u8::from(!report.is_healthy)),
            Err(error) => failed(error, 1),
        },
        #[cfg(feature = "check")]
        Ok(Action::Install(folder)) => match check::install(&folder) {
            Ok(file) => say(file.display(), true, 0),
            Err(error) => failed(error, 1),
        },
        Err(Exit {
            text,
            code,
            to_stdout,
        }) => say(text, to_stdout, code),
    }
}

fn failed(error: impl Display, code: u8) -> ExitCode {
    say(format_args!("probelet: {error}"), false, code)
}

fn say(text: impl Display, to_stdout: bool, code: u8) -> ExitCode {
    // A reader that went away has no use for the rest.
    let _ = match to_stdout {
        true => writeln!(io::stdout(), "{text}"),
        false => writeln!(io::stderr(), "{text}"),
    };
    ExitCode::from(code)
}
