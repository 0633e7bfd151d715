//! Parses the arguments, runs the command, returns the exit code.

use probelet::agent;
#[cfg(feature = "check")]
use probelet::check::{self, DeadlineOutput};
use probelet::cli::{self, Invocation};
use probelet::text::EscapedLines;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write};
#[cfg(feature = "check")]
use std::path::Path;
use std::process::ExitCode;
#[cfg(feature = "check")]
use std::time::Instant;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let command = args.next().and_then(|program| implied_command(&program));
    let args = command.map(OsString::from).into_iter().chain(args);
    match cli::parse(args, |name| std::env::var_os(name)) {
        Ok(Invocation::Run(config)) => match agent::run(config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => print_error(&error, error.exit_code()),
        },
        #[cfg(feature = "check")]
        Ok(Invocation::Check(plan)) => {
            let until = Instant::now() + plan.timeout;
            let mut stdout = DeadlineOutput::stdout(until);
            let mut stderr = DeadlineOutput::stderr(until);
            let code = check::run_and_print(plan, "probelet", &mut stdout, &mut stderr);
            ExitCode::from(code)
        }
        #[cfg(feature = "check")]
        Ok(Invocation::GrpcHealthProbe(probe)) => {
            let mut stderr = DeadlineOutput::stderr(Instant::now() + probe.timeout());
            ExitCode::from(probe.run_and_print(&mut stderr))
        }
        #[cfg(feature = "check")]
        Ok(Invocation::Install(to)) => match check::install(&to.directory, &to.name) {
            Ok(file) => print_path(&file),
            Err(error) => print_error(error, 1),
        },
        Err(exit) => ExitCode::from(exit.print(&mut io::stdout(), &mut io::stderr())),
    }
}

/// The command that the program's own name implies: a copy may take the place of grpc_health_probe.
fn implied_command(program: &OsStr) -> Option<&'static str> {
    let path = program.as_encoded_bytes();
    match path.rsplit(|byte| *byte == b'/').next() {
        Some(b"grpc_health_probe" | b"grpc-health-probe") => Some(cli::GRPC_HEALTH_PROBE),
        _ => None,
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
