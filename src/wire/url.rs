//! The parts of Go's `net/url` that kubelet's behaviour rests on, over bytes: what a prober's path
//! looks like on the wire, and where a `Location` leads. Following a redirect allocates nothing.

mod escape;
mod reference;

use escape::{escape, escape_value, escaped_path, is_rooted};
use reference::{Malformed, Reference, cut};

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
            redirect.scheme = web_scheme(url.scheme).ok_or(BadLocation::Scheme)?;
        }
        redirect.port_given = !url.port.is_empty();
        redirect.port = port(url.port, redirect.scheme)?;
    }
    write_target(&url, has_authority, base.request_target, out)
        .map_err(|Full| BadLocation::TooLong)?;
    Ok(redirect)
}

fn web_scheme(name: &[u8]) -> Option<Scheme> {
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

#[cfg(test)]
mod facts;
#[cfg(test)]
mod tests;
