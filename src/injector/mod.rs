//! The commands of `probelet-inject`, one per file: they read manifests, inject them, and write or report the result.

mod atomic_file;
mod audit;
mod diff;
mod documents;
mod file;
mod in_place;
mod inputs;
mod io;
mod list_items;
mod output;
mod patch;
mod settings;

pub(crate) use audit::{AuditOptions, Label};
pub(crate) use file::{Destination, FileOptions, Format};
pub(crate) use inputs::InputOptions;
pub use io::Io;
pub(crate) use io::PROGRAM;
pub(crate) use settings::SettingSources;

use crate::webhook;
use io::Error;

/// A command and its options.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// `probelet-inject file`
    File(FileOptions),
    /// `probelet-inject audit`
    Audit(AuditOptions),
    /// `probelet-inject serve`
    Serve(webhook::Options),
}

/// Runs a command.
///
/// Returns the exit code: 0, 1 for a failure or a finding, 2 for an error in the arguments.
pub(crate) fn run(invocation: Invocation, io: &mut Io<'_>) -> u8 {
    let done = match invocation {
        Invocation::File(options) => file::run(options, io),
        Invocation::Audit(options) => audit::run(options, io),
        Invocation::Serve(options) => webhook::run(options)
            .map(|()| 0)
            .map_err(|error| Error::Failed(error.to_string())),
    };
    done.unwrap_or_else(|error| error.print(io))
}
