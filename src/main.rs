//! Parses the arguments, runs the command, returns the exit code.

use probelet::agent;
#[cfg(feature = "check")]
use probelet::check;
use probelet::cli::{self, Invocation};
use probelet::text::EscapedLines;
use std::fmt::Display;
use std::io::{self, Write};
#[cfg(feature = "check")]
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(Invocation::Run(config)) => match agent::run(config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => print_error(&error, error.exit_code()),
        },
        #[cfg(feature = "check")]
        Ok(Invocation::Check(plan)) => {
            let code = check::run_and_print(plan, "probelet", &mut io::stdout(), &mut io::stderr());
            ExitCode::from(code)
        }
        #[cfg(feature = "check")]
        Ok(Invocation::Install(directory)) => match check::install(&directory) {
            Ok(file) => print_path(&file),
            Err(error) => print_error(error, 1),
        },
        Err(exit) => ExitCode::from(exit.print(&mut io::stdout(), &mut io::stderr())),
    }
}

// Nothing can be done about a closed output, here and below.
#[cfg(feature = "check")]
fn print_path(path: &Path) -> ExitCode {
    let _ = writeln!(io::stdout(), "{}", EscapedLines(path.display()));
    ExitCode::SUCCESS
}

fn print_error(error: impl Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "probelet: {}", EscapedLines(error));
    ExitCode::from(code)
}
