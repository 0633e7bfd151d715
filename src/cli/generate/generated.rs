//! What all generated files share.

use crate::cli::agent::AGENT;
use crate::cli::inject::INJECTOR;
use crate::cli::table::{Command, Flag, Program};

pub(super) const PROGRAMS: [&Program; 2] = [&AGENT, &INJECTOR];

/// The first line of each file, as a comment.
pub(super) const NOTE: &str = "Generated from the tables of flags in src/cli.";

/// A generated file: its path in the repository, and its text.
pub(super) struct Generated {
    pub(super) path: String,
    pub(super) text: String,
}

/// The environment variables of a flag, in the order in which they are read.
pub(super) fn variables(command: &Command, flag: &Flag) -> Vec<String> {
    let own = command.variables.map(|prefix| {
        let name = flag.long.trim_start_matches('-').replace('-', "_");
        format!("{prefix}{}", name.to_uppercase())
    });
    let others = flag.variables.iter().map(|name| (*name).into());
    own.into_iter().chain(others).collect()
}
