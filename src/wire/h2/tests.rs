//! Responses that Go's client accepts and rejects, each input in every split: whole, in two, byte by byte. The rules
//! are those of Go 1.26's `net/http/h2_bundle.go` and, for [`Rules::Grpc`], of grpc-go.

use super::frame::*;
use super::*;
use crate::limits::{H2_NON_PROGRESS_FRAMES, H2_WINDOW_BYTES, LOCATION_BYTES, RESPONSE_HEAD_BYTES};
use crate::wire::response::Location;

mod control;
mod heads;
mod streams;
mod writing;

/// The observable state of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Observed {
    verdict: Result<(), H2Error>,
    head: Option<H2Head>,
    location: Vec<u8>,
    body: Vec<u8>,
    body_bytes: u64,
    is_ready: bool,
    is_ended: bool,
    grpc_status: Option<u32>,
    answers: Vec<u8>,
    send_window: usize,
}

fn feed_pieces<'a>(rules: Rules, pieces: impl IntoIterator<Item = &'a [u8]>) -> Observed {
    let mut exchange = Exchange::new(rules);
    exchange.mark_request_sent();
    // The memory of a slot is reused, so its contents are arbitrary.
    let mut memory = vec![0xaa; H2_BYTES];
    let mut location = vec![0xaa; LOCATION_BYTES];
    let (mut body, mut answers, mut verdict) = (Vec::new(), Vec::new(), Ok(()));
    for piece in pieces {
        verdict = exchange.feed(piece, &mut memory, &mut location, &mut |data| {
            body.extend_from_slice(data);
        });
        answers.extend_from_slice(exchange.pending(&memory));
        exchange.clear_pending();
        if verdict.is_err() {
            break;
        }
    }
    let stored = match exchange.head().map(|head| head.location) {
        Some(Location::Stored(len)) => len,
        _ => 0,
    };
    Observed {
        verdict,
        head: exchange.head().copied(),
        location: location[..stored].to_vec(),
        body,
        body_bytes: exchange.body_bytes(),
        is_ready: exchange.settings_received(),
        is_ended: exchange.stream_ended(),
        grpc_status: exchange.grpc_status(),
        answers,
        send_window: exchange.send_window(),
    }
}

fn result_by(rules: Rules, input: &[u8]) -> Observed {
    let whole = feed_pieces(rules, [input]);
    for cut in 0..=input.len() {
        let (start, end) = input.split_at(cut);
        assert_eq!(
            feed_pieces(rules, [start, end]),
            whole,
            "cut at {cut}: {input:02x?}"
        );
    }
    assert_eq!(
        feed_pieces(rules, input.chunks(1)),
        whole,
        "byte by byte: {input:02x?}"
    );
    whole
}

/// The result of reading these frames after empty SETTINGS.
fn result(frames: &[Vec<u8>]) -> Observed {
    result_by(Rules::Http, &[settings(&[]), frames.concat()].concat())
}

#[track_caller]
fn rejected(frames: &[Vec<u8>], error: H2Error) {
    assert_eq!(result(frames).verdict, Err(error));
}

#[track_caller]
fn accepted(frames: &[Vec<u8>]) -> Observed {
    let observed = result(frames);
    assert_eq!(observed.verdict, Ok(()));
    observed
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        len: payload.len() as u32,
        kind,
        flags,
        stream,
    };
    [&header.bytes()[..], payload].concat()
}

fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let bytes =
        |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(
        SETTINGS,
        0,
        0,
        &values.iter().flat_map(bytes).collect::<Vec<u8>>(),
    )
}

/// A block of literals.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            match text.len() {
                len @ ..0x7f => block.push(len as u8),
                len => {
                    let rest = len - 0x7f;
                    block.extend([
                        0x7f,
                        rest as u8 | 0x80,
                        (rest >> 7) as u8 | 0x80,
                        (rest >> 14) as u8,
                    ]);
                }
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn headers(flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, STREAM_ID, &block(fields))
}

fn status(flags: u8, status: &str) -> Vec<u8> {
    headers(flags, &[(":status", status)])
}

fn data(flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, flags, STREAM_ID, bytes)
}

#[test]
fn a_response_is_read_to_its_end() {
    let fields = [(":status", "200"), ("content-length", "5"), ("server", "x")];
    let whole = accepted(&[
        headers(0, &fields),
        data(0, b"hel"),
        data(END_STREAM, b"lo"),
    ]);
    let expected = H2Head {
        status: 200,
        location: Location::Absent,
        content_length: Some(5),
        is_grpc: false,
    };
    assert_eq!(whole.head, Some(expected));
    assert_eq!((&whole.body[..], whole.body_bytes), (&b"hello"[..], 5));
    assert!(whole.is_ready && whole.is_ended);
    assert_eq!(whole.answers, frame(SETTINGS, ACK, 0, b""));
}

#[test]
fn the_head_data_or_trailers_may_end_the_stream() {
    assert!(accepted(&[status(END_STREAM, "204")]).is_ended);
    assert!(accepted(&[status(0, "200"), data(END_STREAM, b"")]).is_ended);
    let trailers = headers(END_STREAM, &[("a", "b")]);
    assert!(accepted(&[status(0, "200"), data(0, b"x"), trailers.clone()]).is_ended);
    assert!(accepted(&[status(0, "200"), trailers]).is_ended);
    assert!(!accepted(&[status(0, "200"), data(0, b"x")]).is_ended);
}

#[test]
fn bytes_after_the_end_are_ignored() {
    let end = status(END_STREAM, "200");
    for after in [
        frame(RST_STREAM, 0, 1, &[0; 4]),
        data(0, b"x"),
        vec![0xff; 40],
    ] {
        let observed = accepted(&[end.clone(), after]);
        assert_eq!((observed.is_ended, observed.body_bytes), (true, 0));
    }
}

#[test]
fn bytes_of_a_frame_count_once_it_is_complete() {
    let mut input = [status(0, "200"), data(0, b"abc"), data(END_STREAM, b"def")].concat();
    input.pop();
    let observed = accepted(&[input]);
    assert_eq!((observed.body_bytes, observed.is_ended), (3, false));
}

/// `http2transportResponseBody.Read` and `http2missingBody`.
#[test]
fn a_body_must_have_its_declared_length() {
    let said = |length| headers(0, &[(":status", "200"), ("content-length", length)]);
    let short = result(&[said("5"), data(END_STREAM, b"four")]);
    assert_eq!(
        (short.verdict, short.body_bytes),
        (Err(H2Error::BodyLength), 4)
    );
    let long = result(&[said("5"), data(0, b"longer")]);
    assert_eq!(
        (long.verdict, long.body_bytes),
        (Err(H2Error::BodyLength), 5)
    );
    rejected(&[said("1"), headers(END_STREAM, &[])], H2Error::BodyLength);
    rejected(&[said("0"), data(0, b"x")], H2Error::BodyLength);
    rejected(
        &[headers(
            END_STREAM,
            &[(":status", "304"), ("content-length", "5")],
        )],
        H2Error::BodyLength,
    );
    assert_eq!(accepted(&[said("5"), data(0, b"five.")]).body_bytes, 5);
    // grpc-go ignores the length.
    let grpc = [settings(&[]), said("5"), data(END_STREAM, b"x")].concat();
    assert_eq!(result_by(Rules::Grpc, &grpc).verdict, Ok(()));
}

#[test]
fn padding_is_no_data() {
    let padded = data(
        PADDED | END_STREAM,
        &[b"\x03".as_slice(), b"hello", &[0; 3]].concat(),
    );
    let observed = accepted(&[status(0, "200"), padded]);
    assert_eq!(
        (&observed.body[..], observed.body_bytes),
        (&b"hello"[..], 5)
    );
    assert_eq!(
        accepted(&[status(0, "200"), data(PADDED, b"\x02ab")]).body_bytes,
        0
    );
    rejected(
        &[status(0, "200"), data(PADDED, b"\x03ab")],
        H2Error::Protocol,
    );
    rejected(&[status(0, "200"), data(PADDED, b"")], H2Error::FrameSize);
}

#[test]
fn an_http_1_or_a_tls_server_is_recognized() {
    let by = |input: &[u8]| result_by(Rules::Http, input).verdict;
    assert_eq!(by(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Err(H2Error::Http1));
    // A fatal alert has seven bytes.
    assert_eq!(by(&[21, 3, 1, 0, 2, 2, 70]), Err(H2Error::Tls));
    assert_eq!(by(&[22, 3, 3, 0, 90, 2, 0, 0, 86]), Err(H2Error::Tls));
    assert_eq!(
        by(b"\x00\x40\x01\x04\0\0\0\0\0"),
        Err(H2Error::FrameTooLarge)
    );
    assert_eq!(by(b"SSH-2.0-x"), Err(H2Error::FrameTooLarge));
    assert_eq!(by(b""), Ok(()));
}

#[test]
fn the_state_of_an_exchange_is_small() {
    assert!(size_of::<Exchange>() <= 200, "{}", size_of::<Exchange>());
    assert!(size_of::<H2Error>() <= 8);
}
