//! Byte classes: one table of 256 entries with a bit for each class, and the ABNF of each.
//!
//! Functions that see every byte of a head are `inline(always)`: the program is built for size, where nothing is
//! inlined.

/// `tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~"
/// / DIGIT / ALPHA` (RFC 9110 section 5.6.2): methods and field names.
pub const TOKEN: u8 = 1;

/// `field-vchar = VCHAR / obs-text`, `SP` and `HTAB` between them (RFC 9110 section 5.5): field values.
pub const VALUE: u8 = 2;

/// `unreserved / reserved / "%"` less `"#"` (RFC 3986 section 2): a request target. `"["` and `"]"` belong
/// to an IPv6 address, so only absolute-form has a use for them.
pub const TARGET: u8 = 4;

/// The same, less `"?"`: a target up to its query.
pub const PATH: u8 = 16;

/// `unreserved / pct-encoded / sub-delims / ":" / "[" / "]"` (RFC 3986 section 3.2): `host [ ":" port ]`.
pub const HOST: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    mark(&mut table, b"!#$%&'*+-.^_`|~", TOKEN);
    mark(&mut table, b"-._~!$&'()*+,;=:[]%", TARGET | PATH | HOST);
    mark(&mut table, b"/@", TARGET | PATH);
    mark(&mut table, b"?", TARGET);
    mark(&mut table, b"\t ", VALUE);
    let mut byte = 0x21;
    while byte <= 0xff {
        if byte != 0x7f {
            table[byte] |= VALUE;
        }
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] |= TOKEN | TARGET | PATH | HOST;
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
#[inline(always)]
pub fn is(class: u8, byte: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// How many bytes at the start of `bytes` are of `CLASS`.
#[inline(always)]
pub fn run<const CLASS: u8>(bytes: &[u8]) -> usize {
    if CLASS == VALUE && bytes.len() >= BLOCK {
        value_run(bytes)
    } else {
        run_by_words::<CLASS>(bytes)
    }
}

/// [`run`] of the class `VALUE`. Not inlined, because the unrolled loop over blocks is long.
#[inline(never)]
fn value_run(bytes: &[u8]) -> usize {
    let rest = skip_printable(bytes);
    bytes.len() - rest.len() + run_by_words::<VALUE>(rest)
}

/// Bytes that are common in the class are tested eight at a time, by arithmetic on a word: fast without vector
/// instructions and in a build for size. The table decides about all others.
#[inline(always)]
fn run_by_words<const CLASS: u8>(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let mut unusual = unusual::<CLASS>(u64::from_le_bytes(*word));
        while unusual != 0 {
            let usual = unusual.trailing_zeros() as usize / 8;
            if !rest.get(usual).is_some_and(|byte| is(CLASS, *byte)) {
                return bytes.len() - rest.len() + usual;
            }
            unusual &= unusual - 1;
        }
        rest = after;
    }
    while let [byte, after @ ..] = rest
        && is(CLASS, *byte)
    {
        rest = after;
    }
    bytes.len() - rest.len()
}

/// The top bit of each byte of `word` that is not among the usual ones of the class. It may also be set for a usual byte
/// above an unusual one, and only above a byte that is not of the class may it be missing.
#[inline(always)]
const fn unusual<const CLASS: u8>(word: u64) -> u64 {
    let usual = match CLASS {
        VALUE => return unprintable(word) & each(0x80),
        TOKEN => letters(word) | range(word, b'-', b'-'),
        TARGET | PATH => letters(word) | range(word, b'-', b'9'),
        HOST => letters(word) | (range(word, b'-', b':') & !range(word, b'/', b'/')),
        // No byte is usual: the table decides about each.
        _ => 0,
    };
    (!usual | word) & each(0x80)
}

/// Sets the top bit of each byte that is not from SP to `~`. A carry or borrow only affects bytes above such a byte.
#[inline(always)]
const fn unprintable(word: u64) -> u64 {
    word.wrapping_sub(each(b' ')) | word.wrapping_add(each(0x80 - 0x7f))
}

/// Bytes that [`skip_printable`] tests at a time.
const BLOCK: usize = 128;

/// `bytes` without the blocks at its start that have only bytes from SP to `~`. Words tested together take half the
/// instructions.
#[inline(always)]
fn skip_printable(mut bytes: &[u8]) -> &[u8] {
    while let Some((block, rest)) = bytes.split_first_chunk::<BLOCK>() {
        let (words, _) = block.as_chunks();
        let (low, high) = words.split_at(8);
        if unprintable_of_eight(low) & each(0x80) != 0 {
            break;
        }
        if unprintable_of_eight(high) & each(0x80) != 0 {
            return bytes.get(BLOCK / 2..).unwrap_or_default();
        }
        bytes = rest;
    }
    bytes
}

/// [`unprintable`] of eight words, unrolled by hand: a build for size unrolls no loop.
#[inline(always)]
fn unprintable_of_eight(words: &[[u8; 8]]) -> u64 {
    let [a, b, c, d, e, f, g, h] = words else {
        return u64::MAX;
    };
    let test = |word: &[u8; 8]| unprintable(u64::from_le_bytes(*word));
    test(a) | test(b) | test(c) | test(d) | test(e) | test(f) | test(g) | test(h)
}

/// The top bit of each byte that is an ASCII letter, given that its own is not set.
#[inline(always)]
const fn letters(word: u64) -> u64 {
    range(word | each(0x20), b'a', b'z')
}

/// The top bit of each byte from `first` to `last`, given that its own is not set; a byte with its own set affects itself
/// and bytes above. The bytes after `last` are among those from `first`, so the difference is an exclusive or.
#[inline(always)]
const fn range(word: u64, first: u8, last: u8) -> u64 {
    word.wrapping_add(each(0x80 - first)) ^ word.wrapping_add(each(0x7f - last))
}

#[inline(always)]
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Whether two field names are equal, without regard to case. Most differ in length or first letter, which are compared
/// without a call.
#[inline(always)]
pub fn is_same_field_name(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len()
        && name.first().map(|byte| byte | 0x20) == other.first().map(|byte| byte | 0x20)
        && name.eq_ignore_ascii_case(other)
}

/// `bytes` without `OWS = *( SP / HTAB )` at either end (RFC 9110 section 5.6.3).
#[inline(always)]
pub fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_byte_of_another_class() {
        assert_eq!(run::<TOKEN>(b"Host: x"), 4);
        assert_eq!(run::<TOKEN>(b""), 0);
        assert_eq!(run::<TARGET>(b"/a?b#c"), 4);
        assert_eq!(run::<HOST>(b"[::1]:80/"), 8);
        assert_eq!(run::<VALUE>(b"a \t\xff\x7f"), 4);
    }

    #[test]
    fn a_run_is_what_the_table_says_for_any_byte_anywhere() {
        fn check<const CLASS: u8>(filler: u8) {
            for (at, byte) in (0..20).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
                let mut bytes = [filler; 20];
                bytes[at] = byte;
                let expected = if is(CLASS, byte) { 20 } else { at };
                assert_eq!(run::<CLASS>(&bytes), expected, "{byte:#x} at {at}");
                let long = [&[filler; 211][..], &bytes].concat();
                assert_eq!(
                    run::<CLASS>(&long),
                    211 + expected,
                    "{byte:#x} at 211 + {at}"
                );
            }
        }
        for filler in *b"aZ-" {
            check::<TOKEN>(filler);
            check::<TARGET>(filler);
            check::<PATH>(filler);
            check::<HOST>(filler);
            check::<VALUE>(filler);
        }
        check::<TOKEN>(b'~');
        check::<TARGET>(b'/');
        check::<HOST>(b':');
        check::<VALUE>(0xff);
    }

    /// Carries and borrows cross from one byte of a word to the next.
    #[test]
    fn a_run_is_what_the_table_says_for_any_two_adjacent_bytes() {
        fn check<const CLASS: u8>(bytes: &[u8; 16]) {
            let expected = bytes.iter().position(|byte| !is(CLASS, *byte));
            assert_eq!(run::<CLASS>(bytes), expected.unwrap_or(16), "{bytes:x?}");
        }
        for pair in 0..=u16::MAX {
            let mut bytes = [b'a'; 16];
            bytes[2..4].copy_from_slice(&pair.to_le_bytes());
            check::<TOKEN>(&bytes);
            check::<TARGET>(&bytes);
            check::<PATH>(&bytes);
            check::<HOST>(&bytes);
            check::<VALUE>(&bytes);
        }
    }

    #[test]
    fn a_run_of_a_long_value_ends_at_any_byte_of_any_block() {
        for (at, byte) in
            (0..3 * BLOCK).flat_map(|at| b"\0\x1f\t \x7f\x80\xa0\xff".map(|byte| (at, byte)))
        {
            let mut bytes = [b'a'; 3 * BLOCK + 5];
            bytes[at] = byte;
            let expected = if is(VALUE, byte) { bytes.len() } else { at };
            assert_eq!(run::<VALUE>(&bytes), expected, "{byte:#x} at {at}");
            bytes[at + 1] = b'\r';
            assert_eq!(
                run::<VALUE>(&bytes),
                expected.min(at + 1),
                "{byte:#x} at {at}"
            );
        }
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
        assert_eq!(trim_ows(b" \ta b\t "), b"a b");
        assert_eq!(trim_ows(b" \t "), b"");
        assert_eq!(trim_ows(b""), b"");
    }
}
