//! Chunked bodies: a split changes nothing, and a plain decoder of whole inputs comes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::wire::{Body, Framing, Progress};

const ENOUGH: usize = 64;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut body = Body::new(Framing::Chunked, ENOUGH as u64);
    for piece in pieces {
        match body.feed(piece) {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => return true,
            Err(_) => return false,
        }
    }
    body.check_end().is_ok()
}

/// The rules once more, for inputs that are all there: `None` for a broken body, `Some(true)` for a whole
/// one, `Some(false)` where it has no opinion, as on trailers.
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
            // Go's count of overhead wraps around on such a size; the unit tests have that.
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
    // Below these lengths no line is too long and no overhead too much, and text cannot hide in an extension.
    if bytes.len() < 4096 && bytes.is_ascii() {
        match reference(bytes) {
            Some(true) => assert!(whole, "refused a whole body"),
            Some(false) => {}
            None => assert!(!whole, "took a broken body"),
        }
    }
});
