//! A request to the webhook: a split changes neither head nor chunks, and what is chunked here comes out whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::webhook::{Chunked, parse_head};

/// Bytes of a body from which it is too large.
const MOST: usize = 256;

/// The body, whether it has ended, and how many bytes were used; none where the chunks are broken.
fn decode<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    most: usize,
) -> Option<(Vec<u8>, bool, usize)> {
    let (mut body, mut chunked, mut used) = (Vec::new(), Chunked::new(), 0);
    for piece in pieces {
        used += chunked.feed(piece, &mut body, most).ok()?;
        if chunked.is_done() || body.len() > most {
            break;
        }
    }
    Some((body, chunked.is_done(), used))
}

fn check_head(bytes: &[u8], cut: usize) {
    let whole = parse_head(bytes);
    match parse_head(&bytes[..cut]) {
        // What comes behind a head is none of its business.
        Ok(Some(head)) => assert_eq!(whole, Ok(Some(head))),
        Ok(None) => {}
        Err(_) => assert!(whole.is_err(), "cut at {cut}"),
    }
    if let Ok(Some((head, len))) = whole {
        assert_eq!(parse_head(&bytes[..len]), Ok(Some((head, len))));
        assert_eq!(parse_head(&bytes[..cut.min(len - 1)]), Ok(None));
    }
    if let Err(problem) = whole {
        assert!(matches!(problem.status(), 400 | 431), "{problem}");
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

/// As a client does it, in chunks of this size.
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
    // Lines of all chunks together have their bounds.
    if bytes.len() < 1024 {
        check_round_trip(bytes, cut.max(1));
    }
});
