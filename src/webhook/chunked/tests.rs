use super::{Broken, Chunked};

/// The body, how much of the bytes it took, and whether it ended, in pieces of this length.
fn decoded(text: &str, piece: usize, most: usize) -> Result<(String, usize, bool), Broken> {
    let (mut chunked, mut body, mut used) = (Chunked::new(), Vec::new(), 0);
    while used < text.len() && !chunked.is_done() && body.len() <= most {
        let end = text.len().min(used + piece);
        used += chunked.feed(&text.as_bytes()[used..end], &mut body, most)?;
    }
    let body = String::from_utf8(body).expect("text");
    Ok((body, used, chunked.is_done()))
}

#[test]
fn a_body_is_the_same_in_any_pieces() {
    let text = "4\r\nwiki\r\nA;x=\"y\"\r\npedia in c\r\n0000\r\nX: y\r\nZ:\r\n\r\nGET";
    for piece in 1..=text.len() {
        let whole = ("wikipedia in c".into(), text.len() - 3, true);
        assert_eq!(decoded(text, piece, 100), Ok(whole), "{piece}");
    }
}

#[test]
fn a_body_that_goes_on_has_not_ended() {
    let text = "4\r\nwiki\r\n0\r\n\r\n";
    for end in 0..text.len() {
        let ended = decoded(&text[..end], 5, 100).map(|(_, _, ended)| ended);
        assert_eq!(ended, Ok(false), "{end}");
    }
}

#[test]
fn one_byte_over_is_enough() {
    let body = decoded("ffffffff\r\n0123456789", 3, 4).map(|(body, _, _)| body);
    assert_eq!(body, Ok("01234".into()));
}

#[test]
fn broken_chunks_are_told() {
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
        assert_eq!(decoded(text, 7, 100), Err(Broken), "{text:.40}");
    }
}
