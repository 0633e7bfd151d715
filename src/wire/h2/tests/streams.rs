//! The order of frames, blocks of fields in pieces, and other streams.

use super::*;

#[test]
fn nothing_comes_before_settings() {
    let by = |frames: &[Vec<u8>]| seen_by(Rules::Http, &frames.concat()).verdict;
    for first in [
        status(0, "200"),
        data(0, b"x"),
        frame(PING, 0, 0, &[0; 8]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(GOAWAY, 0, 0, &[0; 8]),
        frame(0xfa, 0, 0, b""),
    ] {
        assert_eq!(by(&[first]), Err(H2Error::Protocol));
    }
    // Go takes an acknowledgement for SETTINGS.
    let first = [frame(SETTINGS, ACK, 0, b""), status(END_STREAM, "200")];
    assert_eq!(by(&first), Ok(()));
}

#[test]
fn data_comes_after_the_head_on_the_stream_that_was_opened() {
    refused(&[data(0, b"x")], H2Error::Protocol);
    refused(&[data(0, b"")], H2Error::Protocol);
    let head = status(0, "200");
    refused(&[head.clone(), frame(DATA, 0, 0, b"x")], H2Error::Protocol);
    refused(&[head.clone(), frame(DATA, 0, 3, b"x")], H2Error::Protocol);
    let seen = taken(&[head, frame(DATA, END_STREAM, 2, b"x"), data(0, b"y")]);
    assert_eq!(
        (&seen.body[..], seen.body_bytes, seen.is_ended),
        (&b"y"[..], 1, false)
    );
}

#[test]
fn the_app_keeps_to_the_window() {
    let mut input = [settings(&[]), status(0, "200")].concat();
    let full = data(0, &[b'x'; FRAME_BYTES]);
    let fits = H2_WINDOW_BYTES as usize / FRAME_BYTES;
    input.extend(full.repeat(fits));
    let seen = arriving(Rules::Http, input.chunks(10_000));
    assert_eq!(
        (seen.verdict, seen.body_bytes),
        (Ok(()), u64::from(H2_WINDOW_BYTES))
    );
    input.extend(data(0, b"x"));
    assert_eq!(
        arriving(Rules::Http, input.chunks(10_000)).verdict,
        Err(H2Error::FlowControl)
    );
}

fn parts(flags: u8, fields: &[(&str, &str)], size: usize) -> Vec<Vec<u8>> {
    let block = block(fields);
    let mut frames: Vec<Vec<u8>> = vec![frame(HEADERS, flags, STREAM, b"")];
    frames.extend(
        block
            .chunks(size)
            .map(|part| frame(CONTINUATION, 0, STREAM, part)),
    );
    frames.push(frame(CONTINUATION, END_HEADERS, STREAM, b""));
    frames
}

#[test]
fn a_block_may_be_cut_anywhere() {
    for size in [1, 2, 5, 100] {
        let seen = taken(&parts(
            END_STREAM,
            &[(":status", "204"), ("location", "/a")],
            size,
        ));
        assert!(seen.is_ended);
        assert_eq!(
            seen.head.map(|head| (head.status, head.location)),
            Some((204, Location::Kept(2)))
        );
    }
    // The end of the block is told by its last frame alone.
    let flags = END_STREAM | 0x40;
    assert!(taken(&parts(flags, &[(":status", "204")], 3)).is_ended);
}

#[test]
fn nothing_comes_between_the_parts_of_a_block() {
    let start = frame(HEADERS, 0, STREAM, &block(&[(":status", "200")]));
    for other in [
        data(0, b"x"),
        frame(PING, 0, 0, &[0; 8]),
        settings(&[]),
        frame(0xfa, 0, 0, b""),
        frame(CONTINUATION, END_HEADERS, 3, b""),
        frame(CONTINUATION, END_HEADERS, 0, b""),
        status(0, "200"),
    ] {
        refused(&[start.clone(), other], H2Error::Protocol);
    }
    refused(
        &[frame(CONTINUATION, END_HEADERS, STREAM, b"")],
        H2Error::Protocol,
    );
    refused(
        &[frame(CONTINUATION, END_HEADERS, 0, b"")],
        H2Error::Protocol,
    );
    refused(
        &[
            status(0, "200"),
            frame(CONTINUATION, END_HEADERS, STREAM, b""),
        ],
        H2Error::Protocol,
    );
}

#[test]
fn a_block_has_a_stream_padding_and_a_priority() {
    let fields = block(&[(":status", "204")]);
    let flags = END_HEADERS | END_STREAM;
    let with = |flags, before: &[u8], after: usize| {
        frame(
            HEADERS,
            flags,
            STREAM,
            &[before, &fields[..], &vec![0; after]].concat(),
        )
    };
    assert!(taken(&[with(flags | PADDED, &[7], 7)]).is_ended);
    assert!(taken(&[with(flags | HAS_PRIORITY, &[0x80, 0, 0, 1, 9], 0)]).is_ended);
    assert!(taken(&[with(flags | HAS_PRIORITY | PADDED, &[2, 0, 0, 0, 0, 9], 2)]).is_ended);
    refused(&[frame(HEADERS, flags, 0, &fields)], H2Error::Protocol);
    refused(
        &[frame(HEADERS, flags | PADDED, STREAM, &[2, 0])],
        H2Error::Protocol,
    );
    refused(
        &[frame(HEADERS, flags | PADDED, STREAM, b"")],
        H2Error::FrameSize,
    );
    refused(
        &[frame(HEADERS, flags | HAS_PRIORITY, STREAM, &[0; 4])],
        H2Error::FrameSize,
    );
    refused(
        &[frame(
            HEADERS,
            flags | HAS_PRIORITY | PADDED,
            STREAM,
            &[0; 5],
        )],
        H2Error::FrameSize,
    );
}

#[test]
fn a_block_that_cannot_be_decoded_ends_it() {
    refused(
        &[frame(HEADERS, END_HEADERS, STREAM, &[0x80])],
        H2Error::Compression(HpackError::Index),
    );
    refused(
        &[frame(HEADERS, END_HEADERS, STREAM, &[0x40])],
        H2Error::Compression(HpackError::CutShort),
    );
    refused(
        &[frame(HEADERS, END_HEADERS, 5, &[0x80])],
        H2Error::Compression(HpackError::Index),
    );
}

/// What they say does not matter, but the table is of the connection.
#[test]
fn blocks_of_other_streams_are_decoded() {
    let other = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        3,
        b"\x40\x07:status\x03204",
    );
    let seen = taken(&[
        other.clone(),
        frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &[0xbe]),
    ]);
    assert_eq!(
        (seen.head.map(|head| head.status), seen.is_ended),
        (Some(204), true)
    );
    // Not even when it breaks the rules.
    let odd = frame(
        HEADERS,
        END_HEADERS,
        2,
        &block(&[("A", "\0"), (":status", "x")]),
    );
    assert_eq!(
        taken(&[odd, status(0, "200")]).head.map(|head| head.status),
        Some(200)
    );
    // What was wrong there is wrong here.
    let odd = frame(HEADERS, END_HEADERS, 3, b"\x40\x01A\x00");
    let fields = [&block(&[(":status", "200")])[..], &[0xbe]].concat();
    refused(
        &[odd, frame(HEADERS, END_HEADERS, STREAM, &fields)],
        H2Error::BadHead,
    );
}

#[test]
fn the_reserved_bit_of_a_stream_is_ignored() {
    let input = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1 << 31 | 1,
        &block(&[(":status", "204")]),
    );
    assert!(taken(&[input]).is_ended);
}

#[test]
fn nothing_is_pushed() {
    refused(
        &[frame(PUSH_PROMISE, END_HEADERS, STREAM, &[0, 0, 0, 2])],
        H2Error::Protocol,
    );
}

#[test]
fn a_frame_is_no_longer_than_was_said() {
    let frames = [settings(&[]), status(0, "200"), data(0, &[0; FRAME_BYTES])].concat();
    assert_eq!(arriving(Rules::Http, [&frames[..]]).verdict, Ok(()));
    refused(
        &[status(0, "200"), vec![0, 0x40, 1, DATA, 0, 0, 0, 0, 1]],
        H2Error::FrameTooLarge,
    );
}
