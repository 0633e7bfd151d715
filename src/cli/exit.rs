//! The exit of a program before it runs a command.

use crate::text::EscapedLines;
use std::io::Write;

/// The exit before a command runs: help, version, or an error in the arguments.
#[derive(Debug, PartialEq, Eq)]
pub struct Exit {
    /// The text to print, without a line break at its end.
    pub text: String,
    /// The exit code: 0, or 2 for an error in the arguments.
    pub code: u8,
    /// Whether the text goes to standard output instead of standard error.
    pub to_stdout: bool,
}

impl Exit {
    /// Prints the text. Returns the exit code.
    pub fn print<O, E>(&self, stdout: &mut O, stderr: &mut E) -> u8
    where
        O: Write + ?Sized,
        E: Write + ?Sized,
    {
        // Nothing can be done about a closed output.
        let _ = match self.to_stdout {
            true => writeln!(stdout, "{}", self.text).and_then(|()| stdout.flush()),
            false => writeln!(stderr, "{}", EscapedLines(&self.text)),
        };
        self.code
    }

    pub(super) fn output(text: String) -> Self {
        Exit {
            text,
            code: 0,
            to_stdout: true,
        }
    }

    pub(super) fn usage(program: &str, text: String) -> Self {
        Exit {
            text: format!("{program}: {text}"),
            code: 2,
            to_stdout: false,
        }
    }
}
