//! `kubectl probelet`: the commands of the plugin of kubectl, which is this program with the name `kubectl-probelet`.

use super::inputs::{InputFlags, split_manifest_args};
use super::kinds::KindFlags;
use super::{audit, file};
#[cfg(feature = "check")]
use crate::check;
#[cfg(feature = "check")]
use crate::cli::check as check_flags;
use crate::cli::exit::Exit;
use crate::cli::table::{Block, Command, Program, Table};
use crate::inject::Task;
use crate::injector::{Invocation, Io};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// `kubectl probelet`.
pub(super) const KUBECTL_PROBELET: Program = Program {
    name: "kubectl probelet",
    summary: "rewrite manifests so that their probes go to probelet, and find the cause of failing probes",
    description: &[
        "`inject`, `uninject` and `audit` read manifests, such as those that kubectl prints, and do not connect to the cluster. \
         `check` probes a URL.",
    ],
    commands: &[
        &INJECT,
        &UNINJECT,
        &AUDIT,
        #[cfg(feature = "check")]
        &CHECK,
    ],
    command_names: &["inject", "uninject", "audit", "check"],
    first_steps: "`kubectl probelet inject -f app.yaml`",
};

const INJECT: Command = Command {
    name: "kubectl probelet inject",
    alias: None,
    blocks: &[Block {
        title: "Examples",
        lines: &[
            "kubectl probelet inject -f app.yaml | kubectl apply -f -",
            "kubectl get deployment web -o yaml | kubectl probelet inject -f - --diff",
        ],
    }],
    tables: &[
        InputFlags::SECTIONS,
        file::OutputFlags::SECTIONS,
        file::ConfigFlags::SECTIONS,
        KindFlags::SECTIONS,
        super::sidecar::SidecarFlags::SECTIONS,
    ],
    ..file::COMMAND
};

const UNINJECT: Command = Command {
    name: "kubectl probelet uninject",
    alias: None,
    summary: "remove the sidecar from manifests and restore the original probes",
    description: &[
        "Nothing else in the manifests changes. The result goes to standard output, a line for each resource to standard error.",
    ],
    blocks: &[Block {
        title: "Example",
        lines: &["kubectl probelet uninject -f app.yaml | kubectl apply -f -"],
    }],
    tables: &[
        InputFlags::SECTIONS,
        file::OutputFlags::SECTIONS,
        KindFlags::SECTIONS,
    ],
    ..file::COMMAND
};

const AUDIT: Command = Command {
    name: "kubectl probelet audit",
    blocks: &[Block {
        title: "Example",
        lines: &["kubectl get ns,pods,rs,events -A -o yaml | kubectl probelet audit -f -"],
    }],
    ..audit::COMMAND
};

#[cfg(feature = "check")]
const CHECK: Command = Command {
    name: "kubectl probelet check",
    summary: "probe once, as kubelet would, and print the result on one line",
    blocks: &[
        check_flags::URLS,
        Block {
            title: "Example",
            lines: &[
                "kubectl port-forward pod/web 8443",
                "kubectl probelet check --verbose https://127.0.0.1:8443/ready",
            ],
        },
    ],
    ..check_flags::CHECK
};

/// Whether the program is installed as a plugin: kubectl runs the file `kubectl-probelet` by its path.
pub(super) fn is_plugin(program: &OsStr) -> bool {
    Path::new(program).file_stem() == Some(OsStr::new("kubectl-probelet"))
}

/// Parses the arguments, without the program's name, and runs the command. Returns the exit code.
pub(super) fn run(args: impl Iterator<Item = OsString>, io: &mut Io<'_>) -> u8 {
    parse_and_run(args, io).unwrap_or_else(|exit| exit.print(io.stdout, io.stderr))
}

fn parse_and_run(args: impl Iterator<Item = OsString>, io: &mut Io<'_>) -> Result<u8, Exit> {
    let args = KUBECTL_PROBELET.decode(args)?;
    let (command, args) = KUBECTL_PROBELET.split_command(&args)?;
    let parse_file = |command, task| {
        let args = split_manifest_args(command, args)?;
        file::options(command, &args, task).map(Invocation::File)
    };
    let invocation = match command {
        "inject" => parse_file(&INJECT, Task::Inject)?,
        "uninject" => parse_file(&UNINJECT, Task::Uninject)?,
        "audit" => Invocation::Audit(audit::parse(&AUDIT, args)?),
        #[cfg(feature = "check")]
        "check" => {
            let run =
                |plan| check::run_and_print(plan, KUBECTL_PROBELET.name, io.stdout, io.stderr);
            return check_flags::parse(&CHECK, args, &|name| std::env::var_os(name)).map(run);
        }
        #[cfg(not(feature = "check"))]
        "check" => {
            return Err(KUBECTL_PROBELET.usage_error(
                "this build has no `kubectl probelet check`: use one with the cargo feature check"
                    .into(),
            ));
        }
        unknown => return Err(KUBECTL_PROBELET.unknown_command(unknown)),
    };
    Ok(crate::injector::run(invocation, io))
}

#[cfg(test)]
mod tests;
