//! The parts of Go's `net/url` that kubelet's behaviour rests on, over bytes: what a prober's path
//! looks like on the wire, and where a `Location` leads. Following a redirect allocates nothing.

use core::net::Ipv6Addr;

/// How a URL is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plaintext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The port of a URL that names none.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// Why kubelet could not send a prober's path as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// It is a URL with a user, which Go's client turns into a header.
    UserInfo,
    /// It is a URL such as `http:x`, which Go's client refuses for want of a host.
    Opaque,
}

/// The request-target (origin-form, RFC 9112 section 3.2.1) that kubelet sends for the `path` of an
/// `httpGet` (`pkg/probe/http/request.go`: `formatURL`; `net/url`: `RequestURI`).
///
/// # Errors
/// Paths that kubelet never gets to send as a plain request.
pub fn request_target(path: &str) -> Result<Box<str>, BadPath> {
    let mut out = Vec::with_capacity(path.len() + 1);
    match Reference::parse(path.as_bytes()) {
        Ok(Reference { user: true, .. }) => return Err(BadPath::UserInfo),
        Ok(Reference { opaque: true, .. }) => return Err(BadPath::Opaque),
        Ok(url) => {
            if !is_rooted(url.path) {
                out.push(b'/');
            }
            escaped_path(url.path, |byte| out.push(byte));
            if let Some(query) = url.query {
                out.push(b'?');
                out.extend_from_slice(query);
            }
        }
        // What cannot be parsed is taken for a path as a whole.
        Err(_) => {
            if !path.starts_with('/') {
                out.push(b'/');
            }
            path.bytes()
                .for_each(|byte| escape(byte, &mut |b| out.push(b)));
        }
    }
    // Whole UTF-8 went in, and only ASCII was cut off or put in its place.
    Ok(String::from_utf8_lossy(&out).into())
}

/// What a `Location` is resolved against: the request that was answered with it.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// How it was sent.
    pub scheme: Scheme,
    /// The host as kubelet dialled it, without brackets or port.
    pub host: &'a [u8],
    /// The port it went to.
    pub port: u16,
    /// Whether its URL named the port: kubelet's first URL does.
    pub port_given: bool,
    /// Its path and query, beginning with a slash.
    pub request_target: &'a [u8],
}

/// Where a `Location` leads; the request-target is written apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The host is, letter by letter, the one that was dialled. kubelet follows no other
    /// (`pkg/probe/http/http.go`: `RedirectChecker`); all else here then means nothing.
    pub same_host: bool,
    /// How to send it.
    pub scheme: Scheme,
    /// Where to send it.
    pub port: u16,
    /// Whether the URL names the port: Go's `Host` field then does as well.
    pub port_given: bool,
    /// The `Location` had a scheme: Go then forgets a `Host` header of the prober's own
    /// (`net/http/client.go`: `do`).
    pub was_absolute: bool,
}

/// Why a `Location` cannot be followed; kubelet fails the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLocation {
    /// Go's `url.Parse` refuses it.
    Malformed,
    /// The same host, by neither http nor https.
    Scheme,
    /// The same host, at a port that is 0 or over 65535.
    Port,
    /// The request-target does not fit.
    TooLong,
}

/// Resolves `location` against `base` as Go's client does (`url.Parse`, `ResolveReference`), and
/// writes the request-target into `out`. An empty `location` counts in Go as none at all: it is the
/// caller's to tell apart.
///
/// # Errors
/// What kubelet would fail the probe for, and what does not fit in `out`.
pub fn resolve<const N: usize>(
    location: &[u8],
    base: &Base<'_>,
    out: &mut heapless::Vec<u8, N>,
) -> Result<Redirect, BadLocation> {
    let url = Reference::parse(location).map_err(|Malformed| BadLocation::Malformed)?;
    let was_absolute = !url.scheme.is_empty();
    let mut redirect = Redirect {
        same_host: true,
        scheme: base.scheme,
        port: base.port,
        port_given: base.port_given,
        was_absolute,
    };
    let has_authority = was_absolute || url.has_authority;
    if has_authority {
        redirect.same_host = same_host(url.host, base.host);
        if !redirect.same_host {
            return Ok(redirect);
        }
        if was_absolute {
            redirect.scheme = scheme(url.scheme).ok_or(BadLocation::Scheme)?;
        }
        redirect.port_given = !url.port.is_empty();
        redirect.port = port(url.port, redirect.scheme)?;
    }
    write_target(&url, has_authority, base.request_target, out)
        .map_err(|Full| BadLocation::TooLong)?;
    Ok(redirect)
}

fn scheme(name: &[u8]) -> Option<Scheme> {
    if name.eq_ignore_ascii_case(b"http") {
        Some(Scheme::Http)
    } else if name.eq_ignore_ascii_case(b"https") {
        Some(Scheme::Https)
    } else {
        None
    }
}

/// `digits` as Go's dialler reads them: any number of leading zeros.
fn port(digits: &[u8], scheme: Scheme) -> Result<u16, BadLocation> {
    if digits.is_empty() {
        return Ok(scheme.default_port());
    }
    let add =
        |port: u32, &digit: &u8| (port * 10 + u32::from(digit - b'0')).min(u32::from(u16::MAX) + 1);
    match u16::try_from(digits.iter().fold(0, add)) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(BadLocation::Port),
    }
}

/// The output has no room left.
struct Full;

fn write_target<const N: usize>(
    url: &Reference<'_>,
    has_authority: bool,
    base: &[u8],
    out: &mut heapless::Vec<u8, N>,
) -> Result<(), Full> {
    let (base_path, base_query) = cut(base, b'?');
    let absolute = has_authority || is_rooted(url.path);
    out.clear();
    if !absolute {
        // A reference without a path keeps the whole path, another all but its last segment.
        let kept = match memchr::memrchr(b'/', base_path) {
            Some(slash) if !url.path.is_empty() => &base_path[..=slash],
            _ => base_path,
        };
        out.extend_from_slice(kept).map_err(|_| Full)?;
    }
    let mut fits = true;
    escaped_path(url.path, |byte| fits &= out.push(byte).is_ok());
    if !fits {
        return Err(Full);
    }
    remove_dot_segments(out);
    if out.first() != Some(&b'/') {
        out.insert(0, b'/').map_err(|_| Full)?;
    }
    let inherits = !absolute && url.path.is_empty();
    let query = url
        .query
        .or(base_query.filter(|query| inherits && !query.is_empty()));
    if let Some(query) = query {
        out.push(b'?').map_err(|_| Full)?;
        out.extend_from_slice(query).map_err(|_| Full)?;
    }
    Ok(())
}

/// Takes `.` and `..` out of a path that is empty or begins with a slash, in place: what is written
/// is never ahead of what is read. Goes Go's way (`net/url`: `resolvePath`) rather than RFC 3986
/// section 5.2.4's where the two part: `/../a` and empty segments.
fn remove_dot_segments<const N: usize>(path: &mut heapless::Vec<u8, N>) {
    let (mut written, mut read) = (0, 0);
    let mut slash_before = false;
    loop {
        let end = memchr::memchr(b'/', &path[read..]).map_or(path.len(), |i| read + i);
        let is_dots = matches!(&path[read..end], b"." | b"..");
        if &path[read..end] == b".." {
            written = memchr::memrchr(b'/', &path[..written]).unwrap_or(0);
            slash_before = written != 0;
        } else if &path[read..end] == b"." {
            slash_before = true;
        } else {
            if slash_before {
                path[written] = b'/';
                written += 1;
            }
            path.copy_within(read..end, written);
            written += end - read;
            slash_before = true;
        }
        if end == path.len() {
            if is_dots {
                path[written] = b'/';
                written += 1;
            }
            path.truncate(written);
            return;
        }
        read = end + 1;
    }
}

/// A URL reference in parts, as Go's `url.Parse` cuts it: nothing decoded yet.
struct Reference<'a> {
    scheme: &'a [u8],
    /// Has a scheme and then neither slash nor nothing.
    opaque: bool,
    /// Has a user, a host or a port.
    has_authority: bool,
    user: bool,
    /// Without brackets.
    host: &'a [u8],
    port: &'a [u8],
    path: &'a [u8],
    /// Without the question mark; empty when nothing follows it.
    query: Option<&'a [u8]>,
}

/// Go's `url.Parse` gives an error.
struct Malformed;

impl<'a> Reference<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
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
            user: false,
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
            // Name and password are decoded apart, so no escape may lie across the first colon.
            let (name, password) = cut(user, b':');
            check_escapes(name)?;
            check_escapes(password.unwrap_or_default())?;
            self.user = true;
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
        let zone = memchr::memmem::find(self.host, b"%25");
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
        let is_web = scheme(self.scheme).is_some();
        // Other schemes than the web's may have colons in their host, for lists of hosts.
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

/// Before and after the first `separator`.
fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
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

/// Nothing, or a colon and any number of digits; the digits.
fn optional_port(text: &[u8]) -> Result<&[u8], Malformed> {
    match text {
        [] => Ok(text),
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => Ok(digits),
        _ => Err(Malformed),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// What the escape at the beginning of `text` stands for.
fn escape_value(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

/// Each `%` has two hex digits after it.
fn check_escapes(text: &[u8]) -> Result<(), Malformed> {
    for at in memchr::memchr_iter(b'%', text) {
        escape_value(&text[at..]).ok_or(Malformed)?;
    }
    Ok(())
}

/// ASCII that Go lets stand in a host; of what is not ASCII, anything may.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

/// Escapes may stand for a percent sign and what is not ASCII.
fn check_host(text: &[u8]) -> Result<(), Malformed> {
    check_parts(text, |value| value == b'%' || !value.is_ascii())
}

/// RFC 6874: escapes may stand for what could stand there by itself, and for spaces.
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

/// Go compares decoded names, byte by byte.
fn same_host(encoded: &[u8], dialled: &[u8]) -> bool {
    let mut rest = encoded;
    for &byte in dialled {
        let (value, length) = match escape_value(rest) {
            Some(value) => (value, 3),
            None if rest.is_empty() => return false,
            None => (rest[0], 1),
        };
        if value != byte {
            return false;
        }
        rest = &rest[length..];
    }
    rest.is_empty()
}

/// Go's `EscapedPath`: a path with nothing illegal goes as it is, escapes and all; any other is
/// decoded and escaped anew. Its escapes have been checked.
fn escaped_path(path: &[u8], mut push: impl FnMut(u8)) {
    let may_stand = |b: &u8| !must_escape(*b) || b"!'()*[]%".contains(b);
    if path.iter().all(may_stand) {
        return path.iter().for_each(|&byte| push(byte));
    }
    let mut rest = path;
    while let Some(&byte) = rest.first() {
        let (value, length) = escape_value(rest).map_or((byte, 1), |value| (value, 3));
        escape(value, &mut push);
        rest = &rest[length..];
    }
}

/// Whether a path begins with a slash once it is escaped: `%2f|` does, for it is decoded on the way.
fn is_rooted(path: &[u8]) -> bool {
    let mut first = None;
    escaped_path(path, |byte| first = first.or(Some(byte)));
    first == Some(b'/')
}

fn escape(byte: u8, push: &mut impl FnMut(u8)) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if must_escape(byte) {
        push(b'%');
        push(HEX[usize::from(byte >> 4)]);
        push(HEX[usize::from(byte & 15)]);
    } else {
        push(byte);
    }
}

/// All that Go escapes in a path (`net/url`: `encodePath`); more than RFC 3986 section 3.3 asks for.
fn must_escape(byte: u8) -> bool {
    !(byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte))
}

#[cfg(test)]
mod facts;
#[cfg(test)]
mod tests;
