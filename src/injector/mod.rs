//! The commands of `probelet-inject`: what was typed, manifests in and out. One file a command.

mod audit;
mod diff;
mod documents;
mod file;
mod help;
mod in_place;
mod inputs;
mod output;
mod patch;
mod replacement;
mod serve;
mod settings;
mod typed;

use crate::flags::nearest;
use crate::telemetry::Discreet;
use std::ffi::OsString;
use std::io::{self, Read, Write};

/// The name before every error.
const PROGRAM: &str = "probelet-inject";

/// The commands, as they are typed.
const COMMANDS: [&str; 4] = ["file", "kube-inject", "audit", "serve"];

/// What a process has: manifests come in and go out here, and lines for a person.
pub struct Io<'a> {
    /// Standard input.
    pub stdin: &'a mut dyn Read,
    /// Standard output.
    pub stdout: &'a mut dyn Write,
    /// Standard error.
    pub stderr: &'a mut dyn Write,
}

/// An end other than a command's own.
#[derive(Debug)]
enum Stop {
    /// Help or version.
    Asked(String),
    /// What was typed cannot be meant: what to write instead.
    Usage(String),
    /// It cannot be done, and why.
    Failed(String),
    /// Whoever reads standard output went away, and has no use for words.
    Closed,
}

impl Stop {
    /// What cannot be done with a file.
    fn io(doing: impl core::fmt::Display, error: &io::Error) -> Self {
        Self::Failed(format!("{doing}: {error}"))
    }

    /// What comes of an error of standard output.
    fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::io("standard output cannot be written", error),
        }
    }

    fn say(self, io: &mut Io<'_>) -> u8 {
        // A reader that went away has no use for the rest.
        let (text, code) = match self {
            Self::Asked(text) => {
                let _ = writeln!(io.stdout, "{text}").and_then(|()| io.stdout.flush());
                return 0;
            }
            Self::Closed => return 1,
            Self::Usage(text) => (text, 2),
            Self::Failed(text) => (text, 1),
        };
        let _ = writeln!(io.stderr, "{PROGRAM}: {text}");
        code
    }
}

/// Does what the arguments say, the program's name left out. The exit code: 0, 1 for what failed or is not as
/// it should be, 2 for what was typed wrong.
pub fn main(args: impl Iterator<Item = OsString>, io: &mut Io<'_>) -> u8 {
    let done = as_text(args).and_then(|args| command(&args, io));
    done.unwrap_or_else(|stop| stop.say(io))
}

fn command(args: &[String], io: &mut Io<'_>) -> Result<u8, Stop> {
    let (command, args) = match args.split_first() {
        None => {
            return Err(Stop::Usage(format!(
                "no command: write `{PROGRAM} file -f app.yaml`, or `{PROGRAM} --help`"
            )));
        }
        Some((command, args)) => (command.as_str(), args),
    };
    match command {
        "--help" | "-h" | "help" => Err(Stop::Asked(help::top())),
        "--version" | "-V" => {
            let version = env!("CARGO_PKG_VERSION");
            Err(Stop::Asked(format!("{PROGRAM} {version}")))
        }
        "file" | "kube-inject" => file::run(args, io),
        "audit" => audit::run(args, io),
        "serve" => serve::run(args),
        other => Err(Stop::Usage(unknown(other))),
    }
}

fn unknown(command: &str) -> String {
    let typed = Discreet(command);
    if command.starts_with('-') {
        return format!(
            "{typed} stands before the command: write `{PROGRAM} file` and then the flags"
        );
    }
    match nearest(command, COMMANDS.into_iter()) {
        Some(near) => format!("there is no command {typed}: did you mean `{PROGRAM} {near}`?"),
        None => format!(
            "there is no command {typed}: write one of {}",
            COMMANDS.join(", ")
        ),
    }
}

fn as_text(args: impl Iterator<Item = OsString>) -> Result<Vec<String>, Stop> {
    let text = |arg: OsString| {
        arg.into_string().map_err(|arg| {
            Stop::Usage(format!(
                "the argument \"{}\" is not UTF-8: write it in plain text",
                arg.as_encoded_bytes().escape_ascii()
            ))
        })
    };
    args.map(text).collect()
}
