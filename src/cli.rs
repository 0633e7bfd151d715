//! What was typed: subcommands, `--name=value`, help and version. argh fills in `config`'s `Settings`,
//! which turns them into what is meant.

use crate::config::{Config, ConfigError, Quoted, Settings};
use crate::limits;
use argh::FromArgs;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};

mod help;

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// `probelet run`
    Run(Config),
}

/// The end before anything was done: help, version, or what was wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Exit {
    /// What to print, without a line break at its end.
    pub text: String,
    /// The exit code: 0, or 2 for what was typed wrong.
    pub code: u8,
    /// It was asked for: goes to standard output rather than standard error.
    pub to_stdout: bool,
}

impl Exit {
    fn asked_for(text: String) -> Self {
        Exit {
            text,
            code: 0,
            to_stdout: true,
        }
    }

    fn usage(text: String) -> Self {
        Exit {
            text: format!("probelet: {text}"),
            code: 2,
            to_stdout: false,
        }
    }
}

impl From<Box<ConfigError>> for Exit {
    fn from(error: Box<ConfigError>) -> Self {
        Exit::usage(error.to_string())
    }
}

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

/// The flags of `run`, for a name that is none of them.
const RUN_FLAGS: [&str; 18] = [
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
];

/// Reads the arguments, the program's name left out, and the environment.
///
/// # Errors
/// Help and version as well as usage errors: what to print, and the exit code.
pub fn parse(
    args: impl Iterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, Exit> {
    let args = as_text(args)?;
    match args.first().map(String::as_str) {
        None => Err(Exit::usage(
            "no command: write `probelet run`, or `probelet --help`".into(),
        )),
        Some("--help" | "-h" | "help") => Err(Exit::asked_for(help::top())),
        Some("--version" | "-V") => Err(Exit::asked_for(
            concat!("probelet ", env!("CARGO_PKG_VERSION")).into(),
        )),
        Some("run") => run(&args[1..], env),
        Some(flag) if flag.starts_with('-') => Err(Exit::usage(format!(
            "{} stands before the command: write `probelet run` and then the flags",
            Quoted(flag)
        ))),
        Some(other) => Err(Exit::usage(format!(
            "there is no command {}: write `probelet run`",
            Quoted(other)
        ))),
    }
}

fn run(args: &[String], env: impl Fn(&str) -> Option<OsString>) -> Result<Command, Exit> {
    let mut split = vec!["run"];
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if matches!(arg.as_str(), "--help" | "-h") {
            return Err(Exit::asked_for(help::run()));
        }
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (arg.as_str(), None),
        };
        check_flag(name)?;
        if name != "--forward" && split.iter().skip(1).step_by(2).any(|typed| *typed == name) {
            return Err(Exit::usage(format!(
                "{name} stands there twice: write it once"
            )));
        }
        let value = value.or_else(|| args.next().map(String::as_str));
        let value = value.ok_or_else(|| {
            Exit::usage(format!(
                "{name} has no value: write `{name} VALUE` or `{name}=VALUE`"
            ))
        })?;
        split.extend([name, value]);
    }
    let typed = Typed::from_args(&["probelet"], &split)
        .map_err(|early| Exit::usage(early.output.trim_end().into()))?;
    let TypedCommand::Run(settings) = typed.command;
    Ok(Command::Run(Config::from_settings(
        &settings, env, read_file,
    )?))
}

/// argh takes no non-UTF-8 arguments, and no Kubernetes manifest has any.
fn as_text(args: impl Iterator<Item = OsString>) -> Result<Vec<String>, Exit> {
    let text = |arg: OsString| {
        arg.into_string().map_err(|arg| {
            Exit::usage(format!(
                "the argument \"{}\" is not UTF-8: write it in plain text",
                arg.as_encoded_bytes().escape_ascii()
            ))
        })
    };
    args.map(text).collect()
}

fn check_flag(name: &str) -> Result<(), Exit> {
    if RUN_FLAGS.contains(&name) {
        return Ok(());
    }
    if !name.starts_with('-') {
        return Err(Exit::usage(format!(
            "{} is no flag: write flags as `--name VALUE` or `--name=VALUE`, see `probelet run --help`",
            Quoted(name)
        )));
    }
    let near = RUN_FLAGS
        .iter()
        .map(|flag| (distance(name, flag), flag))
        .min();
    Err(Exit::usage(match near {
        Some((0..=3, flag)) => format!("there is no flag {name}: did you mean {flag}?"),
        _ => format!("there is no flag {name}: see `probelet run --help`"),
    }))
}

/// How many letters to put in, leave out or change, to come from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A file's bytes; of one that never ends, no more than one over what is then refused.
fn read_file(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = limits::PROBERS_JSON_BYTES as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
