//! The request line: method, target, version.

use super::*;

/// RFC 9110 section 9.1: "The method token is case-sensitive".
#[test]
fn methods_are_case_sensitive() {
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
    rejected(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedMethod);
    rejected("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedMethod);
    rejected("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedMethod);
    rejected("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedTarget);
    rejected(
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        Error::UnsupportedVersion,
    );
    rejected(
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        Error::MalformedLineEnd,
    );
}

#[test]
fn other_protocols_are_rejected_at_their_first_bytes() {
    rejected(b"\x16\x03\x01\x02\x00\x01", Error::MalformedMethod);
    rejected("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Error::MalformedTarget);
    rejected("GET\r\n", Error::MalformedMethod);
    rejected("GET /\r\n", Error::MalformedTarget);
}

/// RFC 9112 section 2.2.
#[test]
fn one_leading_crlf_is_skipped() {
    let one = format!("\r\n{KUBELET}");
    assert_eq!(head(&one).path(one.as_bytes()), b"/app-health/web/livez");
    rejected(format!("\r\n\r\n{KUBELET}"), Error::MalformedMethod);
    rejected(format!("\n{KUBELET}"), Error::MalformedMethod);
    rejected(format!("\r{KUBELET}"), Error::MalformedMethod);
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
        rejected(
            format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            Error::MalformedTarget,
        );
    }
    rejected("GET http://b HTTP/1.1\r\n\r\n", Error::MissingHost);
}

/// RFC 3986 section 2; RFC 9112 section 3.2: no fragment.
#[test]
fn a_target_with_bytes_that_no_uri_has_is_rejected() {
    for byte in (0..=255u8).filter(|&byte| byte != b' ') {
        let input = [b"GET /", &[byte][..], b" HTTP/1.0\r\n\r\n"].concat();
        let is_legal = byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte);
        let expected = if is_legal {
            None
        } else {
            Some(Error::MalformedTarget)
        };
        assert_eq!(verdict(&input).err(), expected, "{byte:#x}");
    }
}

/// RFC 9112 section 2.3.
#[test]
fn versions_other_than_1_0_and_1_1_are_rejected() {
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
            Error::MalformedLineEnd
        } else {
            Error::UnsupportedVersion
        };
        rejected(input, error);
    }
}

/// A client that waits for the response gets it without sending bytes that change nothing.
#[test]
fn a_wrong_version_is_rejected_at_its_first_wrong_byte() {
    for (version, error) in [
        ("X", Error::UnsupportedVersion),
        ("h", Error::UnsupportedVersion),
        ("HTT\r\n\r\n", Error::UnsupportedVersion),
        ("HTTP/1\r\n", Error::UnsupportedVersion),
        ("HTTP/2", Error::UnsupportedVersion),
        ("HTTP/1.2", Error::UnsupportedVersion),
        ("HTTP/1.1\n", Error::MalformedLineEnd),
        ("HTTP/1.0 ", Error::MalformedLineEnd),
        ("HTTP/1.1\rx", Error::MalformedLineEnd),
        (" ", Error::UnsupportedVersion),
    ] {
        let input = format!("GET / {version}");
        rejected(&input, error);
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
