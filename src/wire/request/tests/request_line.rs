//! The request line: method, target, version.

use super::*;

/// RFC 9110 section 9.1: "The method token is case-sensitive".
#[test]
fn methods_are_told_apart() {
    for (method, kind) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("get", Method::Other),
        ("POST", Method::Other),
        ("M-SEARCH", Method::Other),
    ] {
        assert_eq!(head(&format!("{method} / HTTP/1.0\r\n\r\n")).method(), kind);
    }
}

/// RFC 9112 section 3.
#[test]
fn a_request_line_has_single_spaces() {
    refused(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::Method);
    refused("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Error::Method);
    refused("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", Error::Method);
    refused("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Error::Target);
    refused("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Error::Version);
    refused("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Error::LineEnd);
}

#[test]
fn what_is_no_http_is_refused_at_its_first_bytes() {
    refused(b"\x16\x03\x01\x02\x00\x01", Error::Method);
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Error::Target);
    refused("GET\r\n", Error::Method);
    refused("GET /\r\n", Error::Target);
}

/// RFC 9112 section 2.2.
#[test]
fn one_leading_crlf_is_passed_over() {
    let one = format!("\r\n{KUBELET}");
    assert_eq!(head(&one).path(one.as_bytes()), b"/app-health/web/livez");
    refused(format!("\r\n\r\n{KUBELET}"), Error::Method);
    refused(format!("\n{KUBELET}"), Error::Method);
    refused(format!("\r{KUBELET}"), Error::Method);
}

/// RFC 9112 section 3.2.1.
#[test]
fn a_path_ends_at_its_query() {
    for (target, path) in [
        ("/", "/"),
        ("/?", "/"),
        ("/a/b?c=d?e/f", "/a/b"),
        ("//a", "//a"),
        ("/%2e%zz", "/%2e%zz"),
    ] {
        let input = format!("GET {target} HTTP/1.0\r\n\r\n");
        assert_eq!(head(&input).path(input.as_bytes()), path.as_bytes());
    }
}

/// RFC 9112 section 3.2.2; RFC 9110 sections 4.2.1, 4.2.3 and 4.2.4.
#[test]
fn absolute_form_names_path_and_host() {
    for (target, host, path) in [
        ("http://b", "b", "/"),
        ("HTTP://b:80/c?d", "b:80", "/c"),
        ("http://[::1]:80?d", "[::1]:80", "/"),
    ] {
        let input = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = head(&input);
        assert_eq!(head.path(input.as_bytes()), path.as_bytes());
        assert_eq!(head.host(input.as_bytes()), Some(host.as_bytes()));
    }
    for target in [
        "http://",
        "http:///a",
        "https://b/",
        "http://u@b/",
        "http:/b",
        "b:80",
        "*",
        "a",
    ] {
        refused(
            format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            Error::Target,
        );
    }
    refused("GET http://b HTTP/1.1\r\n\r\n", Error::NoHost);
}

/// RFC 3986 section 2; RFC 9112 section 3.2: no fragment.
#[test]
fn a_target_has_the_bytes_of_a_uri() {
    for byte in (0..=255u8).filter(|&byte| byte != b' ') {
        let input = [b"GET /", &[byte][..], b" HTTP/1.0\r\n\r\n"].concat();
        let is_legal = byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte);
        let expected = if is_legal { None } else { Some(Error::Target) };
        assert_eq!(verdict(&input).err(), expected, "{byte:#x}");
    }
}

/// RFC 9112 section 2.3.
#[test]
fn only_1_0_and_1_1_are_spoken() {
    for version in [
        "HTTP/2.0",
        "HTTP/1.2",
        "HTTP/0.9",
        "http/1.1",
        "HTTP/1.10",
        "HTTP/11",
    ] {
        let input = format!("GET / {version}\r\nHost: a\r\n\r\n");
        let error = if version == "HTTP/1.10" {
            Error::LineEnd
        } else {
            Error::Version
        };
        refused(input, error);
    }
}

/// A peer that waits for the answer to what it sent is not kept waiting for bytes that change nothing.
#[test]
fn a_version_that_cannot_be_is_refused_at_its_first_wrong_byte() {
    for (version, error) in [
        ("X", Error::Version),
        ("h", Error::Version),
        ("HTT\r\n\r\n", Error::Version),
        ("HTTP/1\r\n", Error::Version),
        ("HTTP/2", Error::Version),
        ("HTTP/1.2", Error::Version),
        ("HTTP/1.1\n", Error::LineEnd),
        ("HTTP/1.0 ", Error::LineEnd),
        ("HTTP/1.1\rx", Error::LineEnd),
        (" ", Error::Version),
    ] {
        let input = format!("GET / {version}");
        refused(&input, error);
        let before = input.trim_end_matches("\r\n");
        let first = (0..=input.len()).find(|&end| verdict(&input.as_bytes()[..end]).is_err());
        assert!(first.is_some_and(|end| end <= before.len() + 1), "{input}");
    }
    for line in ["HTTP/1.1\r\n", "HTTP/1.0\r\n"] {
        for end in 0..=line.len() {
            let input = format!("GET / {}", &line[..end]);
            assert_eq!(verdict(input.as_bytes()), Ok(None), "{input}");
        }
    }
}
