//! Addresses of an API server, and complete and malformed responses.

use super::{ApiClient, ApiResponse, host_and_port, parse_response};
use crate::limits;
use crate::webhook::ApiServer;

#[test]
fn a_url_has_a_host_and_a_port() {
    for (url, host, port) in [
        ("https://10.0.0.1:6443", "10.0.0.1", 6443),
        (
            "https://kubernetes.default.svc/",
            "kubernetes.default.svc",
            443,
        ),
        ("https://[fd00::1]:6443", "fd00::1", 6443),
        ("https://[fd00::1]", "fd00::1", 443),
    ] {
        assert_eq!(host_and_port(url), Some((host.into(), port)), "{url}");
    }
    for url in [
        "http://a",
        "a:1",
        "https://",
        "https://a:b",
        "https://a/b",
        "https://u@a",
    ] {
        assert_eq!(host_and_port(url), None, "{url}");
    }
}

#[test]
fn a_pod_finds_the_api_server_by_its_environment() {
    let api = ApiServer::default();
    let none = ApiClient::from_options(&api, |_| None).expect("no mistake");
    assert!(none.is_none());
    let env = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some("fd00::1".into()),
        "KUBERNETES_SERVICE_PORT" => Some("6443".into()),
        _ => None,
    };
    let found = ApiClient::from_options(&api, env)
        .expect("no mistake")
        .expect("one");
    assert_eq!(found.authority(), "[fd00::1]:6443");
    let url = Some("https://10.0.0.2".into());
    let given = ApiClient::from_options(&ApiServer { url, ..api }, env).expect("no mistake");
    assert_eq!(given.expect("one").authority(), "10.0.0.2:443");
}

#[test]
fn a_response_is_complete_by_its_length_its_chunks_or_its_end() {
    for (text, ends_with_connection) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n{}", true),
    ] {
        let bytes = text.as_bytes();
        for end in 0..bytes.len() {
            assert_eq!(
                parse_response(&bytes[..end], false),
                Ok(None),
                "{text} {end}"
            );
        }
        assert_eq!(
            parse_response(bytes, ends_with_connection),
            Ok(Some(ApiResponse {
                status: 200,
                body: b"{}".to_vec(),
            })),
            "{text}"
        );
    }
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "SSH-2.0-OpenSSH\r\n",
    ] {
        assert!(parse_response(text.as_bytes(), false).is_err(), "{text}");
    }
    assert!(parse_response(&vec![b'x'; limits::API_RESPONSE_BYTES + 1], false).is_err());
}
