//! Percent-encoding of paths.

/// Go's `url.Parse` returns an error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Malformed;

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// The byte that the escape at the beginning of `text` encodes.
pub(super) fn escape_value(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

/// The decoded bytes of `text`.
pub(super) fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    core::iter::from_fn(move || {
        let (value, length) = match escape_value(rest) {
            Some(value) => (value, 3),
            None => (*rest.first()?, 1),
        };
        rest = &rest[length..];
        Some(value)
    })
}

/// Decoded text; `None` if an escape is not valid, or the bytes are not UTF-8.
pub fn unescape(text: &str) -> Option<String> {
    check_escapes(text.as_bytes()).ok()?;
    String::from_utf8(decoded(text.as_bytes()).collect()).ok()
}

/// Decoded text, with escapes that are not valid as they are. Text whose bytes are not UTF-8 is not decoded.
pub fn unescape_valid(text: &str) -> Box<str> {
    let decoded = String::from_utf8(decoded(text.as_bytes()).collect());
    decoded.unwrap_or_else(|_| text.into()).into()
}

/// Checks that two hex digits follow each `%`.
pub(super) fn check_escapes(text: &[u8]) -> Result<(), Malformed> {
    for at in memchr::memchr_iter(b'%', text) {
        escape_value(&text[at..]).ok_or(Malformed)?;
    }
    Ok(())
}

/// Go's `EscapedPath`: a path without illegal bytes is unchanged, with its escapes; any other is decoded and escaped
/// again. Its escapes have been checked.
pub(super) fn escaped_path(path: &[u8], mut push: impl FnMut(u8)) {
    let is_legal = |b: &u8| !must_escape(*b) || b"!'()*[]%".contains(b);
    if path.iter().all(is_legal) {
        return path.iter().for_each(|&byte| push(byte));
    }
    decoded(path).for_each(|byte| escape(byte, &mut push));
}

/// Whether an escaped path begins with a slash: `%2f|` does, because it is decoded first.
pub(super) fn is_rooted(path: &[u8]) -> bool {
    let mut first = None;
    escaped_path(path, |byte| first = first.or(Some(byte)));
    first == Some(b'/')
}

pub(super) fn escape(byte: u8, push: &mut impl FnMut(u8)) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if must_escape(byte) {
        push(b'%');
        push(HEX[usize::from(byte >> 4)]);
        push(HEX[usize::from(byte & 15)]);
    } else {
        push(byte);
    }
}

/// Whether Go escapes the byte in a path (`net/url`: `encodePath`); RFC 3986 section 3.3 requires fewer.
fn must_escape(byte: u8) -> bool {
    !(byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte))
}
