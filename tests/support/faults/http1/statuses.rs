//! Status codes.

use super::{Expected, HttpCases};

/// Codes that the agent returns unchanged.
const PASSED_ON: &[u16] = &[
    200, 201, 202, 203, 205, 206, 226, 299, 300, 304, 305, 306, 309, 399, 400, 401, 403, 404, 405,
    409, 418, 429, 431, 451, 499, 500, 501, 502, 503, 504, 511, 599,
];

/// Status lines with a code that the agent must not return.
const NOT_PASSED_ON: &[(&str, &str)] = &[
    ("000", "000 None"),
    ("099", "099 Low"),
    ("199-last", "199 Interim"),
    ("600", "600 High"),
    ("601", "601 High"),
    ("999", "999 High"),
    ("1000", "1000 Higher"),
    ("20", "20 Short"),
    ("plus-20", "+20 Odd"),
    ("minus-20", "-20 Odd"),
    ("letters", "2OO OK"),
];

pub(super) fn add_to(cases: &mut HttpCases) {
    for code in PASSED_ON {
        let text = format!("HTTP/1.1 {code} Some Words\r\nContent-Length: 4\r\n\r\nbody");
        cases.respond(&format!("status-{code}"), &text, *code);
    }
    for (name, line) in NOT_PASSED_ON {
        let text = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
        cases.respond(&format!("status-{name}"), &text, 502);
    }
    for (name, field) in [
        ("", ""),
        ("-length-0", "Content-Length: 0\r\n"),
        ("-length-4", "Content-Length: 4\r\n"),
        ("-chunked", "Transfer-Encoding: chunked\r\n"),
    ] {
        let (name, text) = (
            format!("status-204{name}"),
            format!("HTTP/1.1 204 No\r\n{field}\r\n"),
        );
        cases.respond(&name, &text, 204);
        cases.respond_and_hold(&format!("{name}-held"), &text, Expected::Status(204));
    }
    let cached = "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n";
    cases.respond("status-304-length", cached, 304);
    cases.respond_and_hold("status-304-held", cached, Expected::Status(304));
    cases.respond("switching", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 502);
    let upgrade = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    cases.respond("switching-upgrade", upgrade, 502);
}
