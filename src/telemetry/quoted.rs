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

/// The same of what may be a URL, less any name and password: all from the scheme to the last `@`, as a
/// password may hold what would end it.
pub struct Discreet<'a>(pub &'a str);

impl Display for Discreet<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Discreet(text) = *self;
        let Some((user, rest)) = text.rsplit_once('@') else {
            return Quoted(text).fmt(f);
        };
        let scheme = user.find("://").map_or(0, |colon| colon + 3);
        match user.contains(':') || user.starts_with("//") {
            true => Quoted(&[&user[..scheme], "***@", rest].concat()).fmt(f),
            // `a@b` is a name, or the path of a file.
            false => Quoted(text).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Discreet, Quoted};

    #[test]
    fn what_would_end_the_text_or_the_line_is_escaped() {
        assert_eq!(Quoted("a\"\\\nö").to_string(), "\"a\\\"\\\\\\u000aö\"");
    }

    #[test]
    fn a_password_is_hidden() {
        for (text, shown) in [
            ("http://a/b", "http://a/b"),
            ("http://u:p@a/b", "http://***@a/b"),
            ("http://u@a/b", "http://***@a/b"),
            ("http://u:/?#@p@a/b", "http://***@a/b"),
            ("u:p@a", "***@a"),
            ("//p@a", "***@a"),
            ("/etc/a@b", "/etc/a@b"),
            ("", ""),
        ] {
            assert_eq!(Discreet(text).to_string(), format!("\"{shown}\""));
        }
    }
}
