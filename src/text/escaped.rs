//! Text of others in messages that are printed: characters that a terminal obeys instead of showing are escaped.

use core::fmt::{Display, Formatter, Result, Write};

use super::quoted::is_obeyed;

/// One line: every such character is escaped, also a line feed.
pub struct EscapedLine<T>(pub T);

/// A message of one or more lines, whose line feeds and tabs remain.
pub struct EscapedLines<T>(pub T);

impl<T: Display> Display for EscapedLine<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(Escaping { to: f, kept: "" }, "{}", self.0)
    }
}

impl<T: Display> Display for EscapedLines<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let kept = "\n\t";
        write!(Escaping { to: f, kept }, "{}", self.0)
    }
}

/// Escapes what is written.
struct Escaping<'a, 'f> {
    to: &'a mut Formatter<'f>,
    /// The characters that remain.
    kept: &'static str,
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> Result {
        text.chars().try_for_each(|c| self.write_char(c))
    }

    fn write_char(&mut self, c: char) -> Result {
        match is_obeyed(c) && !self.kept.contains(c) {
            true => write!(self.to, "\\u{:04x}", u32::from(c)),
            false => self.to.write_char(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_control_characters_and_no_bidirectional_marks() {
        let line = EscapedLine(format_args!("a\n{}\tö\u{202e}", "\u{1b}[2J\u{9b}"));
        let expected = r"a\u000a\u001b[2J\u009b\u0009ö\u202e";
        assert_eq!(line.to_string(), expected);
    }

    #[test]
    fn the_lines_of_a_message_remain() {
        let lines = EscapedLines("a:\n\tb\r\u{2028}\u{61c}\u{200f}\n");
        assert_eq!(lines.to_string(), "a:\n\tb\\u000d\\u2028\\u061c\\u200f\n");
    }
}
