//! Text as it was given, in double quotes and on one line, for errors and logs. `{:?}` would do much
//! the same, but brings 4 KiB of Unicode tables into a binary that needs them for nothing else.

use core::fmt::{self, Display, Formatter, Write};

/// `"text"`, escaped as JSON wants it (RFC 8259 section 7).
pub struct Quoted<'a>(pub &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
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
    fn what_would_end_the_text_or_the_line_is_escaped() {
        assert_eq!(Quoted("a\"\\\nö").to_string(), "\"a\\\"\\\\\\u000aö\"");
    }
}
