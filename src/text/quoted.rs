//! Text in double quotes and on one line, for errors and logs. `{:?}` is similar, but adds 4 KiB of Unicode tables
//! that the binary needs for nothing else.

use core::fmt::{Display, Formatter, Result, Write};

/// `"text"`, escaped as a JSON string (RFC 8259 section 7), with further characters that JSON permits but a terminal obeys.
pub struct Quoted<'a>(pub &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if is_obeyed(c) => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Whether a terminal obeys the character instead of showing it: control characters (C0, DEL, C1), line and paragraph
/// separators, and the characters that change the direction of the text after them (Unicode Standard Annex 9, table 4,
/// with the deprecated ones of U+206A to U+206F).
pub(super) fn is_obeyed(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}'
    )
}

#[cfg(test)]
mod tests {
    use super::Quoted;

    #[test]
    fn quotes_backslashes_and_control_characters_are_escaped() {
        assert_eq!(Quoted("a\"\\\nö").to_string(), "\"a\\\"\\\\\\u000aö\"");
    }

    #[test]
    fn characters_that_a_terminal_obeys_are_escaped_and_their_neighbours_are_not() {
        let ranges = [
            ('\0', '\x1f'),
            ('\x7f', '\u{9f}'),
            ('\u{61c}', '\u{61c}'),
            ('\u{200e}', '\u{200f}'),
            ('\u{2028}', '\u{202e}'),
            ('\u{2066}', '\u{206f}'),
        ];
        for (first, last) in ranges {
            for c in first..=last {
                let escaped = format!("\"\\u{:04x}\"", u32::from(c));
                assert_eq!(Quoted(&c.to_string()).to_string(), escaped);
            }
        }
        for c in [
            " ", "~", "\u{a0}", "\u{61b}", "\u{200d}", "\u{2027}", "\u{202f}", "\u{2070}",
        ] {
            assert_eq!(Quoted(c).to_string(), format!("\"{c}\""));
        }
    }
}
