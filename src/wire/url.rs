//! The parts of Go's `net/url` that kubelet's behaviour rests on, over bytes: what a prober's path
//! looks like on the wire, and where a `Location` leads. Following a redirect allocates nothing.

mod absolute;
mod escape;
mod piece;
mod reference;

pub use absolute::{Absolute, absolute};

use escape::{decoded, escape, escaped_path, is_rooted};
use piece::{Full, Piece};
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
    /// The scheme as a URL has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

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
        Ok(Reference { user: Some(_), .. }) => return Err(BadPath::UserInfo),
        Ok(Reference { opaque: true, .. }) => return Err(BadPath::Opaque),
        Ok(url) => put_target(&url, &mut out),
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

/// Path and query as Go's client sends them.
fn put_target(url: &Reference<'_>, out: &mut Vec<u8>) {
    if !is_rooted(url.path) {
        out.push(b'/');
    }
    escaped_path(url.path, |byte| out.push(byte));
    if let Some(query) = url.query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
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

/// Where a `Location` leads; the request-target is written apart, the user told apart.
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
    /// Bytes of the request-target.
    pub target_len: usize,
}

/// The user of a URL, whose name and password Go's client sends as `Authorization` when the request has
/// none of its own (`net/http/client.go`: `send`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User<'a> {
    /// The one of the URL before: the `Location` is relative.
    Kept,
    /// None.
    Nobody,
    /// This one, for [`credentials`].
    Named(&'a [u8]),
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
pub fn resolve<'l>(
    location: &'l [u8],
    base: &Base<'_>,
    out: &mut [u8],
) -> Result<(Redirect, User<'l>), BadLocation> {
    let url = Reference::parse(location).map_err(|Malformed| BadLocation::Malformed)?;
    let was_absolute = !url.scheme.is_empty();
    let mut redirect = Redirect {
        same_host: true,
        scheme: base.scheme,
        port: base.port,
        port_given: base.port_given,
        was_absolute,
        target_len: 0,
    };
    let mut user = User::Kept;
    let has_authority = was_absolute || url.has_authority;
    if has_authority {
        user = url.user.map_or(User::Nobody, User::Named);
        redirect.same_host = same_host(url.host, base.host);
        if !redirect.same_host {
            return Ok((redirect, user));
        }
        if was_absolute {
            redirect.scheme = web_scheme(url.scheme).ok_or(BadLocation::Scheme)?;
        }
        redirect.port_given = !url.port.is_empty();
        redirect.port = port(url.port, redirect.scheme)?;
    }
    redirect.target_len = write_target(&url, has_authority, base.request_target, Piece::new(out))
        .map_err(|Full| BadLocation::TooLong)?;
    Ok((redirect, user))
}

/// Whether a `Location` of which only `start` was kept leads to another host than the one `dialled`,
/// whatever follows: its authority is all there and names it.
pub fn leads_away(start: &[u8], dialled: &[u8]) -> bool {
    // An escape may have been cut in two.
    let whole = memchr::memrchr(b'%', start).filter(|at| start.len() - at < 3);
    let start = &start[..whole.unwrap_or(start.len())];
    let Ok(url) = Reference::parse(start) else {
        return false;
    };
    let is_absolute = !url.scheme.is_empty();
    let after_scheme = match is_absolute {
        true => &start[url.scheme.len() + 1..],
        false => start,
    };
    let is_named = match after_scheme.strip_prefix(b"//") {
        Some(rest) => (is_absolute || url.has_authority) && rest.iter().any(|b| b"/?#".contains(b)),
        None => is_absolute && after_scheme.len() > 1,
    };
    is_named && !same_host(url.host, dialled)
}

/// Writes `name:password` of a [`User`] into `out`, decoded, as Basic authentication has them
/// (RFC 7617 section 2); its length, if it fits. Without a password there is an empty one.
pub fn credentials(user: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut out = Piece::new(out);
    let colon = (!user.contains(&b':')).then_some(b':');
    for byte in decoded(user).chain(colon) {
        out.push(byte).ok()?;
    }
    Some(out.len())
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

/// The request-target's length.
fn write_target(
    url: &Reference<'_>,
    has_authority: bool,
    base: &[u8],
    mut out: Piece<'_>,
) -> Result<usize, Full> {
    let (base_path, base_query) = cut(base, b'?');
    let absolute = has_authority || is_rooted(url.path);
    if !absolute {
        // A reference without a path keeps the whole path, another all but its last segment.
        let kept = match memchr::memrchr(b'/', base_path) {
            Some(slash) if !url.path.is_empty() => &base_path[..=slash],
            _ => base_path,
        };
        out.extend(kept)?;
    }
    let mut fits = Ok(());
    escaped_path(url.path, |byte| fits = fits.and_then(|()| out.push(byte)));
    fits?;
    out.remove_dot_segments();
    out.root()?;
    let inherits = !absolute && url.path.is_empty();
    let query = url
        .query
        .or(base_query.filter(|query| inherits && !query.is_empty()));
    if let Some(query) = query {
        out.push(b'?')?;
        out.extend(query)?;
    }
    Ok(out.len())
}

/// Go compares decoded names, byte by byte.
fn same_host(encoded: &[u8], dialled: &[u8]) -> bool {
    decoded(encoded).eq(dialled.iter().copied())
}

#[cfg(test)]
mod facts;
#[cfg(test)]
mod tests;
