//! Status lines, also lenient ones that Go accepts.

use super::*;

/// `ReadResponse` in Go's `net/http/response.go`.
#[test]
fn lenient_status_lines_are_accepted() {
    for line in [
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1   200  OK",
        "HTTP/1.0 200 a\rb\0",
        "HTTP/0.9 200 OK",
        "HTTP/9.9 200 OK",
        "HTTP/1.1 200 \r",
    ] {
        assert_eq!(head(&format!("{line}\r\n\r\n")).status, 200, "{line:?}");
    }
}

#[test]
fn lines_that_are_no_status_lines_are_malformed() {
    for line in [
        "",
        "\r\nHTTP/1.1 200 OK",
        "hello",
        " HTTP/1.1 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.10 200 OK",
        "HTTP/1 200 OK",
        "HTTP/a.1 200 OK",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 20x OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200\r",
        "HTTP/1.1 -20 OK",
        "ICY 200 OK",
        "<html>",
    ] {
        malformed(format!("{line}\r\n\r\n"));
    }
}

#[test]
fn a_status_that_cannot_be_returned_is_its_own_error() {
    for status in ["600", "999", "000", "099", "+20", "-00"] {
        rejected(
            format!("HTTP/1.1 {status} x\r\n"),
            ResponseError::StatusOutOfRange,
        );
    }
    rejected("HTTP/1.1 101 x\r\n", ResponseError::SwitchingProtocols);
    assert_eq!(head("HTTP/1.1 599 x\r\n\r\n").status, 599);
}
