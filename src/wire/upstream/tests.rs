//! The expected bytes are those that kubelet 1.37's own prober sent, once to the status port and once directly, with
//! the same `httpHeaders`.

use super::super::request::RequestParser;
use super::*;

mod over_h2;

fn headers(pairs: &[(&str, &str)]) -> Vec<Header> {
    let header = |&(name, value): &(&str, &str)| Header {
        name: name.into(),
        value: value.into(),
    };
    pairs.iter().map(header).collect()
}

fn sent(
    input: &str,
    table: &[(&str, &str)],
    target: &str,
    host: &str,
    referer: Option<&str>,
) -> String {
    sent_with(input, table, target, host, (referer, None))
}

/// The request to the app for the client's request `input`, through output slices of several sizes.
fn sent_with(
    input: &str,
    table: &[(&str, &str)],
    target: &str,
    host: &str,
    (referer, credentials): (Option<&str>, Option<&str>),
) -> String {
    let head = RequestParser::new()
        .parse(input.as_bytes())
        .unwrap()
        .unwrap();
    let request = UpstreamRequest {
        method: Method::Get,
        head: &head,
        buf: input.as_bytes(),
        request_target: target.as_bytes(),
        host: [
            &host.as_bytes()[..host.len() / 2],
            &host.as_bytes()[host.len() / 2..],
        ],
        headers: &headers(table),
        referer: referer.map(str::as_bytes),
        credentials: credentials.map(str::as_bytes),
        keeps_authorization: true,
    };
    let whole = write_in_slices(&request, 64 * 1024);
    for room in [1, 7, 64] {
        assert_eq!(write_in_slices(&request, room), whole);
    }
    String::from_utf8(whole).unwrap()
}

fn write_in_slices(request: &UpstreamRequest<'_>, room: usize) -> Vec<u8> {
    let mut whole = Vec::new();
    let mut buf = vec![0; room];
    loop {
        let mut out = OutputSlice::new(&mut buf, whole.len());
        request.write(&mut out);
        whole.extend_from_slice(out.bytes());
        if out.is_complete() {
            assert_eq!(out.output_len(), whole.len());
            return whole;
        }
    }
}

fn incoming(fields: &str) -> String {
    format!("GET /app-health/web/livez HTTP/1.1\r\nHost: 127.0.0.1:15020\r\n{fields}\r\n")
}

#[test]
fn a_plain_probe_is_sent_as_by_kubelet() {
    let request = incoming("User-Agent: kube-probe/1.37\r\nAccept: */*\r\nConnection: close\r\n");
    assert_eq!(
        sent(&request, &[], "/health?x=1", "127.0.0.1:8001", None),
        "GET /health?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8001\r\nUser-Agent: kube-probe/1.37\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
}

const REQUEST_WITH_HEADERS: &str = "GET /app-health/web/livez HTTP/1.1\r\nHost: foo.example\r\n\
    User-Agent: kube-probe/1.37\r\nAccept: */*\r\nAuthorization: Basic Zm9vOmJhcg==\r\nCookie: a=b\r\n\
    X-A: 2\r\nX-B: 1\r\nX-B: 3\r\nConnection: close\r\n\r\n";

const TABLE: [(&str, &str); 5] = [
    ("Authorization", "Basic Zm9vOmJhcg=="),
    ("Cookie", "a=b"),
    ("X-A", "2"),
    ("X-B", "1"),
    ("X-B", "3"),
];

#[test]
fn a_probe_with_headers_is_sent_as_by_kubelet() {
    assert_eq!(
        sent(
            REQUEST_WITH_HEADERS,
            &TABLE,
            "/health?x=1",
            "foo.example",
            None
        ),
        "GET /health?x=1 HTTP/1.1\r\nHost: foo.example\r\nUser-Agent: kube-probe/1.37\r\n\
         Accept: */*\r\nAuthorization: Basic Zm9vOmJhcg==\r\nCookie: a=b\r\nX-A: 2\r\nX-B: 1\r\nX-B: 3\r\n\
         Connection: close\r\n\r\n"
    );
}

#[test]
fn a_followed_redirect_is_sent_as_by_kubelet() {
    let referer = "http://127.0.0.1:8001/health?x=1";
    assert_eq!(
        sent(
            REQUEST_WITH_HEADERS,
            &TABLE,
            "/next",
            "foo.example",
            Some(referer)
        ),
        "GET /next HTTP/1.1\r\nHost: foo.example\r\nUser-Agent: kube-probe/1.37\r\n\
         Accept: */*\r\nAuthorization: Basic Zm9vOmJhcg==\r\nCookie: a=b\r\n\
         Referer: http://127.0.0.1:8001/health?x=1\r\nX-A: 2\r\nX-B: 1\r\nX-B: 3\r\n\
         Connection: close\r\n\r\n"
    );
    let request = incoming("User-Agent: kube-probe/1.37\r\nAccept: */*\r\nConnection: close\r\n");
    assert_eq!(
        sent(&request, &[], "/next", "127.0.0.1:8001", Some(referer)),
        "GET /next HTTP/1.1\r\nHost: 127.0.0.1:8001\r\nUser-Agent: kube-probe/1.37\r\n\
         Accept: */*\r\nReferer: http://127.0.0.1:8001/health?x=1\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn absent_user_agent_and_accept_are_not_added() {
    let request = incoming("Empty: \r\nZed: a  b\r\nConnection: close\r\n");
    assert_eq!(
        sent(
            &request,
            &[("Empty", ""), ("Zed", "a  b")],
            "/",
            "127.0.0.1:8001",
            None
        ),
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:8001\r\nEmpty: \r\nZed: a  b\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn a_configured_referer_is_not_replaced() {
    let request = incoming("User-Agent: me/1\r\nAccept: text/html\r\nReferer: http://x/\r\n");
    let whole = sent(
        &request,
        &[("Referer", "http://x/")],
        "/",
        "a",
        Some("http://other/"),
    );
    assert_eq!(
        whole,
        "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: me/1\r\nAccept: text/html\r\nReferer: http://x/\r\n\
         Connection: close\r\n\r\n"
    );
}

/// RFC 9110 section 7.6.1.
#[test]
fn hop_by_hop_fields_are_not_forwarded() {
    let request = incoming(
        "A: 1\r\nKeep-Alive: 1\r\nProxy-Authorization: 1\r\nPROXY-CONNECTION: 1\r\nTE: trailers\r\n\
         Trailer: x\r\nUpgrade: h2c\r\nContent-Length: 0\r\nB: 2\r\nX-One: 1\r\nX-Two: 2\r\n\
         Connection: upgrade, x-one\r\nConnection: ,\tX-TWO ,Keep-Alive\r\nC: 3\r\n",
    );
    assert_eq!(
        sent(&request, &[], "/", "a", None),
        "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nConnection: close\r\n\r\n"
    );
}

/// Go's client sends configured fields as they are, and kubelet sends them to the status port as well.
#[test]
fn configured_proxy_fields_are_sent_and_those_of_the_client_are_not() {
    let table = [("Proxy-Authorization", "Basic eA=="), ("Proxy-X", "1")];
    let fields = "A: 1\r\nProxy-Authorization: y\r\nProxy-Y: 2\r\nZ: 3\r\n";
    assert_eq!(
        between(fields, &table, (None, None)),
        "A: 1|Proxy-Authorization: Basic eA==|Proxy-X: 1|Z: 3|"
    );
    assert_eq!(
        between("Connection: Proxy-X\r\n", &table, (None, None)),
        "Proxy-Authorization: Basic eA==|Proxy-X: 1|"
    );
}

#[test]
fn too_many_connection_options_drop_every_field_that_is_not_configured() {
    let options: Vec<_> = (0..=CONNECTION_OPTIONS).map(|i| format!("x-{i}")).collect();
    let fitting = options[1..].join(",");
    let request = |options: &str| incoming(&format!("A: 1\r\nT: 1\r\nConnection: {options}\r\n"));
    assert!(sent(&request(&fitting), &[], "/", "a", None).contains("\r\nA: 1\r\n"));
    let whole = sent(&request(&options.join(",")), &[("T", "2")], "/", "a", None);
    assert!(!whole.contains("\r\nA: 1\r\n"));
    assert!(whole.contains("\r\nT: 2\r\n"));
}

#[test]
fn configured_headers_replace_fields_in_place_and_others_are_added() {
    let request = incoming("User-Agent: u\r\nA: 1\r\nb: 2\r\nC: 3\r\nB: 4\r\n");
    let table = [
        ("B", "x"),
        ("B", "y"),
        ("Z", "z"),
        ("User-Agent", "no"),
        ("Host", "no"),
        ("Upgrade", "no"),
    ];
    assert_eq!(
        sent(&request, &table, "/", "a", None),
        "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\nA: 1\r\nB: x\r\nB: y\r\nC: 3\r\nZ: z\r\n\
         Connection: close\r\n\r\n"
    );
}

#[test]
fn a_configured_header_is_sent_despite_a_connection_option() {
    let request = incoming("A: 1\r\nConnection: A\r\n");
    assert!(sent(&request, &[("A", "2")], "/", "a", None).contains("\r\nA: 2\r\n"));
}

/// The sent fields between `Host` and `Connection`.
fn between(client: &str, table: &[(&str, &str)], added: (Option<&str>, Option<&str>)) -> String {
    let whole = sent_with(&incoming(client), table, "/", "a", added);
    let fields = whole.strip_prefix("GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    let fields = fields.strip_suffix("Connection: close\r\n\r\n").unwrap();
    fields.replace("\r\n", "|")
}

/// Go sorts canonical names byte by byte, so `_` is after capitals and before small letters.
#[test]
fn headers_that_are_only_configured_are_inserted_in_sorted_order() {
    let none = (None, None);
    let table = [
        ("A", "1"),
        ("Accept-Language", "2"),
        ("X-A", "3"),
        ("X-_b", "4"),
        ("X-_b", "5"),
        ("Zz", "6"),
    ];
    assert_eq!(
        between("Accept: */*\r\nX-Z: z\r\n", &table, none),
        "A: 1|Accept: */*|Accept-Language: 2|X-A: 3|X-Z: z|X-_b: 4|X-_b: 5|Zz: 6|"
    );
    assert_eq!(
        between("accept: */*\r\nx-z: z\r\n", &table, none),
        "A: 1|accept: */*|Accept-Language: 2|X-A: 3|x-z: z|X-_b: 4|X-_b: 5|Zz: 6|"
    );
    assert_eq!(between("", &table[..2], none), "A: 1|Accept-Language: 2|");
    assert_eq!(
        between("Z: 1\r\nB: 2\r\n", &[("C", "3")], none),
        "C: 3|Z: 1|B: 2|"
    );
}

#[test]
fn an_empty_configured_accept_or_user_agent_removes_the_field() {
    let none = (None, None);
    let request = "User-Agent: kube-probe/1.37\r\nAccept: */*\r\nB: 1\r\n";
    assert_eq!(
        between(request, &[("Accept", "")], none),
        "User-Agent: kube-probe/1.37|B: 1|"
    );
    assert_eq!(
        between(request, &[("User-Agent", "")], none),
        "Accept: */*|B: 1|"
    );
    assert_eq!(between("B: 1\r\n", &[("Accept", "")], none), "B: 1|");
}

#[test]
fn credentials_of_a_redirect_are_sent_unless_there_is_an_authorization() {
    let user = (Some("http://a/"), Some("user:word"));
    let basic = "Authorization: Basic dXNlcjp3b3Jk|";
    let referer = "Referer: http://a/|";
    assert_eq!(
        between("Accept: */*\r\nX: 1\r\n", &[("B", "2"), ("S", "3")], user),
        format!("Accept: */*|{basic}B: 2|{referer}S: 3|X: 1|")
    );
    assert_eq!(between("", &[], user), format!("{basic}{referer}"));
    let own = "Authorization: Bearer x\r\n";
    assert_eq!(
        between(own, &[], user),
        format!("Authorization: Bearer x|{referer}")
    );
    let table = [("Authorization", "t")];
    assert_eq!(
        between("", &table, user),
        format!("Authorization: t|{referer}")
    );
    // Go treats an empty one as absent and replaces it.
    let table = [("Authorization", ""), ("Referer", "")];
    assert_eq!(between("", &table, user), format!("{basic}{referer}"));
    let empty = "Authorization: \r\nReferer: \r\n";
    assert_eq!(between(empty, &[], user), format!("{basic}{referer}"));
    assert_eq!(between(empty, &table, user), format!("{basic}{referer}"));
}

/// RFC 4648 section 10.
#[test]
fn base64_is_padded() {
    for (plain, expected) in [
        (":", "Og=="),
        ("f:", "Zjo="),
        ("foobar", "Zm9vYmFy"),
        ("\u{fb}\u{ff}", "w7vDvw=="),
        ("???>", "Pz8/Pg=="),
        ("~~~", "fn5+"),
    ] {
        let line = format!("Authorization: Basic {expected}|");
        assert_eq!(between("", &[], (None, Some(plain))), line);
    }
}
