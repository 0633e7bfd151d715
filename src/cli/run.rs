//! `probelet run`: argh fills in `config`'s `Settings`, which turns them into what is meant.

use super::{Command, Exit, help};
use crate::config::{Config, Settings};
use crate::flags::{self, Arg};
use crate::limits;
use argh::FromArgs;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};

/// a health-probe proxy for pods whose ports speak mutual TLS
#[derive(FromArgs)]
struct Typed {
    #[argh(subcommand)]
    command: TypedCommand,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum TypedCommand {
    Run(Settings),
}

/// The flags, for a name that is none of them.
pub(super) const FLAGS: flags::Command = flags::Command {
    name: "probelet run",
    valued: &[
        "--app-ca",
        "--app-id",
        "--app-probers",
        "--client-cert",
        "--client-key",
        "--deadline-margin",
        "--forward",
        "--log-format",
        "--log-level",
        "--max-forwards",
        "--max-hooks",
        "--max-probes",
        "--max-reserve",
        "--shutdown-delay",
        "--source-ip",
        "--status-addr",
        "--status-port",
        "--target-ip",
    ],
    bare: &[],
    repeated: &["--forward"],
};

pub(super) fn parse(
    args: &[String],
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, Exit> {
    let mut split = vec!["run"];
    for arg in FLAGS.read(args).map_err(Exit::usage)? {
        match arg {
            Arg::Help => return Err(Exit::asked_for(help::run())),
            Arg::Flag(name, value) => split.extend([name, value]),
            Arg::Word(word) => return Err(Exit::usage(FLAGS.no_flag(word))),
        }
    }
    let typed = Typed::from_args(&["probelet"], &split)
        .map_err(|early| Exit::usage(early.output.trim_end().into()))?;
    let TypedCommand::Run(settings) = typed.command;
    Ok(Command::Run(Config::from_settings(
        &settings, env, read_file,
    )?))
}

/// A file's bytes; of one that never ends, no more than one over what is then refused.
fn read_file(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = limits::PROBERS_JSON_BYTES as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
