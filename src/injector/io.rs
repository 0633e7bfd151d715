//! The standard streams of a process, and the errors that end it.

use crate::text::{EscapedLine, EscapedLines};
use core::fmt::Display;
use std::io::{self, Read, Write};

/// The name before every error.
pub(crate) const PROGRAM: &str = "probelet-inject";

/// The standard streams of a process.
pub struct Io<'a> {
    /// Standard input.
    pub stdin: &'a mut dyn Read,
    /// Standard output.
    pub stdout: &'a mut dyn Write,
    /// Whether standard output is a terminal.
    pub is_terminal: bool,
    /// Standard error.
    pub stderr: &'a mut dyn Write,
}

/// Why a command ends early.
#[derive(Debug)]
pub(super) enum Error {
    /// An error in an argument, with what to write.
    Usage(String),
    /// The command failed, for this reason.
    Failed(String),
    /// The reader of standard output closed it.
    Closed,
}

/// Prints a line to standard error. Nothing can be done if it is closed; the exit code remains.
pub(super) fn print_line(stderr: &mut dyn Write, line: impl Display) {
    let _ = writeln!(stderr, "{}", EscapedLine(line));
}

impl Error {
    /// A failure of an operation on a file.
    pub(super) fn io(what: impl Display, error: &io::Error) -> Self {
        Self::Failed(format!("{what}: {error}"))
    }

    /// A failure to write to standard output.
    pub(super) fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::io("standard output cannot be written", error),
        }
    }

    /// Prints the error. Returns the exit code.
    pub(super) fn print(self, io: &mut Io<'_>) -> u8 {
        let (text, code) = match self {
            Self::Closed => return 1,
            Self::Usage(text) => (text, 2),
            Self::Failed(text) => (text, 1),
        };
        // Nothing can be done about a closed standard error.
        let _ = writeln!(io.stderr, "{PROGRAM}: {}", EscapedLines(text));
        code
    }
}
