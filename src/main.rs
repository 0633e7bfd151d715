//! Arguments to configuration to run to exit code; the only place the process ends.

use probelet::agent;
use probelet::cli::{self, Command};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(Command::Run(config)) => match agent::run(config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("probelet: {error}");
                ExitCode::FAILURE
            }
        },
        Err(exit) => {
            // A reader that went away has no use for the rest.
            let _ = match exit.to_stdout {
                true => writeln!(io::stdout(), "{}", exit.text),
                false => writeln!(io::stderr(), "{}", exit.text),
            };
            ExitCode::from(exit.code)
        }
    }
}
