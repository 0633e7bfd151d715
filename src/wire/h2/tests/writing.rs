//! The bytes sent to the app, through output slices of several sizes.

use super::*;
use crate::wire::fields::{FieldSink, FieldValue, RequestFields};
use crate::wire::hpack::{Decoder, HPACK_BYTES};
use crate::wire::output_slice::OutputSlice;

fn written(write: &dyn Fn(&mut OutputSlice<'_>)) -> Vec<u8> {
    let through = |room: usize| {
        let (mut all, mut buf) = (Vec::new(), vec![0; room]);
        loop {
            let mut out = OutputSlice::new(&mut buf, all.len());
            write(&mut out);
            all.extend_from_slice(out.bytes());
            if out.is_complete() {
                assert_eq!(out.output_len(), all.len());
                return all;
            }
        }
    };
    let whole = through(1 << 20);
    assert_eq!(through(1000), whole);
    if whole.len() < 1000 {
        assert_eq!(through(1), whole);
    }
    whole
}

/// Kind, flags, stream and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk() {
        let header = FrameHeader::parse(*header);
        let (payload, rest) = rest.split_at(header.len as usize);
        frames.push((header.kind, header.flags, header.stream, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty());
    frames
}

struct List(Vec<(String, String)>);

impl RequestFields for List {
    fn each(&self, sink: &mut dyn FieldSink) {
        for (name, value) in &self.0 {
            let (start, end) = value.as_bytes().split_at(value.len() / 2);
            match value.strip_prefix("Basic ") {
                Some(credentials) => {
                    sink.field(name.as_bytes(), FieldValue::Basic(credentials.as_bytes()))
                }
                None if value.len() < 9 => {
                    sink.field(name.as_bytes(), FieldValue::Pieces(&[value.as_bytes()]))
                }
                None => sink.field(name.as_bytes(), FieldValue::Pieces(&[start, end])),
            }
        }
    }
}

fn list(fields: &[(&str, &str)]) -> List {
    let field = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    List(fields.iter().map(field).collect())
}

fn decoded(block: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut sink = |field: &crate::wire::hpack::HeaderField<'_>| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields.push((text(field.name), text(field.value)));
        true
    };
    let mut decoder = Decoder::new();
    decoder
        .feed(block, &mut vec![0; HPACK_BYTES], &mut sink)
        .unwrap();
    decoder.end_block().unwrap();
    fields
}

#[test]
fn a_connection_is_opened_as_by_gos_transport() {
    let bytes = written(&|out| write_opening(out));
    let rest = bytes
        .strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .expect("the preface");
    let [_, window, size, list] = [0, 8 << 20, 16_384, 10 << 20].map(|n: u32| n.to_be_bytes());
    let settings = [
        &[0, 2, 0, 0, 0, 0][..],
        &[0, 4],
        &window,
        &[0, 5],
        &size,
        &[0, 6],
        &list,
    ];
    let expected = [
        (SETTINGS, 0, 0, settings.concat()),
        (WINDOW_UPDATE, 0, 0, window.to_vec()),
    ];
    assert_eq!(frames(rest), expected);
}

#[test]
fn fields_of_the_static_table_are_indexed_and_others_literals() {
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/"),
        (":method", "POST"),
        (":scheme", "http"),
    ];
    let bytes = written(&|out| write_headers(out, true, &list(&fields)));
    let flags = END_STREAM | END_HEADERS;
    assert_eq!(
        frames(&bytes),
        [(HEADERS, flags, 1, vec![0x82, 0x87, 0x84, 0x83, 0x86])]
    );
    let fields = [(":authority", "a:1"), (":path", "/x"), ("X-Ab", "Cd")];
    let bytes = written(&|out| write_headers(out, false, &list(&fields)));
    let block = b"\x01\x03a:1\x04\x02/x\0\x04x-ab\x02Cd".to_vec();
    assert_eq!(frames(&bytes), [(HEADERS, END_HEADERS, 1, block)]);
}

#[test]
fn written_fields_are_decoded_unchanged() {
    for len in [0, 1, 126, 127, 128, 254, 255, 256, 300, 8000] {
        let name = "N".repeat(len.clamp(1, 4000));
        let fields = list(&[
            (":authority", "x.example:8080"),
            (&name, &"v".repeat(len)),
            ("authorization", "Basic a:b"),
        ]);
        let bytes = written(&|out| write_headers(out, true, &fields));
        let all = frames(&bytes);
        let decoded = decoded(&all[0].3);
        assert_eq!(decoded[1], (name.to_lowercase(), "v".repeat(len)));
        assert_eq!(decoded[2].1, "Basic YTpi");
        assert_eq!(decoded.len(), 3);
    }
}

#[test]
fn a_long_block_is_split_into_continuations() {
    for (bytes, expected) in [
        (MAX_FRAME_BYTES, vec![MAX_FRAME_BYTES]),
        (MAX_FRAME_BYTES + 1, vec![MAX_FRAME_BYTES, 1]),
        (3 * MAX_FRAME_BYTES, vec![MAX_FRAME_BYTES; 3]),
    ] {
        // The kind, the name and its length, and a length of three or four bytes precede the value.
        let length = if bytes - 7 < 0x7f + (1 << 14) { 3 } else { 4 };
        let mut fields = list(&[("n", "")]);
        fields.0[0].1 = "x".repeat(bytes - 3 - length);
        let all = frames(&written(&|out| write_headers(out, true, &fields)));
        assert_eq!(
            all.iter().map(|frame| frame.3.len()).collect::<Vec<_>>(),
            expected
        );
        for (index, (kind, flags, stream, _)) in all.iter().enumerate() {
            let (first, last) = (index == 0, index + 1 == all.len());
            assert_eq!(*kind, if first { HEADERS } else { CONTINUATION });
            assert_eq!(flags & END_STREAM != 0, first);
            assert_eq!(flags & END_HEADERS != 0, last);
            assert_eq!(*stream, 1);
        }
        let block: Vec<u8> = all.into_iter().flat_map(|frame| frame.3).collect();
        assert_eq!(block.len(), bytes);
    }
}

#[test]
fn any_part_of_the_body_can_be_written_as_data() {
    let body = |put: &mut dyn FnMut(&[u8])| {
        ["hello ", "", "world"]
            .iter()
            .for_each(|text| put(text.as_bytes()))
    };
    for from in 0..=11 {
        for len in 0..=11 - from {
            let bytes = written(&|out| write_data(out, from..from + len, 11, &body));
            let flags = if from + len == 11 { END_STREAM } else { 0 };
            let expected = b"hello world"[from..from + len].to_vec();
            assert_eq!(frames(&bytes), [(DATA, flags, 1, expected)]);
        }
    }
}
