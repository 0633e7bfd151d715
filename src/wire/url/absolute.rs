//! An absolute URL of the command line.

use super::reference::Reference;
use super::request_target::{put_target, request_target};
use core::str::from_utf8;

/// The parts of a URL with a scheme, as Go's `url.Parse` returns them.
#[derive(Debug, PartialEq, Eq)]
pub struct AbsoluteUrl<'a> {
    /// In any case of letters.
    pub scheme: &'a str,
    /// Whether a name or password precedes the host.
    pub has_user: bool,
    /// Not decoded, without the brackets of an IPv6 address; may be empty.
    pub host: &'a str,
    /// The digits of the port, or empty.
    pub port: &'a str,
    /// Not decoded.
    pub path: &'a str,
    /// Whether there is a query.
    pub has_query: bool,
    /// The request-target of Go's client (origin-form, RFC 9112 section 3.2.1).
    pub request_target: Box<str>,
}

/// Parses a URL; `None` if Go's `url.Parse` rejects it or no `//` follows a scheme. If only the path is rejected, it
/// is used as kubelet uses such a path of a prober, unless it has control characters.
pub fn parse_absolute(text: &str) -> Option<AbsoluteUrl<'_>> {
    parsed(text).or_else(|| {
        let start = text.find("://")? + 3;
        let path = start + text[start..].find(['/', '?', '#'])?;
        if text.contains(|c: char| c.is_ascii_control()) {
            return None;
        }
        let url = parsed(&text[..path])?;
        let request_target = request_target(&text[path..]).ok()?;
        Some(AbsoluteUrl {
            path: &text[path..],
            request_target,
            ..url
        })
    })
}

fn parsed(text: &str) -> Option<AbsoluteUrl<'_>> {
    let url = Reference::parse(text.as_bytes()).ok()?;
    let after = text.get(url.scheme.len()..)?;
    if url.scheme.is_empty() || !after.starts_with("://") {
        return None;
    }
    let mut target = Vec::with_capacity(text.len());
    put_target(&url, &mut target);
    Some(AbsoluteUrl {
        scheme: from_utf8(url.scheme).ok()?,
        has_user: url.user.is_some(),
        host: from_utf8(url.host).ok()?,
        port: from_utf8(url.port).ok()?,
        path: from_utf8(url.path).ok()?,
        has_query: url.query.is_some(),
        request_target: String::from_utf8(target).ok()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_cut_where_go_cuts_it() {
        for (text, scheme, host, port, path, target) in [
            ("http://a", "http", "a", "", "", "/"),
            ("HTTP://a:80/b?c=d#e", "HTTP", "a", "80", "/b", "/b?c=d"),
            ("http://a//b/../c", "http", "a", "", "//b/../c", "//b/../c"),
            ("http://a/b c", "http", "a", "", "/b c", "/b%20c"),
            ("http://[::1]:8080?x", "http", "::1", "8080", "", "/?x"),
            ("tcp://[::1]:5432", "tcp", "::1", "5432", "", "/"),
            ("grpc://a:1/s.S", "grpc", "a", "1", "/s.S", "/s.S"),
            ("http://a/[::1]", "http", "a", "", "/[::1]", "/[::1]"),
            ("http://a/%zz", "http", "a", "", "/%zz", "/%25zz"),
        ] {
            let url = parse_absolute(text).expect(text);
            assert_eq!((url.scheme, url.host, url.port), (scheme, host, port));
            assert_eq!((url.path, &*url.request_target), (path, target), "{text}");
            assert!(!url.has_user && url.has_query == text.contains('?'));
        }
        assert!(parse_absolute("http://u:p@a/").expect("a URL").has_user);
    }

    #[test]
    fn text_that_is_no_url_is_none() {
        for text in [
            "",
            "a",
            "/a",
            "//a/b",
            "a:80",
            "http:a",
            "http:/a",
            "://a",
            "1://a",
            "http://a b/",
            "http://a:b/",
            "http://[::1",
            "http://a%zz/",
            "http://u:%zz@a/%zz",
            "http://[1.2.3.4]/",
            "http://a\n/",
            "http://a/\n",
        ] {
            assert_eq!(parse_absolute(text), None, "{text:?}");
        }
    }
}
