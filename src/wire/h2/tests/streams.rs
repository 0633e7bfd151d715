//! The order of frames, field blocks in pieces, and other streams.

use super::*;

#[test]
fn settings_must_come_first() {
    let by = |frames: &[Vec<u8>]| result_by(Rules::Http, &frames.concat()).verdict;
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
    // Go counts an acknowledgement as SETTINGS.
    let first = [frame(SETTINGS, ACK, 0, b""), status(END_STREAM, "200")];
    assert_eq!(by(&first), Ok(()));
}

#[test]
fn data_must_follow_the_head_on_the_requests_stream() {
    rejected(&[data(0, b"x")], H2Error::Protocol);
    rejected(&[data(0, b"")], H2Error::Protocol);
    let head = status(0, "200");
    rejected(&[head.clone(), frame(DATA, 0, 0, b"x")], H2Error::Protocol);
    rejected(&[head.clone(), frame(DATA, 0, 3, b"x")], H2Error::Protocol);
    let observed = accepted(&[head, frame(DATA, END_STREAM, 2, b"x"), data(0, b"y")]);
    assert_eq!(
        (&observed.body[..], observed.body_bytes, observed.is_ended),
        (&b"y"[..], 1, false)
    );
}

#[test]
fn data_above_the_window_is_an_error() {
    let mut input = [settings(&[]), status(0, "200")].concat();
    let full = data(0, &[b'x'; MAX_FRAME_BYTES]);
    let fits = H2_WINDOW_BYTES as usize / MAX_FRAME_BYTES;
    input.extend(full.repeat(fits));
    let observed = feed_pieces(Rules::Http, input.chunks(10_000));
    assert_eq!(
        (observed.verdict, observed.body_bytes),
        (Ok(()), u64::from(H2_WINDOW_BYTES))
    );
    input.extend(data(0, b"x"));
    assert_eq!(
        feed_pieces(Rules::Http, input.chunks(10_000)).verdict,
        Err(H2Error::FlowControl)
    );
}

fn parts(flags: u8, fields: &[(&str, &str)], size: usize) -> Vec<Vec<u8>> {
    let block = block(fields);
    let mut frames: Vec<Vec<u8>> = vec![frame(HEADERS, flags, STREAM_ID, b"")];
    frames.extend(
        block
            .chunks(size)
            .map(|part| frame(CONTINUATION, 0, STREAM_ID, part)),
    );
    frames.push(frame(CONTINUATION, END_HEADERS, STREAM_ID, b""));
    frames
}

#[test]
fn a_field_block_may_be_split_anywhere() {
    for size in [1, 2, 5, 100] {
        let observed = accepted(&parts(
            END_STREAM,
            &[(":status", "204"), ("location", "/a")],
            size,
        ));
        assert!(observed.is_ended);
        assert_eq!(
            observed.head.map(|head| (head.status, head.location)),
            Some((204, Location::Stored(2)))
        );
    }
    // Only the last frame marks the end of the block.
    let flags = END_STREAM | 0x40;
    assert!(accepted(&parts(flags, &[(":status", "204")], 3)).is_ended);
}

#[test]
fn other_frames_within_a_block_are_errors() {
    let start = frame(HEADERS, 0, STREAM_ID, &block(&[(":status", "200")]));
    for other in [
        data(0, b"x"),
        frame(PING, 0, 0, &[0; 8]),
        settings(&[]),
        frame(0xfa, 0, 0, b""),
        frame(CONTINUATION, END_HEADERS, 3, b""),
        frame(CONTINUATION, END_HEADERS, 0, b""),
        status(0, "200"),
    ] {
        rejected(&[start.clone(), other], H2Error::Protocol);
    }
    rejected(
        &[frame(CONTINUATION, END_HEADERS, STREAM_ID, b"")],
        H2Error::Protocol,
    );
    rejected(
        &[frame(CONTINUATION, END_HEADERS, 0, b"")],
        H2Error::Protocol,
    );
    rejected(
        &[
            status(0, "200"),
            frame(CONTINUATION, END_HEADERS, STREAM_ID, b""),
        ],
        H2Error::Protocol,
    );
}

#[test]
fn a_block_may_have_padding_and_a_priority() {
    let fields = block(&[(":status", "204")]);
    let flags = END_HEADERS | END_STREAM;
    let with = |flags, before: &[u8], after: usize| {
        frame(
            HEADERS,
            flags,
            STREAM_ID,
            &[before, &fields[..], &vec![0; after]].concat(),
        )
    };
    assert!(accepted(&[with(flags | PADDED, &[7], 7)]).is_ended);
    assert!(accepted(&[with(flags | HAS_PRIORITY, &[0x80, 0, 0, 1, 9], 0)]).is_ended);
    assert!(accepted(&[with(flags | HAS_PRIORITY | PADDED, &[2, 0, 0, 0, 0, 9], 2)]).is_ended);
    rejected(&[frame(HEADERS, flags, 0, &fields)], H2Error::Protocol);
    rejected(
        &[frame(HEADERS, flags | PADDED, STREAM_ID, &[2, 0])],
        H2Error::Protocol,
    );
    rejected(
        &[frame(HEADERS, flags | PADDED, STREAM_ID, b"")],
        H2Error::FrameSize,
    );
    rejected(
        &[frame(HEADERS, flags | HAS_PRIORITY, STREAM_ID, &[0; 4])],
        H2Error::FrameSize,
    );
    rejected(
        &[frame(
            HEADERS,
            flags | HAS_PRIORITY | PADDED,
            STREAM_ID,
            &[0; 5],
        )],
        H2Error::FrameSize,
    );
}

#[test]
fn a_block_that_cannot_be_decoded_fails_the_exchange() {
    rejected(
        &[frame(HEADERS, END_HEADERS, STREAM_ID, &[0x80])],
        H2Error::Compression(HpackError::Index),
    );
    rejected(
        &[frame(HEADERS, END_HEADERS, STREAM_ID, &[0x40])],
        H2Error::Compression(HpackError::CutShort),
    );
    rejected(
        &[frame(HEADERS, END_HEADERS, 5, &[0x80])],
        H2Error::Compression(HpackError::Index),
    );
}

/// Their fields are ignored, but the dynamic table belongs to the connection.
#[test]
fn blocks_of_other_streams_are_decoded() {
    let other = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        3,
        b"\x40\x07:status\x03204",
    );
    let observed = accepted(&[
        other.clone(),
        frame(HEADERS, END_HEADERS | END_STREAM, STREAM_ID, &[0xbe]),
    ]);
    assert_eq!(
        (observed.head.map(|head| head.status), observed.is_ended),
        (Some(204), true)
    );
    // Invalid fields are ignored as well.
    let odd = frame(
        HEADERS,
        END_HEADERS,
        2,
        &block(&[("A", "\0"), (":status", "x")]),
    );
    assert_eq!(
        accepted(&[odd, status(0, "200")])
            .head
            .map(|head| head.status),
        Some(200)
    );
    // The same block is an error on the request's stream.
    let odd = frame(HEADERS, END_HEADERS, 3, b"\x40\x01A\x00");
    let fields = [&block(&[(":status", "200")])[..], &[0xbe]].concat();
    rejected(
        &[odd, frame(HEADERS, END_HEADERS, STREAM_ID, &fields)],
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
    assert!(accepted(&[input]).is_ended);
}

#[test]
fn a_push_promise_is_an_error() {
    rejected(
        &[frame(PUSH_PROMISE, END_HEADERS, STREAM_ID, &[0, 0, 0, 2])],
        H2Error::Protocol,
    );
}

#[test]
fn a_frame_above_the_maximum_size_is_an_error() {
    let frames = [
        settings(&[]),
        status(0, "200"),
        data(0, &[0; MAX_FRAME_BYTES]),
    ]
    .concat();
    assert_eq!(feed_pieces(Rules::Http, [&frames[..]]).verdict, Ok(()));
    rejected(
        &[status(0, "200"), vec![0, 0x40, 1, DATA, 0, 0, 0, 0, 1]],
        H2Error::FrameTooLarge,
    );
}
