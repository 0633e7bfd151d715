//! HTTP/2 heads: fields, tables, Huffman code, CONTINUATION frames, and blocks that are not HPACK.

use super::{Expected, FAILS, FINE, Http2Cases, last};
use crate::support::frames::{
    self, CONTINUATION, END_STREAM, HEADERS, PADDED, block, frame, head, headers,
};

pub(super) fn add_to(cases: &mut Http2Cases) {
    bad_blocks(cases);
    fields(cases);
    let ends = |block: &[u8]| headers(END_STREAM, block);
    cases.respond("head-indexed", FINE, &[ends(&[0x88])]);
    cases.respond("head-indexed-404", Expected::Status(404), &[ends(&[0x8d])]);
    let resized = [0x20, 0x88];
    cases.respond("head-table-of-0", FINE, &[ends(&resized)]);
    // RFC 7541 section 4.2 requires it at the start of a block; Go does not.
    cases.respond("head-table-size-late", FINE, &[ends(b"\x88\x20")]);
    // Adds "x: y" to the dynamic table and refers to that entry.
    let entered = [&[0x88, 0x40, 1, b'x', 1, b'y', 0xbe][..], &[0xbe; 50]].concat();
    cases.respond("head-dynamic-table", FINE, &[ends(&entered)]);
    // ":status: 302" with its value in Huffman code (RFC 7541 appendix C.6.1).
    cases.respond(
        "head-huffman",
        Expected::Status(302),
        &[ends(b"\x48\x82\x64\x02")],
    );
    cases.respond("head-never-indexed", FINE, &[ends(b"\x88\x10\x01x\x01y")]);
    let cookies = "c".repeat(14_000);
    let long = head("200", &[("set-cookie", &cookies)]);
    cases.respond("head-of-14-kib", FINE, &[ends(&long)]);
    let long = [long, block(&[("set-cookie", &cookies)]).repeat(20)].concat();
    cases.respond(
        "head-of-300-kib",
        FINE,
        &[in_pieces(END_STREAM, &long, 16_384)],
    );
    let short = in_pieces(END_STREAM, &head("200", &[("x", "y")]), 3);
    cases.respond("head-in-pieces", FINE, &[short]);
    let many = [head("200", &[]), block(&[("x", "y")]).repeat(1_500)].concat();
    cases.respond("head-of-1500-fields", FINE, &[ends(&many)]);
    let padded = [&[3][..], &head("200", &[]), &[0; 3]].concat();
    cases.respond(
        "head-padded",
        FINE,
        &[headers(END_STREAM | PADDED, &padded)],
    );
    let weighted = [&[0, 0, 0, 0, 9][..], &head("200", &[])].concat();
    let flags = END_STREAM | frames::HAS_PRIORITY;
    cases.respond("head-with-priority", FINE, &[headers(flags, &weighted)]);
}

/// Fields, and the position of the status among them.
fn fields(cases: &mut Http2Cases) {
    let ends = |block: &[u8]| headers(END_STREAM, block);
    for (name, code, fields) in [
        ("upper-case", FAILS, [("X-Upper", "y")]),
        ("connection", FINE, [("connection", "close")]),
        (
            "transfer-encoding",
            FINE,
            [("transfer-encoding", "chunked")],
        ),
        ("blank-in-name", FAILS, [("x y", "z")]),
        ("empty-name", FAILS, [("", "z")]),
        ("control-in-value", FAILS, [("x", "a\u{1}b")]),
        ("line-end-in-value", FAILS, [("x", "a\r\nb")]),
        ("bytes-in-value", FINE, [("x", "\u{e9}")]),
        ("unknown-pseudo", FAILS, [(":x", "y")]),
        ("request-pseudo", FAILS, [(":path", "/")]),
    ] {
        let answer = last("200", &fields);
        cases.respond(&format!("field-{name}"), code, &[answer]);
    }
    cases.respond("status-missing", FAILS, &[ends(&block(&[("x", "y")]))]);
    let twice = [head("200", &[]), head("200", &[])].concat();
    cases.respond("status-twice", FAILS, &[ends(&twice)]);
    let late = block(&[("x", "y"), (":status", "200")]);
    cases.respond("status-after-field", FAILS, &[ends(&late)]);
    cases.respond("head-empty", FAILS, &[ends(&[])]);
}

/// A block in frames of this size.
fn in_pieces(flags: u8, block: &[u8], bytes: usize) -> Vec<u8> {
    let count = block.len().div_ceil(bytes);
    let piece = |(n, piece)| {
        let end = if n + 1 == count {
            frames::END_HEADERS
        } else {
            0
        };
        match n {
            0 => frame(HEADERS, flags | end, 1, piece),
            _ => frame(CONTINUATION, end, 1, piece),
        }
    };
    block.chunks(bytes).enumerate().flat_map(piece).collect()
}

/// Blocks that are not HPACK.
fn bad_blocks(cases: &mut Http2Cases) {
    for (name, bytes) in [
        ("index-0", &b"\x88\x80"[..]),
        ("index-62-of-none", b"\x88\xbe"),
        ("index-huge", b"\x88\xff\xff\xff\xff\xff\x7f"),
        ("integer-cut", b"\x88\xff\xff"),
        ("string-cut", b"\x88\x00\x05abc"),
        ("string-huge", b"\x88\x00\x7f\xff\xff\xff\xff\x0fabc"),
        ("table-too-big", b"\x3f\xe1\xff\x03\x88"),
        ("huffman-eos", b"\x88\x00\x84\xff\xff\xff\xff\x01y"),
        ("huffman-bad-padding", b"\x88\x00\x81\x00\x01y"),
    ] {
        let answer = headers(END_STREAM, bytes);
        cases.respond(&format!("hpack-{name}"), FAILS, &[answer]);
    }
}
