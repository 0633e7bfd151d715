//! Parses the arguments, runs the command, returns the exit code.

use probelet::cli::injector;
use probelet::injector::Io;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut io = Io {
        stdin: &mut io::stdin().lock(),
        stdout: &mut io::stdout().lock(),
        is_terminal: io::stdout().is_terminal(),
        stderr: &mut io::stderr(),
    };
    ExitCode::from(injector::run(std::env::args_os(), &mut io))
}
