//! The type of a generated file, and what all of them share.

use crate::cli::injector::PROBELET_INJECT;
use crate::cli::probelet::PROBELET;
use crate::cli::table::Program;

pub(super) const PROGRAMS: [&Program; 2] = [&PROBELET, &PROBELET_INJECT];

/// The first line of each file, as a comment.
pub(super) const NOTE: &str = "Generated from the tables of flags in src/cli.";

/// A generated file: its path in the repository, and its text.
pub(super) struct Generated {
    pub(super) path: String,
    pub(super) text: String,
}
