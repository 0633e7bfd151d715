//! Text that may contain a secret, for errors and logs.

use core::fmt::{Display, Formatter, Result};

use super::Quoted;

/// Like [`Quoted`], but replaces the userinfo of a URL by `***`: everything between the scheme and the last `@`, because
/// a password may contain `/`, `?` or `#`.
pub struct Redacted<'a>(pub &'a str);

impl Display for Redacted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Redacted(text) = *self;
        let Some((user, rest)) = text.rsplit_once('@') else {
            return Quoted(text).fmt(f);
        };
        let scheme = user.find("://").map_or(0, |colon| colon + 3);
        match user.contains(':') || user.starts_with("//") {
            true => Quoted(&[&user[..scheme], "***@", rest].concat()).fmt(f),
            // `a@b` is a name, or a path.
            false => Quoted(text).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Redacted;

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
            assert_eq!(Redacted(text).to_string(), format!("\"{shown}\""));
        }
    }
}
