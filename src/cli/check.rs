//! `probelet check` and `probelet install`.

use super::{Command, Exit, help};
use crate::check::{Plan, Typed};
use crate::flags::{self, Arg};
use crate::telemetry::Discreet;

/// The flags of `check`.
pub(super) const FLAGS: flags::Command = flags::Command {
    name: "probelet check",
    valued: &["--cert", "--key", "--timeout", "-H"],
    bare: &["--json", "--verbose"],
    repeated: &["-H"],
};

/// `install` has none.
const INSTALL: flags::Command = flags::Command {
    name: "probelet install",
    valued: &[],
    bare: &[],
    repeated: &[],
};

#[inline(never)] // as `check::run`
pub(super) fn parse(args: &[String]) -> Result<Command, Exit> {
    let mut typed = Typed::default();
    let mut url = None;
    for arg in FLAGS.read(args).map_err(Exit::usage)? {
        match arg {
            Arg::Help => return Err(Exit::asked_for(help::check())),
            Arg::Flag("-H", value) => typed.headers.push(value.into()),
            Arg::Flag("--timeout", value) => typed.timeout = Some(value.into()),
            Arg::Flag("--cert", value) => typed.cert = Some(value.into()),
            Arg::Flag("--key", value) => typed.key = Some(value.into()),
            Arg::Flag("--json", _) => typed.json = true,
            Arg::Flag(..) => typed.verbose = true,
            Arg::Word(word) => once(&mut url, word, "URL")?,
        }
    }
    let url = url.ok_or_else(|| {
        Exit::usage(
            "there is no URL to check: write one such as `probelet check http://10.0.0.7:8080/healthz`"
                .into(),
        )
    })?;
    typed.url = url.into();
    let plan = Plan::from_typed(typed).map_err(|error| Exit::usage(error.to_string()))?;
    Ok(Command::Check(plan))
}

pub(super) fn parse_install(args: &[String]) -> Result<Command, Exit> {
    let mut folder = None;
    for arg in INSTALL.read(args).map_err(Exit::usage)? {
        match arg {
            Arg::Help => return Err(Exit::asked_for(help::install())),
            Arg::Word(word) => once(&mut folder, word, "folder")?,
            // It knows no flag that could come here.
            Arg::Flag(..) => {}
        }
    }
    match folder {
        Some(folder) if !folder.is_empty() => Ok(Command::Install(folder.into())),
        _ => Err(Exit::usage(
            "there is no folder to install into: write one such as `probelet install /probelet`"
                .into(),
        )),
    }
}

fn once<'a>(place: &mut Option<&'a str>, word: &'a str, what: &str) -> Result<(), Exit> {
    match place.replace(word) {
        None => Ok(()),
        Some(_) => Err(Exit::usage(format!(
            "{} is a second {what}: write one",
            Discreet(word)
        ))),
    }
}

#[cfg(test)]
mod tests;
