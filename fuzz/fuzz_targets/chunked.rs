//! Chunked bodies: the result does not depend on how the input is split, and a simple decoder of whole inputs agrees.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::wire::body::BodyReader;
use probelet::wire::response::Framing;

const ENOUGH: usize = 64;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut body = BodyReader::new(Framing::Chunked, ENOUGH as u64);
    for piece in pieces {
        if body.feed(piece).is_err() {
            return false;
        }
        if body.is_done() {
            return true;
        }
    }
    body.check_end().is_ok()
}

/// A reference decoder for complete inputs: `None` for a broken body, `Some(true)` for a complete one, `Some(false)` for
/// an input that it does not decode, such as trailers.
fn reference(mut rest: &[u8]) -> Option<bool> {
    let mut decoded = 0;
    loop {
        let line = rest.iter().position(|&byte| byte == b'\n')?;
        let text = str::from_utf8(rest[..line].strip_suffix(b"\r")?).ok();
        let text = text
            .filter(|text| !text.contains('\r'))?
            .trim_end_matches([' ', '\t']);
        let size = text
            .split(';')
            .next()
            .filter(|size| size.len() <= 16 && !size.starts_with('+'))?;
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[line + 1..];
        if size > 1 << 40 {
            // Go's overhead counter wraps around on such a size, which the unit tests cover.
            return Some(false);
        }
        if size == 0 {
            return Some(rest.starts_with(b"\r\n"));
        }
        decoded += size.min(rest.len());
        if decoded >= ENOUGH {
            return Some(true);
        }
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = (usize::from(input.0).min(input.1.len()), input.1);
    let (start, end) = bytes.split_at(cut);
    let whole = read([bytes].into_iter());
    assert_eq!(read([start, end].into_iter()), whole, "cut at {cut}");
    assert_eq!(read(bytes.chunks(1)), whole, "byte by byte");
    // Below these lengths no line is too long and the overhead is not too large.
    if bytes.len() < 4096 && bytes.is_ascii() {
        match reference(bytes) {
            Some(true) => assert!(whole, "rejected a complete body"),
            Some(false) => {}
            None => assert!(!whole, "accepted a broken body"),
        }
    }
});
