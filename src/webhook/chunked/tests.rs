//! Chunked bodies, complete, truncated and malformed.

use super::{ChunkedDecoder, Malformed};

/// The body, the number of bytes used, and whether it has ended, when fed in pieces of this length.
fn decoded(text: &str, piece: usize, most: usize) -> Result<(String, usize, bool), Malformed> {
    let (mut decoder, mut body, mut used) = (ChunkedDecoder::new(), Vec::new(), 0);
    while used < text.len() && !decoder.is_done() && body.len() <= most {
        let end = text.len().min(used + piece);
        used += decoder.feed(&text.as_bytes()[used..end], &mut body, most)?;
    }
    let body = String::from_utf8(body).expect("text");
    Ok((body, used, decoder.is_done()))
}

#[test]
fn a_split_does_not_change_the_body() {
    let text = "4\r\nwiki\r\nA;x=\"y\"\r\npedia in c\r\n0000\r\nX: y\r\nZ:\r\n\r\nGET";
    for piece in 1..=text.len() {
        let whole = ("wikipedia in c".into(), text.len() - 3, true);
        assert_eq!(decoded(text, piece, 100), Ok(whole), "{piece}");
    }
}

#[test]
fn a_truncated_body_has_not_ended() {
    let text = "4\r\nwiki\r\n0\r\n\r\n";
    for end in 0..text.len() {
        let ended = decoded(&text[..end], 5, 100).map(|(_, _, ended)| ended);
        assert_eq!(ended, Ok(false), "{end}");
    }
}

#[test]
fn decoding_stops_one_byte_over_the_limit() {
    let body = decoded("ffffffff\r\n0123456789", 3, 4).map(|(body, _, _)| body);
    assert_eq!(body, Ok("01234".into()));
}

#[test]
fn malformed_chunks_are_an_error() {
    let long = ["1;", &"x".repeat(20_000), "\r\na"].concat();
    for text in [
        "\r\n",
        ";\r\n",
        "g\r\n",
        "4\nwiki",
        "4\r\nwikix",
        "4\r\nwiki\n",
        "1 \r\na",
        "-1\r\n",
        "4;a\nb",
        "0\r\nX: y\n\n",
        "10000000000000000\r\n",
        "0\r\n\rx",
        &long,
    ] {
        assert_eq!(decoded(text, 7, 100), Err(Malformed), "{text:.40}");
    }
}
