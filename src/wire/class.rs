//! Which bytes may stand where: one table of 256 entries, a bit for each class, the ABNF beside it.

/// `tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~"
/// / DIGIT / ALPHA` (RFC 9110 section 5.6.2): methods and field names.
pub const TOKEN: u8 = 1;

/// `field-vchar = VCHAR / obs-text`, `SP` and `HTAB` between them (RFC 9110 section 5.5): field values.
pub const VALUE: u8 = 2;

/// `unreserved / reserved / "%"` less `"#"` (RFC 3986 section 2): a request target. `"["` and `"]"` belong
/// to an IPv6 address, so only absolute-form has a use for them.
pub const TARGET: u8 = 4;

/// `unreserved / pct-encoded / sub-delims / ":" / "[" / "]"` (RFC 3986 section 3.2): `host [ ":" port ]`.
pub const HOST: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    mark(&mut table, b"!#$%&'*+-.^_`|~", TOKEN);
    mark(&mut table, b"-._~!$&'()*+,;=:[]%", TARGET | HOST);
    mark(&mut table, b"/?@", TARGET);
    mark(&mut table, b"\t ", VALUE);
    let mut byte = 0x21;
    while byte <= 0xff {
        if byte != 0x7f {
            table[byte] |= VALUE;
        }
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] |= TOKEN | TARGET | HOST;
        }
        byte += 1;
    }
    table
};

const fn mark(table: &mut [u8; 256], bytes: &[u8], class: u8) {
    let mut i = 0;
    while i < bytes.len() {
        table[bytes[i] as usize] |= class;
        i += 1;
    }
}

/// Whether `byte` is of `class`.
#[inline]
pub fn is(class: u8, byte: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// How many bytes at the start of `bytes` are of `class`.
#[inline]
pub fn run(class: u8, bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&byte| !is(class, byte))
        .unwrap_or(bytes.len())
}

/// `bytes` without `OWS = *( SP / HTAB )` at either end (RFC 9110 section 5.6.3).
pub fn trim(bytes: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(is_text).unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(is_text)
        .map_or(start, |last| last + 1);
    &bytes[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_byte_of_another_class() {
        assert_eq!(run(TOKEN, b"Host: x"), 4);
        assert_eq!(run(TOKEN, b""), 0);
        assert_eq!(run(TARGET, b"/a?b#c"), 4);
        assert_eq!(run(HOST, b"[::1]:80/"), 8);
        assert_eq!(run(VALUE, b"a \t\xff\x7f"), 4);
    }

    #[test]
    fn a_value_has_no_control_bytes_but_the_tab() {
        for byte in 0..=255u8 {
            assert_eq!(
                is(VALUE, byte),
                byte == b'\t' || !byte.is_ascii_control(),
                "{byte:#x}"
            );
        }
    }

    #[test]
    fn whitespace_is_trimmed_at_both_ends() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b""), b"");
    }
}
