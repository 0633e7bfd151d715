//! Arguments to commands to exit code; the only place the process ends.

use probelet::injector::{self, Io};
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut io = Io {
        stdin: &mut io::stdin().lock(),
        stdout: &mut io::stdout().lock(),
        stderr: &mut io::stderr(),
    };
    ExitCode::from(injector::main(std::env::args_os().skip(1), &mut io))
}
