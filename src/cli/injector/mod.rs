//! The command line of `probelet-inject`.

mod audit;
mod file;
mod inputs;
mod kinds;
mod kubectl;
mod serve;
mod sidecar;

use super::exit::Exit;
use super::table::Program;
use crate::injector::{Invocation, Io, PROGRAM};
use std::ffi::OsString;

/// `probelet-inject`.
pub(super) const PROBELET_INJECT: Program = Program {
    name: PROGRAM,
    summary: "rewrite Kubernetes manifests and pods so that their probes go to probelet",
    description: &[
        "kubelet has no mesh certificate, so its probes of a port that demands one fail. In an injected pod, probelet \
         runs as a sidecar, receives the probes in plaintext and probes the app.",
    ],
    commands: &[&file::COMMAND, &audit::COMMAND, &serve::COMMAND],
    command_names: &["file", "kube-inject", "audit", "serve"],
    first_steps: "`probelet-inject file -f app.yaml`",
};

/// Parses the arguments, of which the first is the program's name, and runs the command. A program of the name
/// `kubectl-probelet` has the commands of the plugin of kubectl.
///
/// Returns the exit code: 0, 1 for a failure or a finding, 2 for an error in the arguments.
pub fn run(mut args: impl Iterator<Item = OsString>, io: &mut Io<'_>) -> u8 {
    let program = args.next();
    if program.is_some_and(|program| kubectl::is_plugin(&program)) {
        return kubectl::run(args, io);
    }
    match parse(args) {
        Ok(invocation) => crate::injector::run(invocation, io),
        Err(exit) => exit.print(io.stdout, io.stderr),
    }
}

fn parse(args: impl Iterator<Item = OsString>) -> Result<Invocation, Exit> {
    let args = PROBELET_INJECT.decode(args)?;
    let (command, args) = PROBELET_INJECT.split_command(&args)?;
    match command {
        "file" | "kube-inject" => file::parse(args).map(Invocation::File),
        "audit" => audit::parse(&audit::COMMAND, args).map(Invocation::Audit),
        "serve" => serve::parse(args).map(Invocation::Serve),
        unknown => Err(PROBELET_INJECT.unknown_command(unknown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::help;

    #[test]
    fn each_help_has_all_flags_of_its_command_and_fits_a_terminal() {
        let commands = PROBELET_INJECT.commands.iter();
        for command in commands.chain(kubectl::KUBECTL_PROBELET.commands) {
            let help = help::of_command(command);
            for flag in command.flags().flat_map(|flag| flag.spellings) {
                let listed = format!("  {flag}");
                let second = format!(", {flag} ");
                assert!(help.contains(&listed) || help.contains(&second), "{flag}");
            }
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }
}
