//! Text in double quotes and on one line, for errors and logs. `{:?}` is similar, but adds 4 KiB of Unicode tables
//! that the binary needs for nothing else.

use core::fmt::{Display, Formatter, Result, Write};

/// `"text"`, escaped as a JSON string (RFC 8259 section 7).
pub struct Quoted<'a>(pub &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_ascii_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::Quoted;

    #[test]
    fn quotes_backslashes_and_control_characters_are_escaped() {
        assert_eq!(Quoted("a\"\\\nö").to_string(), "\"a\\\"\\\\\\u000aö\"");
    }
}
