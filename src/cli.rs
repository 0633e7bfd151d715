//! What was typed: commands, flags, help and version. One file a command.

#[cfg(feature = "check")]
use crate::check::Plan;
use crate::config::{Config, ConfigError};
use crate::flags;
use crate::telemetry::Discreet;
use std::ffi::OsString;
#[cfg(feature = "check")]
use std::path::PathBuf;

#[cfg(feature = "check")]
mod check;
mod help;
mod run;

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// `probelet run`
    Run(Config),
    /// `probelet check`
    #[cfg(feature = "check")]
    Check(Plan),
    /// `probelet install`
    #[cfg(feature = "check")]
    Install(PathBuf),
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
            "no command: write `probelet run` or `probelet check URL`, or `probelet --help`".into(),
        )),
        Some("--help" | "-h" | "help") => Err(Exit::asked_for(help::top())),
        Some("--version" | "-V") => Err(Exit::asked_for(
            concat!("probelet ", env!("CARGO_PKG_VERSION")).into(),
        )),
        Some("run") => run::parse(&args[1..], env),
        #[cfg(feature = "check")]
        Some("check") => check::parse(&args[1..]),
        #[cfg(feature = "check")]
        Some("install") => check::parse_install(&args[1..]),
        #[cfg(not(feature = "check"))]
        Some(command @ ("check" | "install")) => Err(Exit::usage(format!(
            "this build has no `probelet {command}`: take one with the cargo feature check"
        ))),
        Some(flag) if flag.starts_with('-') => Err(Exit::usage(format!(
            "{} stands before the command: write `probelet run` and then the flags",
            Discreet(flag)
        ))),
        Some(other) => Err(Exit::usage(unknown(other))),
    }
}

fn unknown(command: &str) -> String {
    let typed = Discreet(command);
    if command.contains("://") {
        return format!("there is no command {typed}: write `probelet check URL`");
    }
    match flags::nearest(command, ["run", "check", "install"].into_iter()) {
        Some(near) => format!("there is no command {typed}: did you mean `probelet {near}`?"),
        None => format!("there is no command {typed}: write one of run, check, install"),
    }
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

#[cfg(test)]
mod tests;
