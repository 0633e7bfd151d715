//! Parsing that both programs share: decodes the arguments and splits the command off.

use super::exit::Exit;
use super::help;
use super::table::Program;
use crate::text::{Redacted, suggest};
use std::ffi::OsString;

impl Program {
    /// Decodes the arguments. argh accepts UTF-8 alone, and no Kubernetes manifest has anything else.
    ///
    /// # Errors
    /// The first argument that is not UTF-8.
    pub(super) fn decode(&self, args: impl Iterator<Item = OsString>) -> Result<Vec<String>, Exit> {
        let decode = |arg: OsString| {
            arg.into_string().map_err(|arg| {
                self.usage_error(format!(
                    "the argument \"{}\" is not UTF-8: encode it as UTF-8",
                    arg.as_encoded_bytes().escape_ascii()
                ))
            })
        };
        args.map(decode).collect()
    }

    /// Splits the command off.
    ///
    /// # Errors
    /// The help or the version, if it is requested; a missing command.
    pub(super) fn split_command<'a>(
        &self,
        args: &'a [String],
    ) -> Result<(&'a str, &'a [String]), Exit> {
        let Some((command, rest)) = args.split_first() else {
            return Err(self.usage_error(format!(
                "no command: write {}, or `{} --help`",
                self.first_steps, self.name
            )));
        };
        match &**command {
            "--help" | "-h" | "help" => Err(Exit::output(help::of_program(self))),
            "--version" | "-V" => {
                let version = env!("CARGO_PKG_VERSION");
                Err(Exit::output(format!("{} {version}", self.name)))
            }
            flag if flag.starts_with('-') => Err(self.usage_error(format!(
                "{} comes before the command: write `{} {}` and then the flags",
                Redacted(flag),
                self.name,
                self.command_names[0]
            ))),
            command => Ok((command, rest)),
        }
    }

    /// The exit for an unknown command.
    pub(super) fn unknown_command(&self, command: &str) -> Exit {
        let (shown, name) = (Redacted(command), self.name);
        let near = suggest(command, self.command_names.iter().copied());
        self.usage_error(match near {
            Some(near) => format!("unknown command {shown}: did you mean `{name} {near}`?"),
            None => format!(
                "unknown command {shown}: write one of {}",
                self.command_names.join(", ")
            ),
        })
    }

    /// The exit for an error in the arguments.
    pub(super) fn usage_error(&self, text: String) -> Exit {
        Exit::usage(self.name, text)
    }
}
