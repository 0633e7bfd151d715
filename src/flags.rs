//! Flags as every command has them: `--name VALUE`, `--name=VALUE`, and a suggestion for a name that is
//! none. Both programs read theirs with it; a mistake is told in words that say what to write, which go behind
//! the program's name.

use crate::telemetry::Discreet;

/// What every command knows.
const HELP: [&str; 2] = ["--help", "-h"];

/// A command, as far as its flags go.
pub(crate) struct Command {
    /// What is typed to get it, such as `probelet run`.
    pub(crate) name: &'static str,
    /// Flags with a value.
    pub(crate) valued: &'static [&'static str],
    /// Flags without.
    pub(crate) bare: &'static [&'static str],
    /// Flags that may stand there more than once.
    pub(crate) repeated: &'static [&'static str],
}

/// One argument, or two that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arg<'a> {
    /// `--help`, where no value is due.
    Help,
    /// A flag; one without a value has an empty one.
    Flag(&'a str, &'a str),
    /// What is no flag.
    Word(&'a str),
}

impl Command {
    /// The arguments one by one, up to the first that is wrong.
    pub(crate) fn read<'a>(&self, args: &'a [String]) -> Result<Vec<Arg<'a>>, String> {
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
    ) -> Result<Arg<'a>, String> {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (arg, None),
        };
        if self.bare.contains(&name) || HELP.contains(&name) {
            return match value {
                None => Ok(Arg::Flag(name, "")),
                Some(_) => Err(format!("{name} takes no value: write `{name}`")),
            };
        }
        if !self.valued.contains(&name) {
            return Err(self.unknown(arg));
        }
        match value.or_else(|| rest.next()) {
            Some(value) => Ok(Arg::Flag(name, value)),
            None => Err(format!(
                "{name} has no value: write `{name} VALUE` or `{name}=VALUE`"
            )),
        }
    }

    fn check_once(&self, name: &str, before: &[Arg<'_>]) -> Result<(), String> {
        let is_it = |arg: &Arg<'_>| matches!(arg, Arg::Flag(other, _) if *other == name);
        if !self.repeated.contains(&name) && before.iter().any(is_it) {
            return Err(format!("{name} is given twice: write it once"));
        }
        Ok(())
    }

    fn unknown(&self, arg: &str) -> String {
        let name = arg.split('=').next().unwrap_or_default();
        let flags = self.valued.iter().chain(self.bare);
        let mut short = self.valued.iter().filter(|flag| flag.len() == 2);
        // kubectl takes a value right behind a letter.
        if let Some(flag) = short.find(|flag| arg.starts_with(**flag)) {
            return format!("there is no flag {name}: write `{flag} {}`", &arg[2..]);
        }
        match nearest(name, flags.copied()) {
            Some(flag) => format!("there is no flag {name}: did you mean {flag}?"),
            None => format!("there is no flag {name}: see `{} --help`", self.name),
        }
    }

    /// What is said of a word where only flags are due.
    pub(crate) fn no_flag(&self, word: &str) -> String {
        format!(
            "{} is no flag: write flags as `--name VALUE` or `--name=VALUE`, see `{} --help`",
            Discreet(word),
            self.name
        )
    }
}

/// The name that was probably meant: long enough to be known by what is right about it, or the one that
/// begins with what was typed.
pub(crate) fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let names: Vec<&str> = names.collect();
    let mut longer = names.iter().filter(|name| name.starts_with(typed));
    if let (Some(name), None, true) = (longer.next(), longer.next(), typed.len() > 4) {
        return Some(name);
    }
    let near = closest(typed, names.into_iter())
        .filter(|(distance, name)| *distance <= 3 && *distance * 2 < name.len());
    near.map(|(_, name)| name)
}

/// The name that is least far away, and how far.
pub(crate) fn closest<'a>(
    typed: &str,
    names: impl Iterator<Item = &'a str>,
) -> Option<(usize, &'a str)> {
    names.map(|name| (distance(typed, name), name)).min()
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
