//! Request heads of the API server, of probes, and malformed ones.

use super::{BodyLength, Endpoint, Request, parse_request_head};
use crate::limits;
use crate::webhook::http_error::HttpError;
use core::time::Duration;

const REVIEW: &str = "POST /inject?timeout=10s HTTP/1.1\r\nHost: web.ns.svc\r\n\
    Content-Type: application/json; charset=utf-8\r\nContent-Length: 12\r\n\r\n";

fn head(text: &str) -> Result<Request, HttpError> {
    parse_request_head(text.as_bytes()).map(|head| head.expect("a whole head").0)
}

fn with(fields: &str) -> String {
    format!("POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{fields}\r\n")
}

#[test]
fn a_review_of_the_api_server_is_parsed() {
    let expected = Request {
        endpoint: Ok(Endpoint::Inject),
        body_length: BodyLength::Known(12),
        is_head_method: false,
        expects_continue: false,
        keeps_alive: true,
        timeout: limits::REVIEW_TIMEOUT,
    };
    let text = [REVIEW, "{\"a\":\"body\"}"].concat();
    assert_eq!(
        parse_request_head(text.as_bytes()),
        Ok(Some((expected, REVIEW.len())))
    );
    for end in 0..REVIEW.len() {
        assert_eq!(
            parse_request_head(&REVIEW.as_bytes()[..end]),
            Ok(None),
            "{end}"
        );
    }
}

#[test]
fn method_and_path_select_the_endpoint() {
    for (line, endpoint) in [
        ("GET /healthz", Ok(Endpoint::Health)),
        ("HEAD /healthz?verbose", Ok(Endpoint::Health)),
        ("GET /metrics", Ok(Endpoint::Metrics)),
        ("POST /metrics", Err(HttpError::GetRequired)),
        ("GET /inject", Err(HttpError::PostRequired)),
        ("POST /inject", Err(HttpError::UnsupportedMediaType)),
        ("POST /inject/", Err(HttpError::NotFound)),
        ("GET /", Err(HttpError::NotFound)),
    ] {
        let text = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        let expected = (endpoint, line.starts_with("HEAD "));
        let found = head(&text).map(|head| (head.endpoint, head.is_head_method));
        assert_eq!(found, Ok(expected), "{line}");
    }
}

#[test]
fn the_length_of_the_body_is_unambiguous() {
    for (fields, length) in [
        ("", Ok(BodyLength::Known(0))),
        (
            "Content-Length: 3145729\r\n",
            Ok(BodyLength::Known(3_145_729)),
        ),
        (
            "content-length: 99999999999999999999999\r\n",
            Ok(BodyLength::Known(usize::MAX)),
        ),
        ("Transfer-Encoding: Chunked\r\n", Ok(BodyLength::Chunked)),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            Err(HttpError::InvalidBodyLength),
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            Err(HttpError::InvalidBodyLength),
        ),
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            Err(HttpError::InvalidBodyLength),
        ),
        ("Content-Length: -1\r\n", Err(HttpError::InvalidBodyLength)),
        (
            "Content-Length: 1, 1\r\n",
            Err(HttpError::InvalidBodyLength),
        ),
        ("Content-Length:\r\n", Err(HttpError::InvalidBodyLength)),
    ] {
        assert_eq!(
            head(&with(fields)).map(|head| head.body_length),
            length,
            "{fields}"
        );
    }
}

#[test]
fn expect_and_connection_are_understood() {
    let expects = head(&with("Expect: 100-continue\r\n")).map(|head| head.expects_continue);
    assert_eq!(expects, Ok(true));
    let keeps = |fields| head(&with(fields)).map(|head| head.keeps_alive);
    assert_eq!(keeps("Connection: x, Close\r\n"), Ok(false));
    assert_eq!(keeps("Connection: keep-alive\r\n"), Ok(true));
    let old = head("GET /healthz HTTP/1.0\r\n\r\n").map(|head| head.keeps_alive);
    assert_eq!(old, Ok(false));
}

#[test]
fn the_timeout_is_that_of_the_query_up_to_ours() {
    let most = limits::REVIEW_TIMEOUT;
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
        assert_eq!(head(&text).map(|head| head.timeout), Ok(time), "{query}");
    }
}

#[test]
fn a_malformed_head_is_an_error() {
    for text in [
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
        "\u{16}\u{3}",
    ] {
        assert_eq!(
            parse_request_head(text.as_bytes()),
            Err(HttpError::MalformedHead),
            "{text:?}"
        );
    }
}

#[test]
fn a_head_is_limited_in_bytes_and_fields() {
    let field = "X: y\r\n";
    let most = field.repeat(limits::REQUEST_FIELDS - 2);
    assert!(head(&with(&most)).is_ok());
    assert_eq!(
        parse_request_head(with(&field.repeat(limits::REQUEST_FIELDS)).as_bytes()),
        Err(HttpError::HeadTooLarge)
    );
    let empty = with("X: \r\n").len();
    let long = |len: usize| with(&format!("X: {}\r\n", "y".repeat(len - empty)));
    assert!(head(&long(limits::REQUEST_HEAD_BYTES)).is_ok());
    let over = long(limits::REQUEST_HEAD_BYTES + 1);
    assert_eq!(
        parse_request_head(over.as_bytes()),
        Err(HttpError::HeadTooLarge)
    );
    let unended = &over.as_bytes()[..limits::REQUEST_HEAD_BYTES];
    assert_eq!(parse_request_head(unended), Err(HttpError::HeadTooLarge));
}
