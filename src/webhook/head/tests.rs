use super::{Head, Length, Route, parse};
use crate::limits;
use crate::webhook::problem::Problem;
use core::time::Duration;

const REVIEW: &str = "POST /inject?timeout=10s HTTP/1.1\r\nHost: web.ns.svc\r\n\
    Content-Type: application/json; charset=utf-8\r\nContent-Length: 12\r\n\r\n";

fn head(text: &str) -> Result<Head, Problem> {
    parse(text.as_bytes()).map(|head| head.expect("a whole head").0)
}

fn with(fields: &str) -> String {
    format!("POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{fields}\r\n")
}

#[test]
fn a_review_as_the_api_server_sends_it() {
    let expected = Head {
        route: Route::Inject,
        length: Length::Known(12),
        expects: false,
        keeps: true,
        time: limits::REVIEW_TIME,
    };
    let text = [REVIEW, "{\"a\":\"body\"}"].concat();
    assert_eq!(parse(text.as_bytes()), Ok(Some((expected, REVIEW.len()))));
    for end in 0..REVIEW.len() {
        assert_eq!(parse(&REVIEW.as_bytes()[..end]), Ok(None), "{end}");
    }
}

#[test]
fn methods_and_paths() {
    for (line, route) in [
        ("GET /healthz", Route::Health(true)),
        ("HEAD /healthz?verbose", Route::Health(false)),
        ("GET /metrics", Route::Metrics(true)),
        ("POST /metrics", Route::Wrong(Problem::OnlyGet)),
        ("GET /inject", Route::Wrong(Problem::OnlyPost)),
        ("POST /inject", Route::Wrong(Problem::NotJson)),
        ("POST /inject/", Route::Wrong(Problem::NotFound)),
        ("GET /", Route::Wrong(Problem::NotFound)),
    ] {
        let text = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(head(&text).map(|head| head.route), Ok(route), "{line}");
    }
}

#[test]
fn how_long_the_body_is() {
    for (fields, length) in [
        ("", Ok(Length::Known(0))),
        ("Content-Length: 3145729\r\n", Ok(Length::Known(3_145_729))),
        (
            "content-length: 99999999999999999999999\r\n",
            Ok(Length::Known(usize::MAX)),
        ),
        ("Transfer-Encoding: Chunked\r\n", Ok(Length::Chunked)),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            Err(Problem::BadLength),
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            Err(Problem::BadLength),
        ),
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            Err(Problem::BadLength),
        ),
        ("Content-Length: -1\r\n", Err(Problem::BadLength)),
        ("Content-Length: 1, 1\r\n", Err(Problem::BadLength)),
        ("Content-Length:\r\n", Err(Problem::BadLength)),
    ] {
        assert_eq!(
            head(&with(fields)).map(|head| head.length),
            length,
            "{fields}"
        );
    }
}

#[test]
fn what_happens_around_the_body() {
    let expects = head(&with("Expect: 100-continue\r\n")).map(|head| head.expects);
    assert_eq!(expects, Ok(true));
    let keeps = |fields| head(&with(fields)).map(|head| head.keeps);
    assert_eq!(keeps("Connection: x, Close\r\n"), Ok(false));
    assert_eq!(keeps("Connection: keep-alive\r\n"), Ok(true));
    let old = head("GET /healthz HTTP/1.0\r\n\r\n").map(|head| head.keeps);
    assert_eq!(old, Ok(false));
}

#[test]
fn how_long_the_client_waits() {
    let most = limits::REVIEW_TIME;
    for (query, time) in [
        ("?timeout=5s", Duration::from_secs(5)),
        ("?a=b&timeout=1s&c", Duration::from_secs(1)),
        ("?timeout=30s", most),
        ("?timeout=18446744073709551615s", most),
        ("?timeout=1m0s", most),
        ("?timeout=0s", most),
        ("?timeout=-1s", most),
        ("?timeout", most),
        ("", most),
    ] {
        let text = format!("POST /inject{query} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(head(&text).map(|head| head.time), Ok(time), "{query}");
    }
}

#[test]
fn what_is_no_head() {
    for text in [
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
        "\u{16}\u{3}",
    ] {
        assert_eq!(parse(text.as_bytes()), Err(Problem::BadHead), "{text:?}");
    }
}

#[test]
fn a_head_has_its_bounds() {
    let field = "X: y\r\n";
    let most = field.repeat(limits::REQUEST_FIELDS - 2);
    assert!(head(&with(&most)).is_ok());
    assert_eq!(
        parse(with(&field.repeat(limits::REQUEST_FIELDS)).as_bytes()),
        Err(Problem::LargeHead)
    );
    let empty = with("X: \r\n").len();
    let long = |len: usize| with(&format!("X: {}\r\n", "y".repeat(len - empty)));
    assert!(head(&long(limits::REQUEST_HEAD_BYTES)).is_ok());
    let over = long(limits::REQUEST_HEAD_BYTES + 1);
    assert_eq!(parse(over.as_bytes()), Err(Problem::LargeHead));
    let unended = &over.as_bytes()[..limits::REQUEST_HEAD_BYTES];
    assert_eq!(parse(unended), Err(Problem::LargeHead));
}
