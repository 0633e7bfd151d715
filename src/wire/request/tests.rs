//! Every rule of request heads, each input in every split: whole, in two, byte by byte.

use super::*;
use RequestError as Error;

mod request_line;

/// The result of parsing, which must not depend on how the bytes are split.
fn verdict(input: &[u8]) -> Parsed<RequestHead> {
    let whole = RequestParser::new().parse(input);
    for cut in 0..=input.len() {
        assert_eq!(
            parse_pieces(input, [cut, input.len()]),
            whole,
            "cut at {cut}"
        );
    }
    assert_eq!(parse_pieces(input, 1..=input.len()), whole, "byte by byte");
    whole
}

fn parse_pieces(input: &[u8], lengths: impl IntoIterator<Item = usize>) -> Parsed<RequestHead> {
    let mut parser = RequestParser::new();
    for length in lengths {
        match parser.parse(&input[..length]) {
            Ok(None) => {}
            done => return done,
        }
    }
    Ok(None)
}

#[track_caller]
fn head(input: &str) -> RequestHead {
    let head = verdict(input.as_bytes()).expect(input).expect(input);
    assert_eq!(head.len(), input.len(), "{input}");
    head
}

#[track_caller]
fn rejected(input: impl AsRef<[u8]>, error: Error) {
    let input = input.as_ref();
    assert_eq!(verdict(input), Err(error), "{}", input.escape_ascii());
    let is_large = matches!(error, Error::TooManyBytes | Error::TooManyFields);
    assert_eq!(error.is_too_large(), is_large);
}

/// A head whose field lines, after `Host`, are `lines`.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

const KUBELET: &str = "GET /app-health/web/livez HTTP/1.1\r\nHost: 10.1.2.3:15020\r\n\
    User-Agent: kube-probe/1.37\r\nAccept: */*\r\nConnection: close\r\n\r\n";

#[test]
fn kubelets_head_is_parsed() {
    let buf = KUBELET.as_bytes();
    let head = head(KUBELET);
    assert_eq!(head.method(), Method::Get);
    assert_eq!(head.path(buf), b"/app-health/web/livez");
    assert_eq!(head.host(buf), Some(&b"10.1.2.3:15020"[..]));
    assert!(!head.has_body());
    let fields: [(&[u8], &[u8]); 4] = [
        (b"Host", b"10.1.2.3:15020"),
        (b"User-Agent", b"kube-probe/1.37"),
        (b"Accept", b"*/*"),
        (b"Connection", b"close"),
    ];
    assert!(head.fields(buf).eq(fields));
}

#[test]
fn every_prefix_of_kubelets_head_is_partial() {
    for end in 0..KUBELET.len() {
        assert_eq!(verdict(&KUBELET.as_bytes()[..end]), Ok(None), "{end}");
    }
}

#[test]
fn bytes_after_the_head_are_not_parsed() {
    let pipelined = [KUBELET, "\0\0garbage"].concat();
    let head = verdict(pipelined.as_bytes()).unwrap().unwrap();
    assert_eq!(head.len(), KUBELET.len());
}

/// RFC 9112 section 2.2 also allows to accept a bare LF, which this parser rejects.
#[test]
fn every_line_ends_with_crlf() {
    let whole = with("A: b\r\n");
    for (at, _) in whole.match_indices('\r') {
        let bare_lf = [&whole[..at], &whole[at + 1..]].concat();
        rejected(bare_lf, Error::MalformedLineEnd);
    }
    for (at, _) in whole.match_indices('\n') {
        let bare_cr = [&whole[..at], "x", &whole[at + 1..]].concat();
        rejected(bare_cr, Error::MalformedLineEnd);
    }
    rejected(with("A: b\rc\r\n"), Error::MalformedLineEnd);
}

/// RFC 9112 sections 2.2 and 5.2.
#[test]
fn a_line_that_starts_with_whitespace_is_rejected() {
    rejected("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Error::ObsFold);
    rejected(with("A: b\r\n c\r\n"), Error::ObsFold);
    rejected(with("A: b\r\n\tc\r\n"), Error::ObsFold);
    rejected(with("A: b\r\n \r\n"), Error::ObsFold);
}

/// RFC 9112 section 5.1: "No whitespace is allowed between the field name and colon."
#[test]
fn whitespace_before_the_colon_is_rejected() {
    rejected(with("A : b\r\n"), Error::SpaceBeforeColon);
    rejected(with("A\t: b\r\n"), Error::SpaceBeforeColon);
}

/// RFC 9110 section 5.1.
#[test]
fn a_field_name_is_a_token() {
    rejected(with(": b\r\n"), Error::MalformedFieldName);
    rejected(with("A\r\n"), Error::MalformedFieldName);
    for byte in (0..=255u8).filter(|byte| !b": \t\r\n".contains(byte)) {
        let input = [b"GET / HTTP/1.0\r\nA", &[byte][..], b": b\r\n\r\n"].concat();
        let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let expected = if is_token {
            None
        } else {
            Some(Error::MalformedFieldName)
        };
        assert_eq!(verdict(&input).err(), expected, "{byte:#x}");
    }
}

/// RFC 9110 section 5.5.
#[test]
fn a_field_value_has_no_control_bytes() {
    for byte in (0..=255u8).filter(|byte| !b"\r\n".contains(byte)) {
        let input = [b"GET / HTTP/1.0\r\nA: b", &[byte][..], b"c\r\n\r\n"].concat();
        let is_bad = byte.is_ascii_control() && byte != b'\t';
        assert_eq!(
            verdict(&input).err(),
            is_bad.then_some(Error::MalformedFieldValue),
            "{byte:#x}"
        );
    }
}

#[test]
fn a_field_value_is_trimmed() {
    let input = with("A:b\r\nC: \t d \t e \t \r\nF:\r\nG: \r\n");
    let fields: Vec<_> = head(&input).fields(input.as_bytes()).skip(1).collect();
    let expected: [(&[u8], &[u8]); 4] = [(b"A", b"b"), (b"C", b"d \t e"), (b"F", b""), (b"G", b"")];
    assert_eq!(fields, expected);
}

/// RFC 9112 section 3.2.
#[test]
fn http_1_1_has_exactly_one_host() {
    rejected("GET / HTTP/1.1\r\n\r\n", Error::MissingHost);
    rejected("GET / HTTP/1.1\r\nHosts: a\r\n\r\n", Error::MissingHost);
    rejected(with("Host: a\r\n"), Error::DuplicateHost);
    rejected(with("hOST:\r\n"), Error::DuplicateHost);
    rejected(
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        Error::DuplicateHost,
    );
    let without = "GET / HTTP/1.0\r\n\r\n";
    assert_eq!(head(without).host(without.as_bytes()), None);
}

/// RFC 9112 section 3.2; RFC 9110 section 7.2.
#[test]
fn a_host_is_host_and_port() {
    for host in ["", "a", "a_b:80", "[fe80::1%25eth0]:80", "10.0.0.1:15020"] {
        let input = format!("GET / HTTP/1.1\r\nhost: \t{host} \r\n\r\n");
        assert_eq!(head(&input).host(input.as_bytes()), Some(host.as_bytes()));
    }
    for host in ["a b", "a/b", "u@a", "\u{e4}", "a\tb", "a\"b"] {
        rejected(
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            Error::MalformedHost,
        );
    }
}

/// RFC 9112 section 6.3.
#[test]
fn a_content_length_is_one_number() {
    for lines in ["Content-Length: 0\r\n", "content-length:00 \r\n"] {
        assert!(!head(&with(lines)).has_body());
    }
    for lines in [
        "Content-Length: 1\r\n",
        "Content-Length: 010\r\n",
        "CONTENT-LENGTH: 99999999999999999999\r\n",
    ] {
        assert!(head(&with(lines)).has_body());
    }
    for value in ["", "-1", "+1", "1 1", "0, 0", "0x0", "1;"] {
        rejected(
            with(&format!("Content-Length: {value}\r\n")),
            Error::MalformedContentLength,
        );
    }
    rejected(
        with("Content-Length: 0\r\nContent-Length: 0\r\n"),
        Error::DuplicateContentLength,
    );
}

/// RFC 9112 section 6.1.
#[test]
fn any_transfer_encoding_means_a_body() {
    for value in ["chunked", "identity", ""] {
        assert!(head(&with(&format!("transfer-ENCODING: {value}\r\n"))).has_body());
    }
    assert!(head("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").has_body());
    assert!(!head(&with("Transfer-Encodings: chunked\r\nTE: trailers\r\n")).has_body());
}

#[test]
fn a_head_with_too_many_fields_is_rejected() {
    let lines = "A: b\r\n".repeat(REQUEST_FIELDS - 1);
    let whole = with(&lines);
    assert_eq!(
        head(&whole).fields(whole.as_bytes()).count(),
        REQUEST_FIELDS
    );
    rejected(with(&format!("{lines}A: b\r\n")), Error::TooManyFields);
    rejected(with(&format!("{lines}\0")), Error::TooManyFields);
}

/// 16 KiB are split only at the positions that matter.
#[test]
fn a_head_with_too_many_bytes_is_rejected() {
    let around = with("A: \r\n").len();
    let exact = with(&format!(
        "A: {}\r\n",
        "b".repeat(REQUEST_HEAD_BYTES - around)
    ));
    let over = with(&format!(
        "A: {}\r\n",
        "b".repeat(REQUEST_HEAD_BYTES - around + 1)
    ));
    assert_eq!(exact.len(), REQUEST_HEAD_BYTES);
    for cut in [
        0,
        1,
        30,
        1000,
        REQUEST_HEAD_BYTES - 2,
        REQUEST_HEAD_BYTES - 1,
    ] {
        let fits = parse_pieces(exact.as_bytes(), [cut, exact.len()])
            .unwrap()
            .unwrap();
        assert_eq!(fits.len(), REQUEST_HEAD_BYTES);
        assert_eq!(
            parse_pieces(over.as_bytes(), [cut, over.len()]),
            Err(Error::TooManyBytes)
        );
        assert_eq!(
            parse_pieces(over.as_bytes(), [cut, REQUEST_HEAD_BYTES]),
            Err(Error::TooManyBytes)
        );
    }
    assert_eq!(
        parse_pieces(exact.as_bytes(), 1..=exact.len()),
        RequestParser::new().parse(exact.as_bytes())
    );
    assert_eq!(
        parse_pieces(over.as_bytes(), 1..=over.len()),
        Err(Error::TooManyBytes)
    );
}

#[test]
fn bytes_after_the_limit_are_not_parsed() {
    let mut long = with(&format!("A: {}", "b".repeat(REQUEST_HEAD_BYTES))).into_bytes();
    *long.last_mut().unwrap() = 0;
    assert_eq!(RequestParser::new().parse(&long), Err(Error::TooManyBytes));
}

#[test]
fn accessors_return_nothing_for_another_buffer() {
    let head = head(KUBELET);
    assert_eq!(head.host(b""), Some(&b""[..]));
    assert_eq!(head.fields(b"GET").count(), 0);
}

/// A head that httparse accepts is accepted with the same parts, unless it breaks a rule that httparse does not have.
#[test]
fn httparse_returns_the_same_parts() {
    for input in [
        KUBELET.to_owned(),
        with("A:b\r\nC: \t d \t \r\nF:\r\n"),
        with("Cookie: a=b; c=\u{e4}\r\n"),
        format!("\r\n{KUBELET}"),
        "HEAD /a?b HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        let mut fields = [httparse::EMPTY_HEADER; REQUEST_FIELDS];
        let mut oracle = httparse::Request::new(&mut fields);
        let length = oracle.parse(input.as_bytes()).unwrap().unwrap();
        let head = head(&input);
        assert_eq!(head.len(), length);
        let fields = oracle
            .headers
            .iter()
            .map(|field| (field.name.as_bytes(), field.value));
        assert!(head.fields(input.as_bytes()).eq(fields), "{input}");
    }
}
