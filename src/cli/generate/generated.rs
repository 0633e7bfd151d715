//! What all generated files share.

use crate::cli::agent::AGENT;
use crate::cli::inject::INJECTOR;
use crate::cli::table::Program;

pub(super) const PROGRAMS: [&Program; 2] = [&AGENT, &INJECTOR];

/// The first line of each file, as a comment.
pub(super) const NOTE: &str = "Generated from the tables of flags in src/cli.";

/// A generated file: its path in the repository, and its text.
pub(super) struct Generated {
    pub(super) path: String,
    pub(super) text: String,
}
