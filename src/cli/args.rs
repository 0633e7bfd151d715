//! Splits arguments by a command's table: `--name VALUE`, `--name=VALUE`, switches and positional arguments. An error says what
//! to write, and suggests a flag for an unknown name.

use super::exit::Exit;
use super::help;
#[cfg(any(feature = "check", feature = "inject"))]
use super::table::Table;
use super::table::{Command, Flag};
use crate::text::{Redacted, suggest};

/// The flags that every command has.
const HELP: [&str; 2] = ["--help", "-h"];

/// The arguments of a command, split.
pub(super) struct Args<'a> {
    command: &'static Command,
    flags: Vec<(&'static Flag, &'a str)>,
    /// The positional arguments.
    positionals: Vec<&'a str>,
}

/// The result of parsing all arguments.
enum Parsed {
    Arguments,
    /// The help is requested.
    HelpRequested,
}

impl<'a> Args<'a> {
    /// Splits the arguments.
    ///
    /// # Errors
    /// The help, if it is requested before the first error; else the first error.
    pub(super) fn split(command: &'static Command, args: &'a [String]) -> Result<Self, Exit> {
        Self::split_or(command, args, |error| error)
    }

    /// Splits the arguments like `split`. `explain` may replace the text of an error.
    pub(super) fn split_or(
        command: &'static Command,
        args: &'a [String],
        explain: impl FnOnce(String) -> String,
    ) -> Result<Self, Exit> {
        let mut split = Args {
            command,
            flags: Vec::new(),
            positionals: Vec::new(),
        };
        match split.parse_all(args) {
            Ok(Parsed::Arguments) => Ok(split),
            Ok(Parsed::HelpRequested) => Err(Exit::output(help::of_command(command))),
            Err(error) => Err(command.usage_error(explain(error))),
        }
    }

    fn parse_all(&mut self, args: &'a [String]) -> Result<Parsed, String> {
        let mut args = args.iter().map(String::as_str).peekable();
        while let Some(arg) = args.next() {
            if HELP.contains(&arg) {
                return Ok(Parsed::HelpRequested);
            }
            if arg == "--" {
                self.positionals.extend(args.by_ref());
                break;
            }
            if !arg.starts_with('-') {
                self.positionals.push(arg);
                continue;
            }
            let (name, value) = match (arg.split_once('='), self.command.attached_value(arg)) {
                (Some((name, value)), None) => (name, Some(value)),
                (_, Some((name, value))) => (name, Some(value)),
                (None, None) => (arg, None),
            };
            let Some(flag) = self.command.find(name) else {
                return Err(match value {
                    Some(_) if HELP.contains(&name) => takes_no_value(name),
                    _ => self.command.unknown_flag(arg),
                });
            };
            let value = match (flag.value, value) {
                (None, None) => "",
                (None, Some(_)) => return Err(takes_no_value(name)),
                (Some(_), Some(value)) => value,
                // The name of another flag is no value: the value was forgotten.
                (Some(_), None) => args
                    .next_if(|next| !self.command.is_flag(next))
                    .ok_or_else(|| {
                        format!("{name} needs a value: write `{name} VALUE` or `{name}=VALUE`")
                    })?,
            };
            let is_same = |(other, _): &(&Flag, &str)| other.long == flag.long;
            if !flag.is_repeatable && self.flags.iter().any(is_same) {
                return Err(format!("{name} is given twice: write it once"));
            }
            self.flags.push((flag, value));
        }
        Ok(Parsed::Arguments)
    }

    /// Adds the flags of environment variables, unless an argument sets them.
    #[cfg(feature = "check")]
    pub(super) fn add_variables(&mut self, variables: &'a [(&'static Flag, String)]) {
        let given: Vec<&str> = self.flags.iter().map(|(flag, _)| flag.long).collect();
        for (flag, value) in variables {
            if !given.contains(&flag.long) {
                self.flags.push((flag, value));
            }
        }
    }

    /// The flags that are given, and their values.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static Flag, &'a str)> {
        self.flags.iter().copied()
    }

    /// Parses the flags of one of the command's tables into its struct.
    ///
    /// # Errors
    /// An error of argh. `split` has rejected all of these before.
    #[cfg(any(feature = "check", feature = "inject"))]
    pub(super) fn parse_table<T: Table>(&self) -> Result<T, Exit> {
        let mut args = Vec::new();
        for (flag, value) in &self.flags {
            let mut of_table = T::SECTIONS.iter().flat_map(|section| section.flags);
            if of_table.any(|other| other.long == flag.long) {
                args.push(flag.long);
                args.extend(flag.value.map(|_| *value));
            }
        }
        T::from_args(&[self.command.name], &args)
            .map_err(|early| self.command.usage_error(early.output.trim_end().into()))
    }

    /// Checks that there is no positional argument.
    ///
    /// # Errors
    /// The first one, and the advice.
    pub(super) fn check_no_positionals(&self, advice: &str) -> Result<(), Exit> {
        match self.positionals.first() {
            None => Ok(()),
            Some(argument) => Err(self.command.usage_error(format!(
                "{} is not a flag: {advice}, see `{} --help`",
                Redacted(argument),
                self.command.name
            ))),
        }
    }

    /// The only positional argument; `None` if there is none.
    ///
    /// # Errors
    /// The second one, if there are several.
    #[cfg(feature = "check")]
    pub(super) fn only_positional(&self, what: &str) -> Result<Option<&'a str>, Exit> {
        match *self.positionals {
            [] => Ok(None),
            [argument] => Ok(Some(argument)),
            [_, second, ..] => Err(self.command.usage_error(format!(
                "{} is a second {what}: write one",
                Redacted(second)
            ))),
        }
    }
}

fn takes_no_value(name: &str) -> String {
    format!("{name} takes no value: write `{name}`")
}

impl Command {
    /// The exit for an error in the arguments.
    pub(super) fn usage_error(&self, text: String) -> Exit {
        let program = self
            .name
            .rsplit_once(' ')
            .map_or("", |(program, _)| program);
        Exit::usage(program, text)
    }

    pub(super) fn find(&self, name: &str) -> Option<&'static Flag> {
        self.flags().find(|flag| flag.spellings.contains(&name))
    }

    /// Splits `-HVALUE` of a flag with one letter, as curl and kubectl do.
    fn attached_value<'a>(&self, arg: &'a str) -> Option<(&'static str, &'a str)> {
        let valued = self.flags().filter(|flag| flag.value.is_some());
        let mut letters = valued
            .map(|flag| flag.spellings[0])
            .filter(|name| name.len() == 2);
        letters.find_map(|name| match arg.strip_prefix(name)? {
            value if value.is_empty() || value.starts_with('=') => None,
            value => Some((name, value)),
        })
    }

    fn is_flag(&self, arg: &str) -> bool {
        arg.split('=')
            .next()
            .is_some_and(|name| self.find(name).is_some())
    }

    fn unknown_flag(&self, arg: &str) -> String {
        let name = arg.split('=').next().unwrap_or_default();
        let names = self.flags().flat_map(|flag| flag.spellings.iter().copied());
        match suggest(name, names) {
            Some(near) => format!("unknown flag {name}: did you mean {near}?"),
            None => format!("unknown flag {name}: see `{} --help`", self.name),
        }
    }
}
