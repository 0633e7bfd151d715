//! The request-target of a prober's path.

use super::escape::{escape, escaped_path, is_rooted};
use super::reference::Reference;

/// Why kubelet cannot send a prober's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// It is a URL with a user, which Go's client turns into a header.
    UserInfo,
    /// It is a URL such as `http:x`, which Go's client rejects because it has no host.
    Opaque,
}

/// The request-target (origin-form, RFC 9112 section 3.2.1) that kubelet sends for the `path` of an
/// `httpGet` (`pkg/probe/http/request.go`: `formatURL`; `net/url`: `RequestURI`).
///
/// # Errors
/// Paths that kubelet never sends as a plain request.
pub fn request_target(path: &str) -> Result<Box<str>, BadPath> {
    let mut out = Vec::with_capacity(path.len() + 1);
    match Reference::parse(path.as_bytes()) {
        Ok(Reference { user: Some(_), .. }) => return Err(BadPath::UserInfo),
        Ok(Reference { opaque: true, .. }) => return Err(BadPath::Opaque),
        Ok(url) => put_target(&url, &mut out),
        // kubelet uses text that cannot be parsed as a path as a whole.
        Err(_) => {
            if !path.starts_with('/') {
                out.push(b'/');
            }
            path.bytes()
                .for_each(|byte| escape(byte, &mut |b| out.push(b)));
        }
    }
    // The input is UTF-8, and only ASCII was removed or replaced.
    Ok(String::from_utf8_lossy(&out).into())
}

/// Path and query as Go's client sends them.
pub(super) fn put_target(url: &Reference<'_>, out: &mut Vec<u8>) {
    if !is_rooted(url.path) {
        out.push(b'/');
    }
    escaped_path(url.path, |byte| out.push(byte));
    if let Some(query) = url.query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}
