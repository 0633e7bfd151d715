//! What Go's client takes and what it refuses, each input in every split: whole, in two, byte by byte. The
//! rules are those of Go 1.26's `net/http/h2_bundle.go` and, where they say so, of grpc-go.

use super::frame::*;
use super::*;
use crate::limits::{H2_NON_PROGRESS_FRAMES, H2_WINDOW_BYTES, LOCATION_BYTES, RESPONSE_HEAD_BYTES};
use crate::wire::response::Location;

mod control;
mod heads;
mod streams;
mod writing;

/// All there is to see of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
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

fn arriving<'a>(rules: Rules, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut exchange = Exchange::new(rules);
    exchange.open_stream();
    // Slots are used again: anything may stand in their memory.
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
    let kept = match exchange.head().map(|head| head.location) {
        Some(Location::Kept(len)) => len,
        _ => 0,
    };
    Seen {
        verdict,
        head: exchange.head().copied(),
        location: location[..kept].to_vec(),
        body,
        body_bytes: exchange.body_bytes(),
        is_ready: exchange.is_ready(),
        is_ended: exchange.is_ended(),
        grpc_status: exchange.grpc_status(),
        answers,
        send_window: exchange.send_window(),
    }
}

fn seen_by(rules: Rules, input: &[u8]) -> Seen {
    let whole = arriving(rules, [input]);
    for cut in 0..=input.len() {
        let (start, end) = input.split_at(cut);
        assert_eq!(
            arriving(rules, [start, end]),
            whole,
            "cut at {cut}: {input:02x?}"
        );
    }
    assert_eq!(
        arriving(rules, input.chunks(1)),
        whole,
        "byte by byte: {input:02x?}"
    );
    whole
}

/// What is seen of frames that come after empty SETTINGS.
fn seen(frames: &[Vec<u8>]) -> Seen {
    seen_by(Rules::Http, &[settings(&[]), frames.concat()].concat())
}

#[track_caller]
fn refused(frames: &[Vec<u8>], error: H2Error) {
    assert_eq!(seen(frames).verdict, Err(error));
}

#[track_caller]
fn taken(frames: &[Vec<u8>]) -> Seen {
    let seen = seen(frames);
    assert_eq!(seen.verdict, Ok(()));
    seen
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
    frame(HEADERS, END_HEADERS | flags, STREAM, &block(fields))
}

fn status(flags: u8, status: &str) -> Vec<u8> {
    headers(flags, &[(":status", status)])
}

fn data(flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, flags, STREAM, bytes)
}

#[test]
fn an_answer_is_read_to_its_end() {
    let fields = [(":status", "200"), ("content-length", "5"), ("server", "x")];
    let whole = taken(&[
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
fn the_end_may_be_in_the_head_in_data_or_in_trailers() {
    assert!(taken(&[status(END_STREAM, "204")]).is_ended);
    assert!(taken(&[status(0, "200"), data(END_STREAM, b"")]).is_ended);
    let trailers = headers(END_STREAM, &[("a", "b")]);
    assert!(taken(&[status(0, "200"), data(0, b"x"), trailers.clone()]).is_ended);
    assert!(taken(&[status(0, "200"), trailers]).is_ended);
    assert!(!taken(&[status(0, "200"), data(0, b"x")]).is_ended);
}

#[test]
fn what_comes_after_the_end_is_ignored() {
    let end = status(END_STREAM, "200");
    for after in [
        frame(RST_STREAM, 0, 1, &[0; 4]),
        data(0, b"x"),
        vec![0xff; 40],
    ] {
        let seen = taken(&[end.clone(), after]);
        assert_eq!((seen.is_ended, seen.body_bytes), (true, 0));
    }
}

#[test]
fn bytes_of_a_frame_count_when_it_is_whole() {
    let mut input = [status(0, "200"), data(0, b"abc"), data(END_STREAM, b"def")].concat();
    input.pop();
    let seen = taken(&[input]);
    assert_eq!((seen.body_bytes, seen.is_ended), (3, false));
}

/// `http2transportResponseBody.Read` and `http2missingBody`.
#[test]
fn a_body_is_as_long_as_was_said() {
    let said = |length| headers(0, &[(":status", "200"), ("content-length", length)]);
    let short = seen(&[said("5"), data(END_STREAM, b"four")]);
    assert_eq!(
        (short.verdict, short.body_bytes),
        (Err(H2Error::BodyLength), 4)
    );
    let long = seen(&[said("5"), data(0, b"longer")]);
    assert_eq!(
        (long.verdict, long.body_bytes),
        (Err(H2Error::BodyLength), 5)
    );
    refused(&[said("1"), headers(END_STREAM, &[])], H2Error::BodyLength);
    refused(&[said("0"), data(0, b"x")], H2Error::BodyLength);
    refused(
        &[headers(
            END_STREAM,
            &[(":status", "304"), ("content-length", "5")],
        )],
        H2Error::BodyLength,
    );
    assert_eq!(taken(&[said("5"), data(0, b"five.")]).body_bytes, 5);
    // grpc-go does not look.
    let grpc = [settings(&[]), said("5"), data(END_STREAM, b"x")].concat();
    assert_eq!(seen_by(Rules::Grpc, &grpc).verdict, Ok(()));
}

#[test]
fn padding_is_no_data() {
    let padded = data(
        PADDED | END_STREAM,
        &[b"\x03".as_slice(), b"hello", &[0; 3]].concat(),
    );
    let seen = taken(&[status(0, "200"), padded]);
    assert_eq!((&seen.body[..], seen.body_bytes), (&b"hello"[..], 5));
    assert_eq!(
        taken(&[status(0, "200"), data(PADDED, b"\x02ab")]).body_bytes,
        0
    );
    refused(
        &[status(0, "200"), data(PADDED, b"\x03ab")],
        H2Error::Protocol,
    );
    refused(&[status(0, "200"), data(PADDED, b"")], H2Error::FrameSize);
}

#[test]
fn a_plain_http_1_or_a_tls_server_is_told() {
    let by = |input: &[u8]| seen_by(Rules::Http, input).verdict;
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
