//! Control frames: their acknowledgements, and the limit of their number.

use super::*;

const GO_ON: (u8, &str) = (END_STREAM, "200");

/// Reads these frames, and then a complete response.
#[track_caller]
fn harmless(frames: &[Vec<u8>]) -> Observed {
    let frames = [frames, &[status(GO_ON.0, GO_ON.1)]].concat();
    let observed = accepted(&frames);
    assert!(observed.is_ended);
    observed
}

#[test]
fn settings_and_pings_are_acknowledged() {
    let ping = frame(PING, 0, 0, b"12345678");
    let observed = harmless(&[
        ping,
        settings(&[(1, 0), (3, 0), (9, 9)]),
        frame(PING, ACK, 0, &[0; 8]),
    ]);
    let acknowledged = frame(SETTINGS, ACK, 0, b"");
    let expected = [
        &acknowledged[..],
        &frame(PING, ACK, 0, b"12345678"),
        &acknowledged,
    ]
    .concat();
    assert_eq!(observed.answers, expected);
}

#[test]
fn control_frames_of_a_wrong_length_or_stream_are_errors() {
    let size = H2Error::FrameSize;
    for (kind, flags, stream, len, error) in [
        (PRIORITY, 0, 1, 4, size),
        (PRIORITY, 0, 0, 5, H2Error::Protocol),
        (RST_STREAM, 0, 1, 5, size),
        (RST_STREAM, 0, 0, 4, H2Error::Protocol),
        (SETTINGS, ACK, 0, 6, size),
        (SETTINGS, 0, 0, 7, size),
        (SETTINGS, 0, 1, 0, H2Error::Protocol),
        (PING, 0, 0, 7, size),
        (PING, 0, 1, 8, H2Error::Protocol),
        (GOAWAY, 0, 0, 7, size),
        (GOAWAY, 0, 1, 8, H2Error::Protocol),
        (WINDOW_UPDATE, 0, 1, 3, size),
    ] {
        rejected(&[frame(kind, flags, stream, &vec![0; len])], error);
    }
    harmless(&[
        frame(PRIORITY, 0, 7, &[0; 5]),
        frame(0xfa, 0xff, 0, b"whatever"),
        frame(0xfa, 0xff, 9, b""),
        frame(RST_STREAM, 0, 3, &[0; 4]),
    ]);
}

#[test]
fn settings_outside_their_range_are_errors() {
    for (name, value, error) in [
        (2, 2, H2Error::Protocol),
        (4, 1 << 31, H2Error::FlowControl),
        (5, 16_383, H2Error::Protocol),
        (5, 1 << 24, H2Error::Protocol),
        (8, 2, H2Error::Protocol),
    ] {
        rejected(&[settings(&[(1, 1), (name, value)])], error);
    }
    harmless(&[settings(&[
        (2, 1),
        (4, i32::MAX as u32),
        (5, 16_384),
        (5, (1 << 24) - 1),
        (8, 1),
        (77, 1 << 31),
    ])]);
}

#[test]
fn our_settings_are_acknowledged_once() {
    let acknowledgement = frame(SETTINGS, ACK, 0, b"");
    let observed = harmless(std::slice::from_ref(&acknowledgement));
    assert_eq!(observed.answers, acknowledgement, "no answer to an answer");
    rejected(
        &[acknowledgement.clone(), acknowledgement],
        H2Error::Protocol,
    );
}

#[test]
fn window_updates_change_the_send_window() {
    let update = |stream, more: u32| frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    assert_eq!(accepted(&[]).send_window, 65_535);
    assert_eq!(accepted(&[update(1, 5)]).send_window, 65_535);
    assert_eq!(
        accepted(&[update(1, 5), update(0, 1 << 31 | 7)]).send_window,
        65_540
    );
    assert_eq!(accepted(&[update(3, 5), update(0, 7)]).send_window, 65_535);
    assert_eq!(accepted(&[settings(&[(4, 0)])]).send_window, 0);
    assert_eq!(
        accepted(&[settings(&[(4, 0)]), update(1, 5), settings(&[(4, 3)])]).send_window,
        8
    );
    assert_eq!(
        accepted(&[update(1, 5), settings(&[(4, 0)]), settings(&[(4, 1)])]).send_window,
        6
    );
    for stream in [0, 1] {
        rejected(&[update(stream, 0)], H2Error::Protocol);
        rejected(&[update(stream, i32::MAX as u32)], H2Error::FlowControl);
        accepted(&[update(stream, i32::MAX as u32 - 65_535)]);
    }
    accepted(&[update(3, 0)]);
    // Go leaves a stream's window unchanged if SETTINGS would make it too large.
    let most = update(1, i32::MAX as u32 - 65_535);
    assert_eq!(
        accepted(&[most, settings(&[(4, 65_536)]), update(0, 1)]).send_window,
        65_536
    );
}

#[test]
fn sent_data_reduces_the_send_window() {
    let mut exchange = Exchange::new(Rules::Grpc);
    exchange.consume_send_window(65_000);
    assert_eq!(exchange.send_window(), 535);
    let mut memory = vec![0; H2_BYTES];
    let shrunk = settings(&[(4, 100)]);
    exchange
        .feed(&shrunk, &mut memory, &mut [], &mut |_| {})
        .unwrap();
    assert_eq!(exchange.send_window(), 0, "it is below zero");
}

#[test]
fn frames_on_the_stream_before_the_request_are_errors() {
    let early = frame(HEADERS, END_HEADERS | END_STREAM, STREAM_ID, &[0x88]);
    let input = [settings(&[]), early].concat();
    for (rules, expected) in [(Rules::Http, Ok(())), (Rules::Grpc, Err(H2Error::Protocol))] {
        let mut exchange = Exchange::new(rules);
        let fed = exchange.feed(&input, &mut vec![0; H2_BYTES], &mut [], &mut |_| {});
        assert_eq!(fed, expected, "{rules:?}");
    }
}

#[test]
fn a_reset_fails_the_exchange_with_its_code() {
    let reset = |code: u32| frame(RST_STREAM, 0, STREAM_ID, &code.to_be_bytes());
    for (code, is_retriable) in [
        (0, false),
        (1, true),
        (2, false),
        (7, true),
        (8, false),
        (99, false),
    ] {
        rejected(&[reset(code)], H2Error::Reset(code));
        assert_eq!(H2Error::Reset(code).is_retriable(), is_retriable);
    }
    let observed = result(&[status(0, "200"), data(0, b"x"), reset(0)]);
    assert_eq!(
        (observed.verdict, observed.body_bytes),
        (Err(H2Error::Reset(0)), 1)
    );
    assert!(observed.head.is_some() && !observed.is_ended);
}

/// Go `setGoAway`.
#[test]
fn a_go_away_fails_an_unprocessed_stream() {
    let go_away = |last: u32, code: u32| {
        frame(
            GOAWAY,
            0,
            0,
            &[&last.to_be_bytes()[..], &code.to_be_bytes(), b"why"].concat(),
        )
    };
    harmless(&[go_away(1, 0), go_away(1 << 31 | 1, 2)]);
    harmless(&[go_away(i32::MAX as u32, 0)]);
    rejected(&[go_away(0, 0)], H2Error::GoAway(0));
    rejected(&[go_away(1 << 31, 0)], H2Error::GoAway(0));
    rejected(&[go_away(1, 0), go_away(0, 11)], H2Error::GoAway(11));
    rejected(&[go_away(1, 11), go_away(0, 0)], H2Error::GoAway(11));
    assert!(H2Error::GoAway(0).is_retriable() && !H2Error::GoAway(11).is_retriable());
}

#[test]
fn non_progress_frames_are_limited() {
    let start = [settings(&[]), status(0, "200")].concat();
    for (idle, cost) in [
        (frame(PING, ACK, 0, &[0; 8]), 1),
        (settings(&[]), 1),
        (frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1]), 1),
        (frame(PRIORITY, 0, 3, &[0; 5]), 1),
        (frame(0xfa, 0, 0, &[0; 1000]), 4),
        (
            frame(GOAWAY, 0, 0, &[&[0x7f; 8][..], &[0; 600]].concat()),
            3,
        ),
        (data(0, b""), 1),
        (data(PADDED, &[&[255][..], &[0; 255]].concat()), 2),
        (frame(DATA, 0, 2, b"x"), 1),
        (frame(HEADERS, END_HEADERS, 3, b""), 1),
    ] {
        // The first SETTINGS count as well.
        let most = (usize::from(H2_NON_PROGRESS_FRAMES) - 1) / cost;
        let input = [&start[..], &idle.repeat(most)].concat();
        assert_eq!(
            feed_pieces(Rules::Http, input.chunks(16_384)).verdict,
            Ok(()),
            "{idle:02x?}"
        );
        let input = [&input[..], &idle].concat();
        assert_eq!(
            feed_pieces(Rules::Http, input.chunks(16_384)).verdict,
            Err(H2Error::TooManyNonProgressFrames),
            "{idle:02x?}"
        );
    }
    let part = frame(CONTINUATION, 0, STREAM_ID, b"");
    let input = [
        settings(&[]),
        frame(HEADERS, 0, STREAM_ID, b""),
        part.repeat(10_000),
    ]
    .concat();
    assert_eq!(
        feed_pieces(Rules::Http, input.chunks(16_384)).verdict,
        Err(H2Error::TooManyNonProgressFrames)
    );
}

#[test]
fn data_does_not_count_as_non_progress() {
    let mut input = [settings(&[]), status(0, "200")].concat();
    input.extend(data(0, b"x").repeat(20_000));
    let observed = feed_pieces(Rules::Http, input.chunks(16_384));
    assert_eq!((observed.verdict, observed.body_bytes), (Ok(()), 20_000));
}

/// The memory fits the acknowledgements of one read, even if it starts with the end of an earlier frame.
#[test]
fn the_frames_of_each_read_can_be_acknowledged() {
    let ping = frame(PING, 0, 0, b"12345678");
    for question in [settings(&[]), ping] {
        let input = [settings(&[]), question.repeat(4000)].concat();
        for first in 0..40 {
            let (start, rest) = input.split_at(first);
            let pieces = [start]
                .into_iter()
                .chain(rest.chunks(crate::limits::SCRATCH_BYTES));
            let observed = feed_pieces(Rules::Http, pieces);
            assert_eq!(observed.verdict, Ok(()));
            assert_eq!(observed.answers.len(), input.len());
        }
    }
}

#[test]
fn a_read_above_the_limit_does_not_panic() {
    let input = [settings(&[]), frame(PING, 0, 0, &[0; 8]).repeat(2000)].concat();
    assert_eq!(
        feed_pieces(Rules::Http, [&input[..]]).verdict,
        Err(H2Error::TooManyNonProgressFrames)
    );
}
