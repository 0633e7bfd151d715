//! How the end of the body is determined: lengths, encodings, trailers.

use super::*;

/// `fixLength` and `parseContentLength`; RFC 9112 section 6.3.
#[test]
fn lengths_must_be_equal_as_strings() {
    assert_eq!(framing(""), Framing::UntilClose);
    assert_eq!(framing("CONTENT-length: \t0 \r\n"), Framing::Length(0));
    assert_eq!(
        framing("Content-Length: 5\r\nContent-Length:5 \r\n"),
        Framing::Length(5)
    );
    assert_eq!(
        framing("Content-Length: 9223372036854775807\r\n"),
        Framing::Length(i64::MAX as u64)
    );
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 05\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: \r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
    ] {
        malformed(with(lines));
    }
}

/// `parseTransferEncoding`.
#[test]
fn encodings_other_than_one_chunked_are_rejected() {
    assert_eq!(framing("transfer-encoding: Chunked \r\n"), Framing::Chunked);
    assert_eq!(
        framing("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        Framing::Chunked
    );
    for lines in [
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ] {
        malformed(with(lines));
    }
}

#[test]
fn an_encoding_below_1_1_is_ignored() {
    for version in ["1.0", "0.9", "0.1"] {
        let line = format!("HTTP/{version} 200 OK\r\nTransfer-Encoding: x\r\n");
        assert_eq!(head(&format!("{line}\r\n")).framing, Framing::UntilClose);
        assert_eq!(
            head(&format!("{line}Content-Length: 3\r\n\r\n")).framing,
            Framing::Length(3)
        );
    }
    for version in ["0.0", "1.2", "2.0"] {
        let line = format!("HTTP/{version} 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(head(&line).framing, Framing::Chunked);
    }
}

/// `fixTrailer`.
#[test]
fn a_trailer_cannot_announce_framing() {
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
    for names in [
        "Content-Length",
        "a, TRANSFER-encoding ,b",
        "trailer,",
        "a\r\n ,content-length\r\n ",
    ] {
        malformed(with(&format!("Trailer: {names}\r\n{CHUNKED}")));
        assert_eq!(
            framing(&format!("Trailer: {names}\r\n")),
            Framing::UntilClose
        );
    }
    for names in ["Expires", "", ",", "content length", "Content-Lengths"] {
        assert_eq!(
            framing(&format!("Trailer: {names}\r\n{CHUNKED}")),
            Framing::Chunked
        );
    }
}

/// RFC 9112 section 6.3, rule 1.
#[test]
fn responses_204_and_304_have_no_body() {
    for status in [204, 304] {
        for lines in [
            "",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
        ] {
            let input = format!("HTTP/1.1 {status} x\r\n{lines}\r\n");
            assert_eq!(head(&input).framing, Framing::None);
        }
        malformed(format!("HTTP/1.1 {status} x\r\nContent-Length: x\r\n\r\n"));
    }
}
