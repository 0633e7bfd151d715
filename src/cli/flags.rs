//! Flags as every command has them: `--name VALUE`, `--name=VALUE`, and a suggestion for a name that is
//! none.

use super::Exit;
use crate::config::Discreet;

/// What every command knows.
const HELP: [&str; 2] = ["--help", "-h"];

/// A command, as far as its flags go.
pub(super) struct Command {
    /// Its name.
    pub(super) name: &'static str,
    /// Flags with a value.
    pub(super) valued: &'static [&'static str],
    /// Flags without.
    pub(super) bare: &'static [&'static str],
    /// Flags that may stand there more than once.
    pub(super) repeated: &'static [&'static str],
}

/// One argument, or two that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arg<'a> {
    /// `--help`, where no value is due.
    Help,
    /// A flag; one without a value has an empty one.
    Flag(&'a str, &'a str),
    /// What is no flag.
    Word(&'a str),
}

impl Command {
    /// The arguments one by one, up to the first that is wrong.
    pub(super) fn read<'a>(&self, args: &'a [String]) -> Result<Vec<Arg<'a>>, Exit> {
        let mut read = Vec::new();
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            let arg = match arg {
                arg if HELP.contains(&arg) => Arg::Help,
                arg if arg.starts_with('-') => self.flag(arg, &mut args)?,
                arg => Arg::Word(arg),
            };
            if let Arg::Flag(name, _) = arg {
                self.check_once(name, &read)?;
            }
            read.push(arg);
            if arg == Arg::Help {
                break;
            }
        }
        Ok(read)
    }

    fn flag<'a>(
        &self,
        arg: &'a str,
        rest: &mut impl Iterator<Item = &'a str>,
    ) -> Result<Arg<'a>, Exit> {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (arg, None),
        };
        if self.bare.contains(&name) || HELP.contains(&name) {
            return match value {
                None => Ok(Arg::Flag(name, "")),
                Some(_) => Err(Exit::usage(format!(
                    "{name} takes no value: write `{name}`"
                ))),
            };
        }
        if !self.valued.contains(&name) {
            return Err(self.unknown(name));
        }
        match value.or_else(|| rest.next()) {
            Some(value) => Ok(Arg::Flag(name, value)),
            None => Err(Exit::usage(format!(
                "{name} has no value: write `{name} VALUE` or `{name}=VALUE`"
            ))),
        }
    }

    fn check_once(&self, name: &str, before: &[Arg<'_>]) -> Result<(), Exit> {
        let is_it = |arg: &Arg<'_>| matches!(arg, Arg::Flag(other, _) if *other == name);
        if !self.repeated.contains(&name) && before.iter().any(is_it) {
            return Err(Exit::usage(format!("{name} is given twice: write it once")));
        }
        Ok(())
    }

    fn unknown(&self, name: &str) -> Exit {
        let flags = self.valued.iter().chain(self.bare);
        Exit::usage(match nearest(name, flags.copied()) {
            Some(flag) => format!("there is no flag {name}: did you mean {flag}?"),
            None => format!(
                "there is no flag {name}: see `probelet {} --help`",
                self.name
            ),
        })
    }

    /// What is said of a word where only flags are due.
    pub(super) fn no_flag(&self, word: &str) -> Exit {
        Exit::usage(format!(
            "{} is no flag: write flags as `--name VALUE` or `--name=VALUE`, see `probelet {} --help`",
            Discreet(word),
            self.name
        ))
    }
}

/// The name that was probably meant: long enough to be known by what is right about it.
pub(super) fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names
        .map(|name| (distance(typed, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 3 && *distance * 2 < name.len());
    near.map(|(_, name)| name)
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
