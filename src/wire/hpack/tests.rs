//! RFC 7541's own examples and Go's rules, each input in every split: whole, in two, byte by byte.

use super::*;

mod appendix_c;

/// Fields as name and value, and the size of the table after them.
type Verdict = Result<(Vec<(String, String)>, usize), HpackError>;

/// Memory with arbitrary contents.
fn memory() -> Vec<u8> {
    vec![0xaa; HPACK_BYTES]
}

struct Reader {
    decoder: Decoder,
    memory: Vec<u8>,
}

impl Reader {
    fn new() -> Self {
        Reader {
            decoder: Decoder::new(),
            memory: memory(),
        }
    }

    fn block<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Verdict {
        let mut fields = Vec::new();
        for piece in pieces {
            let mut sink = |field: &HeaderField<'_>| {
                let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
                fields.push((text(field.name), text(field.value)));
                true
            };
            self.decoder.feed(piece, &mut self.memory, &mut sink)?;
        }
        self.decoder.end_block()?;
        Ok((fields, self.decoder.table.size()))
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// The verdicts on blocks of one connection, the same however they are split.
fn verdicts(blocks: &[Vec<u8>]) -> Vec<Verdict> {
    let mut reader = Reader::new();
    let whole: Vec<Verdict> = blocks
        .iter()
        .map(|block| reader.block([&block[..]]))
        .collect();
    let mut reader = Reader::new();
    let single: Vec<Verdict> = blocks
        .iter()
        .map(|block| reader.block(block.chunks(1)))
        .collect();
    assert_eq!(single, whole, "byte by byte");
    let longest = blocks.iter().map(Vec::len).max().unwrap_or(0);
    for cut in 0..=longest {
        let mut reader = Reader::new();
        for (block, verdict) in blocks.iter().zip(&whole) {
            let (start, end) = block.split_at(cut.min(block.len()));
            assert_eq!(&reader.block([start, end]), verdict, "cut at {cut}");
        }
    }
    whole
}

#[track_caller]
fn decoded(hex: &[&str], expected: &[(&[(&str, &str)], usize)]) {
    assert_eq!(hex.len(), expected.len());
    let blocks: Vec<Vec<u8>> = hex.iter().map(|hex| bytes(hex)).collect();
    for (verdict, (fields, size)) in verdicts(&blocks).into_iter().zip(expected) {
        let fields = fields
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        assert_eq!(verdict, Ok((fields.collect(), *size)));
    }
}

#[track_caller]
fn rejected(hex: &str, error: HpackError) {
    assert_eq!(verdicts(&[bytes(hex)]), [Err(error)], "{hex}");
}

#[test]
fn integers_may_have_nine_bytes_after_the_first() {
    // Appendix C.1.2: 1337 in five bits, here as a size.
    assert_eq!(verdicts(&[bytes("3f9a0a")]), [Ok((vec![], 0))]);
    let expected: (&[(&str, &str)], usize) = (&[("www-authenticate", "b")], 0);
    decoded(&["0fae 8080 8080 8080 8000 0162"], &[expected]);
    rejected("0fae 8080 8080 8080 8080 0001 62", HpackError::Integer);
    rejected("ff80 8080 8080 8080 8080 00", HpackError::Integer);
    rejected("ffff ffff ffff ffff ffff ff", HpackError::Integer);
    rejected("ffff ffff ffff ffff ff7f", HpackError::Index);
}

#[test]
fn an_index_that_no_table_has_is_rejected() {
    rejected("80", HpackError::Index);
    rejected("be", HpackError::Index);
    rejected("7e00", HpackError::Index);
    rejected("ff01", HpackError::Index);
    rejected("0f2f00", HpackError::Index);
    decoded(&["bd"], &[(&[("www-authenticate", "")], 0)]);
    // The table has one entry: index 63 does not exist.
    rejected("4001 6101 62 be bf", HpackError::Index);
}

#[test]
fn a_block_that_ends_within_a_field_is_rejected() {
    for hex in [
        "40", "ff", "4001", "400161", "40016101", "0f", "3f", "00016183",
    ] {
        rejected(hex, HpackError::CutShort);
    }
    rejected("4001610000", HpackError::CutShort);
    decoded(&["400000"], &[(&[("", "")], 32)]);
}

/// RFC 7541 section 5.2.
#[test]
fn huffman_padding_must_be_less_than_a_byte_of_ones() {
    // "a" is 00011.
    decoded(&["0001 6181 1f"], &[(&[("a", "a")], 0)]);
    rejected("0001 6181 1b", HpackError::Huffman);
    rejected("0001 6182 1fff", HpackError::Huffman);
    rejected("0001 6181 ff", HpackError::Huffman);
    rejected("0001 6184 ffff ffff", HpackError::Huffman);
    rejected("0001 6185 1fff ffff ff", HpackError::Huffman);
    decoded(&["0001 6180"], &[(&[("a", "")], 0)]);
}

/// Each symbol with its code, compared with an encoder that is built from the order of appendix B.
#[test]
fn every_byte_has_its_huffman_code() {
    // Some of appendix B, of each kind of length.
    for (byte, code, length) in [
        (b'0', 0x0u32, 5),
        (b't', 0x9, 5),
        (b' ', 0x14, 6),
        (b':', 0x5c, 7),
        (b'X', 0xfc, 8),
        (b'!', 0x3f8, 10),
        (b'|', 0x7fc, 11),
        (b'#', 0xffa, 12),
        (b'~', 0x1ffd, 13),
        (b'^', 0x3ffc, 14),
        (b'{', 0x7ffe, 15),
        (b'\\', 0x7fff0, 19),
        (0x80, 0xfffe6, 20),
        (0x00, 0x1ff8, 13),
        (0x01, 0x7fffd8, 23),
        (0x02, 0xfffffe2, 28),
        (0xc0, 0x3ffffe0, 26),
        (0xf9, 0xffffffe, 28),
        (0x0a, 0x3ffffffc, 30),
        (0x16, 0x3ffffffe, 30),
        (0xff, 0x3ffffee, 26),
    ] {
        let padded = u64::from(code) << (40 - length) | ((1 << (40 - length)) - 1);
        let whole = (length as usize).div_ceil(8);
        let mut block = vec![0x00, 0x01, b'a', 0x80 | whole as u8];
        block.extend_from_slice(&padded.to_be_bytes()[3..][..whole]);
        let value = [byte].escape_ascii().to_string();
        assert_eq!(verdicts(&[block]), [Ok((vec![("a".into(), value)], 0))]);
    }
}

#[test]
fn the_table_size_may_change_before_the_first_field() {
    decoded(
        &["4001 6101 62", "3f e11f be"],
        &[(&[("a", "b")], 34), (&[("a", "b")], 34)],
    );
    assert_eq!(verdicts(&[bytes("3fe21f")]), [Err(HpackError::TableSize)]);
    // Size 0 and the old size again: this is how an encoder drops all entries.
    assert_eq!(
        verdicts(&[bytes("4001 6101 62"), bytes("20 3fe11f"), bytes("be")])[1..],
        [Ok((vec![], 0)), Err(HpackError::Index)]
    );
    rejected("4001 6101 62 20", HpackError::TableSize);
    // Go accepts it while the table is empty.
    decoded(
        &["82 20 82"],
        &[(&[(":method", "GET"), (":method", "GET")], 0)],
    );
    // The second update comes while the table has entries.
    assert_eq!(
        verdicts(&[bytes("4001 6101 62"), bytes("3f21 3f22")])[1],
        Err(HpackError::TableSize)
    );
}

fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut block = vec![0x40];
    for text in [name, value] {
        block.push(0x7f);
        let mut rest = text.len().checked_sub(0x7f).expect("a long text");
        while rest >= 0x80 {
            block.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        block.push(rest as u8);
        block.extend_from_slice(text);
    }
    block
}

/// RFC 7541 section 4.4.
#[test]
fn a_name_may_be_taken_from_an_entry_that_is_evicted() {
    let name = vec![b'n'; 2000];
    let first = literal(&name, &[b'1'; 1500]);
    // The newest entry's name, and a value that leaves no room for both.
    let mut second = vec![0x7e];
    second.extend_from_slice(&literal(&name, &[b'2'; 1500])[1 + 3 + name.len()..]);
    let mut reader = Reader::new();
    reader.block([&first[..]]).unwrap();
    let (fields, size) = reader.block([&second[..]]).unwrap();
    assert_eq!(fields, [("n".repeat(2000), "2".repeat(1500))]);
    assert_eq!(size, 3532);
    assert!(reader.block([&[0xbe][..]]).is_ok());
    assert_eq!(reader.block([&[0xbf][..]]), Err(HpackError::Index));
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let fits = literal(&[b'n'; 200], &[b'v'; 4096 - 200 - 32]);
    let larger = literal(&[b'n'; 200], &[b'v'; 4096 - 200 - 31]);
    let verdicts = verdicts(&[fits, larger, vec![0xbe]]);
    assert_eq!(verdicts[0].as_ref().unwrap().1, 4096);
    assert_eq!(verdicts[1].as_ref().unwrap().1, 0);
    assert_eq!(verdicts[2], Err(HpackError::Index));
}

/// Entries of many sizes, compared with a plain list while the table wraps around many times.
#[test]
fn the_table_has_the_entries_that_the_rfc_defines() {
    let mut reader = Reader::new();
    let mut list: Vec<(String, String)> = Vec::new();
    let mut seed = 1u32;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as usize % below
    };
    for round in 0..3000 {
        let longest = [1, 40, 500, 1800][round % 4];
        let texts = [(); 2].map(|()| {
            let letter = char::from(b'a' + (round % 26) as u8);
            letter.to_string().repeat(127 + random(longest))
        });
        let [name, value] = texts;
        reader
            .block([&literal(name.as_bytes(), value.as_bytes())[..]])
            .unwrap();
        list.insert(0, (name, value));
        let mut size = 0;
        list.retain(|(name, value)| {
            size += name.len() + value.len() + 32;
            size <= TABLE_SIZE
        });
        for (age, entry) in list.iter().enumerate() {
            let index = 62 + age as u8;
            let (fields, _) = reader.block([&[0x80 | index][..]]).unwrap();
            assert_eq!(
                fields,
                std::slice::from_ref(entry),
                "round {round}, age {age}"
            );
        }
        let beyond = 62 + list.len() as u8;
        let mut copy = Reader {
            decoder: reader.decoder,
            memory: reader.memory.clone(),
        };
        assert_eq!(copy.block([&[0x80 | beyond][..]]), Err(HpackError::Index));
    }
}

#[test]
fn the_smallest_entries_fill_the_table() {
    let mut reader = Reader::new();
    for _ in 0..300 {
        reader.block([&[0x40, 0, 0][..]]).unwrap();
    }
    assert_eq!(reader.decoder.table.size(), TABLE_SIZE);
    // 61 and 128 entries: 189 is the last.
    assert!(reader.block([&[0xff, 62][..]]).is_ok());
    assert_eq!(reader.block([&[0xff, 63][..]]), Err(HpackError::Index));
}

#[test]
fn the_start_of_a_long_text_is_stored_and_the_rest_checked() {
    let name = "n".repeat(NAME_BYTES + 1);
    for (value, is_valid) in [
        ("v".repeat(VALUE_BYTES + 9), true),
        ("v".repeat(VALUE_BYTES) + "\n", false),
    ] {
        let block = literal(name.as_bytes(), value.as_bytes());
        let mut seen = None;
        let mut sink = |field: &HeaderField<'_>| {
            assert_eq!((field.name_len, field.value_len), (name.len(), value.len()));
            assert!(name.as_bytes().starts_with(field.name) && field.name.len() == NAME_BYTES);
            assert!(value.as_bytes().starts_with(field.value) && field.value.len() == VALUE_BYTES);
            assert_eq!(field.size(), (name.len() + value.len() + 32) as u64);
            seen = Some(field.is_valid());
            true
        };
        let mut decoder = Decoder::new();
        let mut memory = memory();
        for piece in block.chunks(1000) {
            decoder.feed(piece, &mut memory, &mut sink).unwrap();
        }
        assert_eq!(seen, Some(is_valid));
    }
}

#[test]
fn a_string_longer_than_a_head_is_rejected() {
    // 10 MiB and one more than that.
    rejected("0001 61 7f 81ff ff04 00", HpackError::CutShort);
    rejected("0001 61 7f 82ff ff04 00", HpackError::TooLong);
}

#[test]
fn a_callback_that_stops_is_not_called_again() {
    let mut count = 0;
    let mut sink = |_: &HeaderField<'_>| {
        count += 1;
        count < 2
    };
    let fed = Decoder::new().feed(&[0x82, 0x40, 0, 0, 0x82, 0x80], &mut memory(), &mut sink);
    assert_eq!((fed, count), (Ok(()), 2));
}

#[test]
fn names_with_capitals_and_values_with_control_bytes_are_invalid() {
    for (name, value, expected) in [
        ("a-b_1!", "x\ty \u{e4}", true),
        (":anything At All", "", true),
        ("", "", false),
        ("A", "", false),
        ("a b", "", false),
        ("a:", "", false),
        ("\u{e4}", "", false),
        ("a", "\r", false),
        ("a", "\0", false),
        ("a", "\u{7f}", false),
        (":a", "\n", false),
    ] {
        let field = HeaderField::whole((name.as_bytes(), value.as_bytes()));
        assert_eq!(field.is_valid(), expected, "{name:?}: {value:?}");
    }
}
