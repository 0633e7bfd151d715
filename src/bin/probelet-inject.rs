//! Arguments to commands to exit code; the only place the process ends.

use probelet::cli::inject;
use probelet::injector::Io;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut io = Io {
        stdin: &mut io::stdin().lock(),
        stdout: &mut io::stdout().lock(),
        stderr: &mut io::stderr(),
    };
    ExitCode::from(inject::main(std::env::args_os().skip(1), &mut io))
}
