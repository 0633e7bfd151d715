//! Resolves the `Location` of a redirect by the rules of Go's client. Nothing is allocated.

use super::escape::{Malformed, decoded, escaped_path, is_rooted};
use super::reference::{Reference, cut};
use super::scheme::Scheme;
use super::target_buffer::{Full, TargetBuffer};

/// The base of a `Location`: the request whose response has it.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// The scheme of the request.
    pub scheme: Scheme,
    /// The host in kubelet's URL, without brackets or port.
    pub host: &'a [u8],
    /// The port of the request.
    pub port: u16,
    /// Whether the URL names the port: kubelet's first URL does.
    pub has_port: bool,
    /// Path and query, beginning with a slash.
    pub request_target: &'a [u8],
}

/// A resolved `Location`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved<'l> {
    /// It names another host. kubelet does not follow it (`pkg/probe/http/http.go`: `RedirectChecker`).
    OtherHost,
    /// Its host is, byte by byte, that of the base.
    SameHost {
        /// The next request.
        redirect: Redirect,
        /// The user in its URL.
        user: UserInfo<'l>,
    },
}

/// The request that a redirect leads to. Its request-target is in the memory passed to [`resolve_location`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The scheme of the next request.
    pub scheme: Scheme,
    /// The port of the next request.
    pub port: u16,
    /// Whether the URL names the port: then Go's `Host` does as well.
    pub has_port: bool,
    /// Whether the `Location` has a scheme: then Go drops the prober's own `Host` (`net/http/client.go`: `do`).
    pub was_absolute: bool,
    /// Length of the request-target.
    pub target_len: usize,
}

/// The user in a URL, whose name and password Go's client sends as `Authorization` if the request has none
/// (`net/http/client.go`: `send`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserInfo<'a> {
    /// That of the previous URL: the `Location` is relative.
    Inherited,
    /// The URL has no user.
    None,
    /// This one, for [`decode_credentials`].
    Given(&'a [u8]),
}

/// Why a `Location` cannot be followed; kubelet fails the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLocation {
    /// Go's `url.Parse` rejects it.
    Malformed,
    /// The same host, with a scheme other than http and https.
    Scheme,
    /// The same host, with a port that is 0 or above 65535.
    Port,
    /// The request-target does not fit.
    TooLong,
}

/// Resolves `location` against `base` as Go's client does (`url.Parse`, `ResolveReference`), and
/// writes the request-target into `out`. Go ignores an empty `Location`: the caller checks for it.
///
/// # Errors
/// Errors for which kubelet fails the probe, and a request-target that does not fit in `out`.
pub fn resolve_location<'l>(
    location: &'l [u8],
    base: &Base<'_>,
    out: &mut [u8],
) -> Result<Resolved<'l>, BadLocation> {
    let url = Reference::parse(location).map_err(|Malformed| BadLocation::Malformed)?;
    let was_absolute = !url.scheme.is_empty();
    let mut redirect = Redirect {
        scheme: base.scheme,
        port: base.port,
        has_port: base.has_port,
        was_absolute,
        target_len: 0,
    };
    let mut user = UserInfo::Inherited;
    let has_authority = was_absolute || url.has_authority;
    if has_authority {
        if !is_same_host(url.host, base.host) {
            return Ok(Resolved::OtherHost);
        }
        user = url.user.map_or(UserInfo::None, UserInfo::Given);
        if was_absolute {
            redirect.scheme = Scheme::parse(url.scheme).ok_or(BadLocation::Scheme)?;
        }
        redirect.has_port = !url.port.is_empty();
        redirect.port = parse_port(url.port, redirect.scheme)?;
    }
    let out = TargetBuffer::new(out);
    redirect.target_len = write_target(&url, has_authority, base.request_target, out)
        .map_err(|Full| BadLocation::TooLong)?;
    Ok(Resolved::SameHost { redirect, user })
}

/// Whether a `Location` of which only `start` was stored leads to another host than `host`: the authority in `start` is
/// complete and names another host.
pub fn leads_to_other_host(start: &[u8], host: &[u8]) -> bool {
    // An escape may be cut.
    let cut_escape = memchr::memrchr(b'%', start).filter(|at| start.len() - at < 3);
    let start = &start[..cut_escape.unwrap_or(start.len())];
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
    is_named && !is_same_host(url.host, host)
}

/// Writes `name:password` of a [`UserInfo`] into `out`, decoded for Basic authentication (RFC 7617 section 2). Returns the
/// length, if it fits. A missing password is empty.
pub fn decode_credentials(user: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut out = TargetBuffer::new(out);
    let colon = (!user.contains(&b':')).then_some(b':');
    for byte in decoded(user).chain(colon) {
        out.push(byte).ok()?;
    }
    Some(out.len())
}

/// `digits` as Go's dialler reads them: any number of leading zeros.
fn parse_port(digits: &[u8], scheme: Scheme) -> Result<u16, BadLocation> {
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

/// Writes the request-target and returns its length.
fn write_target(
    url: &Reference<'_>,
    has_authority: bool,
    base: &[u8],
    mut out: TargetBuffer<'_>,
) -> Result<usize, Full> {
    let (base_path, base_query) = cut(base, b'?');
    let absolute = has_authority || is_rooted(url.path);
    if !absolute {
        // A reference without a path inherits the whole path, another all but its last segment.
        let inherited = match memchr::memrchr(b'/', base_path) {
            Some(slash) if !url.path.is_empty() => &base_path[..=slash],
            _ => base_path,
        };
        out.extend(inherited)?;
    }
    let mut fits = Ok(());
    escaped_path(url.path, |byte| fits = fits.and_then(|()| out.push(byte)));
    fits?;
    out.remove_dot_segments();
    out.ensure_leading_slash()?;
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
fn is_same_host(encoded: &[u8], host: &[u8]) -> bool {
    decoded(encoded).eq(host.iter().copied())
}
