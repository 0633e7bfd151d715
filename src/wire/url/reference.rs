//! Splits a URL reference into its parts as Go's `url.Parse` does, with the same errors.

use super::escape::{Malformed, check_escapes, escape_value};
use super::scheme::Scheme;
use core::net::Ipv6Addr;

/// The parts of a URL reference, not decoded.
pub(super) struct Reference<'a> {
    pub(super) scheme: &'a [u8],
    /// Whether something other than a slash follows the scheme.
    pub(super) opaque: bool,
    /// Whether there is a user, a host or a port.
    pub(super) has_authority: bool,
    /// Name and password, with their colon.
    pub(super) user: Option<&'a [u8]>,
    /// Without brackets.
    pub(super) host: &'a [u8],
    pub(super) port: &'a [u8],
    pub(super) path: &'a [u8],
    /// Without the question mark; empty if nothing follows it.
    pub(super) query: Option<&'a [u8]>,
}

impl<'a> Reference<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        let (text, fragment) = cut(text, b'#');
        if text.iter().any(u8::is_ascii_control) {
            return Err(Malformed);
        }
        check_escapes(fragment.unwrap_or_default())?;
        let (scheme, rest) = cut_scheme(text)?;
        let (rest, query) = cut(rest, b'?');
        let mut url = Reference {
            scheme,
            opaque: false,
            has_authority: false,
            user: None,
            host: b"",
            port: b"",
            path: rest,
            query,
        };
        if rest.first() != Some(&b'/') {
            if !scheme.is_empty() {
                url.opaque = !rest.is_empty();
                url.path = b"";
                return Ok(url);
            }
            if cut(rest, b'/').0.contains(&b':') {
                return Err(Malformed);
            }
        }
        if rest.starts_with(b"//") && (!scheme.is_empty() || !rest.starts_with(b"///")) {
            let after = &rest[2..];
            let (authority, path) =
                after.split_at(memchr::memchr(b'/', after).unwrap_or(after.len()));
            url.path = path;
            url.authority(authority)?;
        }
        check_escapes(url.path)?;
        Ok(url)
    }

    fn authority(&mut self, text: &'a [u8]) -> Result<(), Malformed> {
        self.has_authority = !text.is_empty();
        let mut host = text;
        if let Some(at) = memchr::memrchr(b'@', text) {
            let user = &text[..at];
            let is_user = |b: &u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(b);
            if !user.iter().all(is_user) {
                return Err(Malformed);
            }
            // Name and password are decoded separately: no escape may contain the first colon.
            let (name, password) = cut(user, b':');
            check_escapes(name)?;
            check_escapes(password.unwrap_or_default())?;
            self.user = Some(user);
            host = &text[at + 1..];
        }
        match memchr::memrchr(b'[', host) {
            Some(0) => self.bracketed(host),
            Some(_) => Err(Malformed),
            None => self.named(host),
        }
    }

    /// `[fe80::1%25eth0]:8080`
    fn bracketed(&mut self, text: &'a [u8]) -> Result<(), Malformed> {
        let close = memchr::memrchr(b']', text).ok_or(Malformed)?;
        self.host = &text[1..close];
        self.port = optional_port(&text[close + 1..])?;
        let zone = self.host.windows(3).position(|three| three == b"%25");
        let (address, zone) = self.host.split_at(zone.unwrap_or(self.host.len()));
        let address = core::str::from_utf8(address).map_err(|_| Malformed)?;
        address.parse::<Ipv6Addr>().map_err(|_| Malformed)?;
        if zone == b"%25" {
            Err(Malformed)
        } else {
            check_zone(zone)
        }
    }

    /// `example.org:8080`
    fn named(&mut self, text: &'a [u8]) -> Result<(), Malformed> {
        let is_web = Scheme::parse(self.scheme).is_some();
        // Schemes other than http and https may have colons in the host, for lists of hosts.
        let colon = match is_web {
            true => memchr::memchr(b':', text),
            false => memchr::memrchr(b':', text),
        };
        let (host, port) = text.split_at(colon.unwrap_or(text.len()));
        self.host = host;
        self.port = optional_port(port)?;
        check_host(host)
    }
}

/// The text before and after the first `separator`.
pub(super) fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(separator, text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )` before the colon, or nothing (RFC 3986 section 3.1).
fn cut_scheme(text: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let end = text
        .iter()
        .position(|b| !(b.is_ascii_alphanumeric() || b"+-.".contains(b)));
    match end {
        Some(0) if text[0] == b':' => Err(Malformed),
        Some(at) if text[at] == b':' && text[0].is_ascii_alphabetic() => {
            Ok((&text[..at], &text[at + 1..]))
        }
        _ => Ok((b"", text)),
    }
}

/// The digits of a port: the text is empty, or a colon and any number of digits.
fn optional_port(text: &[u8]) -> Result<&[u8], Malformed> {
    match text {
        [] => Ok(text),
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => Ok(digits),
        _ => Err(Malformed),
    }
}

/// Whether Go allows the ASCII byte in a host; it allows all others.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

/// Escapes may encode a percent sign and bytes that are not ASCII.
fn check_host(text: &[u8]) -> Result<(), Malformed> {
    check_parts(text, |value| value == b'%' || !value.is_ascii())
}

/// RFC 6874: escapes may encode bytes that are allowed unescaped, and spaces.
fn check_zone(text: &[u8]) -> Result<(), Malformed> {
    check_parts(text, |value| {
        matches!(value, b'%' | b' ') || is_host_byte(value)
    })
}

fn check_parts(text: &[u8], may_be_escaped: impl Fn(u8) -> bool) -> Result<(), Malformed> {
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'%' {
            let value = escape_value(&text[at..]).ok_or(Malformed)?;
            if !may_be_escaped(value) {
                return Err(Malformed);
            }
            at += 3;
        } else if text[at].is_ascii() && !is_host_byte(text[at]) {
            return Err(Malformed);
        } else {
            at += 1;
        }
    }
    Ok(())
}
