//! Writes the responses of the status port: a status code without a body, or the head of the metrics page.

use super::output_slice::OutputSlice;

/// Bytes that hold the head of any response of the status port.
pub const RESPONSE_BUFFER_BYTES: usize = 160;

/// The body of a response, which decides the framing in its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// No body.
    Empty,
    /// One byte is announced and never sent: the app's body is broken, so this one breaks as well, and kubelet discards
    /// the result as it would discard the app's.
    Broken,
    /// A page of this `Content-Type`, up to the end of the connection (RFC 9112 section 6.3, rule 8).
    UntilClose(&'static str),
}

/// Writes the response head to `out`, which should be [`RESPONSE_BUFFER_BYTES`] long, and returns its length. `status`
/// has three digits.
pub fn write_response_head(out: &mut [u8], status: u16, body: ResponseBody) -> usize {
    let mut out = OutputSlice::new(out, 0);
    let digits = [100, 10, 1].map(|unit| b'0' + (status / unit % 10) as u8);
    for piece in [
        &b"HTTP/1.1 "[..],
        &digits,
        b" ",
        reason_phrase(status).as_bytes(),
        b"\r\n",
    ] {
        out.put(piece);
    }
    if status == 405 {
        out.put(b"Allow: GET, HEAD\r\n");
    }
    match body {
        // RFC 9110 section 8.6: never a length in a 204, and in a 304 only that of the 200.
        ResponseBody::Empty if matches!(status, 204 | 304) => {}
        ResponseBody::Empty => out.put(b"Content-Length: 0\r\n"),
        ResponseBody::Broken => out.put(b"Content-Length: 1\r\n"),
        ResponseBody::UntilClose(content_type) => {
            for piece in ["Content-Type: ", content_type, "\r\n"] {
                out.put(piece.as_bytes());
            }
        }
    }
    out.put(b"Connection: close\r\n\r\n");
    out.bytes().len()
}

/// The reason phrase (RFC 9110 section 15); empty for other codes, as RFC 9112 section 4 allows.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: ResponseBody) -> String {
        let mut out = [0; RESPONSE_BUFFER_BYTES];
        let len = write_response_head(&mut out, status, body);
        String::from_utf8(out[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_code_has_no_body() {
        assert_eq!(
            response(200, ResponseBody::Empty),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn a_code_without_a_name_keeps_the_space() {
        assert!(response(299, ResponseBody::Empty).starts_with("HTTP/1.1 299 \r\n"));
    }

    #[test]
    fn no_length_where_there_can_be_no_body() {
        for status in [204, 304] {
            assert!(!response(status, ResponseBody::Empty).contains("Content-Length"));
        }
    }

    #[test]
    fn a_broken_body_is_announced() {
        assert!(response(200, ResponseBody::Broken).contains("\r\nContent-Length: 1\r\n"));
    }

    #[test]
    fn a_page_lasts_until_close() {
        let page = response(200, ResponseBody::UntilClose("text/plain; version=0.0.4"));
        assert!(page.contains("\r\nContent-Type: text/plain; version=0.0.4\r\n"));
        assert!(!page.contains("Content-Length"));
    }

    #[test]
    fn method_not_allowed_names_the_allowed_methods() {
        assert!(response(405, ResponseBody::Empty).contains("\r\nAllow: GET, HEAD\r\n"));
    }

    #[test]
    fn every_response_fits() {
        const LONGEST: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        for status in 100..=999 {
            let page = response(status, ResponseBody::UntilClose(LONGEST));
            assert!(page.ends_with("\r\nConnection: close\r\n\r\n"), "{status}");
        }
    }
}
