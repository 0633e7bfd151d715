//! Requests to the webhook: head and body do not depend on how the input is split, and an encoded body decodes to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::webhook::{ChunkedDecoder, parse_request_head};

/// Bytes of a body that is not too large.
const MOST: usize = 256;

/// The body, whether it has ended, and the number of bytes used; `None` if the coding is malformed.
fn decode<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    most: usize,
) -> Option<(Vec<u8>, bool, usize)> {
    let (mut body, mut decoder, mut used) = (Vec::new(), ChunkedDecoder::new(), 0);
    for piece in pieces {
        used += decoder.feed(piece, &mut body, most).ok()?;
        if decoder.is_done() || body.len() > most {
            break;
        }
    }
    Some((body, decoder.is_done(), used))
}

fn check_head(bytes: &[u8], cut: usize) {
    let whole = parse_request_head(bytes);
    match parse_request_head(&bytes[..cut]) {
        // Bytes after a head do not change it.
        Ok(Some(head)) => assert_eq!(whole, Ok(Some(head))),
        Ok(None) => {}
        Err(_) => assert!(whole.is_err(), "cut at {cut}"),
    }
    if let Ok(Some((head, len))) = whole {
        assert_eq!(parse_request_head(&bytes[..len]), Ok(Some((head, len))));
        assert_eq!(parse_request_head(&bytes[..cut.min(len - 1)]), Ok(None));
    }
    if let Err(error) = whole {
        assert!(matches!(error.status(), 400 | 431), "{error}");
    }
}

fn check_chunks(bytes: &[u8], cut: usize) {
    let (start, end) = bytes.split_at(cut);
    let whole = decode([bytes].into_iter(), MOST);
    assert_eq!(
        decode([start, end].into_iter(), MOST),
        whole,
        "cut at {cut}"
    );
    assert_eq!(decode(bytes.chunks(1), MOST), whole, "byte by byte");
    if let Some((body, is_done, used)) = whole {
        assert!(body.len() <= MOST + 1 && used <= bytes.len());
        assert!(is_done || body.len() > MOST || used == bytes.len());
    }
}

/// Encodes the body in chunks of this size, as a client does.
fn check_round_trip(bytes: &[u8], size: usize) {
    let mut coded = Vec::new();
    for chunk in bytes.chunks(size) {
        coded.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        coded.extend([chunk, b"\r\n"].concat());
    }
    coded.extend(b"0\r\n\r\n");
    let len = coded.len();
    coded.extend(b"POST /inject");
    let expected = Some((bytes.to_vec(), true, len));
    assert_eq!(decode([&*coded].into_iter(), bytes.len()), expected);
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = (usize::from(input.0).min(input.1.len()), input.1);
    check_head(bytes, cut);
    check_chunks(bytes, cut);
    // The chunk lines of all chunks together are limited.
    if bytes.len() < 1024 {
        check_round_trip(bytes, cut.max(1));
    }
});
