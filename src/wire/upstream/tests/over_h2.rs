//! The request over HTTP/2, as Go's transport sends one with the same headers.

use super::*;
use crate::wire::fields::RequestFields;

struct List(Vec<(String, String)>);

impl FieldSink for List {
    fn field(&mut self, name: &[u8], value: FieldValue<'_>) {
        let mut bytes = Vec::new();
        value.write(&mut |piece| bytes.extend_from_slice(piece));
        assert_eq!(bytes.len(), value.size());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.0.push((text(name), text(&bytes)));
    }
}

/// The fields, each as a line.
fn fields(
    input: &str,
    table: &[(&str, &str)],
    credentials: Option<&str>,
    scheme: &str,
) -> Vec<String> {
    let head = RequestParser::new()
        .parse(input.as_bytes())
        .unwrap()
        .unwrap();
    let request = UpstreamRequest {
        method: Method::Get,
        head: &head,
        buf: input.as_bytes(),
        request_target: b"/health?x=1",
        host: [b"pod", b":8001"],
        headers: &headers(table),
        referer: None,
        credentials: credentials.map(str::as_bytes),
        keeps_authorization: true,
    };
    let mut list = List(Vec::new());
    request.over_h2(scheme.as_bytes()).each(&mut list);
    let line = |(name, value): &(String, String)| format!("{name}: {value}");
    list.0.iter().map(line).collect()
}

#[test]
fn pseudo_fields_come_first_and_connection_fields_are_not_sent() {
    let request = incoming(
        "User-Agent: kube-probe/1.37\r\nAccept: */*\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\
         Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nUpgrade: h2c\r\nX-A: 1\r\n",
    );
    let expected = [
        ":authority: pod:8001",
        ":method: GET",
        ":path: /health?x=1",
        ":scheme: https",
        "User-Agent: kube-probe/1.37",
        "Accept: */*",
        "X-A: 1",
        "X-B: 2",
    ];
    let table = [("X-B", "2"), ("Host", "x")];
    assert_eq!(fields(&request, &table, None, "https"), expected);
}

/// Go `EncodeHeaders`: spaces after a semicolon are removed, and nothing else is checked.
#[test]
fn cookies_are_split() {
    for (cookie, pairs) in [
        ("a=1; b=2;c=3", &["a=1", "b=2", "c=3"][..]),
        ("a=1;   b=2 ", &["a=1", "b=2 "]),
        ("a=1;", &["a=1"]),
        ("a=1;  ", &["a=1"]),
        ("a=1; ;b", &["a=1", "", "b"]),
        (";a", &["", "a"]),
        ("a", &["a"]),
    ] {
        let fields = fields(&incoming(""), &[("cOOkie", cookie)], None, "http");
        let line = |pair: &&str| format!("cOOkie: {pair}");
        let expected: Vec<String> = pairs.iter().map(line).collect();
        assert_eq!(fields[4..], expected, "{cookie:?}");
    }
}

#[test]
fn the_size_of_credentials_is_that_of_their_bytes() {
    for credentials in [":", "a:", "a:b", "ab:c", "abc:d"] {
        let fields = fields(&incoming(""), &[], Some(credentials), "http");
        assert!(fields[4].starts_with("Authorization: Basic "), "{fields:?}");
    }
}
