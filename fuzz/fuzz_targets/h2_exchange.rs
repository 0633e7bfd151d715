//! HTTP/2: no bytes make an exchange panic, the result does not depend on how the input is split, and buffers suffice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::limits::{LOCATION_BYTES, SCRATCH_BYTES};
use probelet::wire::h2::{Exchange, H2_BYTES, H2Error, H2Head, Rules};
use probelet::wire::response::Location;

#[derive(Debug, PartialEq)]
struct ExchangeResult {
    verdict: Result<(), H2Error>,
    head: Option<H2Head>,
    location: Vec<u8>,
    body: Vec<u8>,
    body_bytes: u64,
    is_ended: bool,
    grpc_status: Option<u32>,
    written: Vec<u8>,
    send_window: usize,
}

fn read<'a>(rules: Rules, pieces: impl Iterator<Item = &'a [u8]>) -> ExchangeResult {
    let mut exchange = Exchange::new(rules);
    exchange.mark_request_sent();
    let (mut memory, mut location) = (vec![0xaa; H2_BYTES], vec![0xaa; LOCATION_BYTES]);
    let (mut body, mut written, mut verdict) = (Vec::new(), Vec::new(), Ok(()));
    for piece in pieces.flat_map(|piece| piece.chunks(SCRATCH_BYTES)) {
        verdict = exchange.feed(piece, &mut memory, &mut location, &mut |data| {
            body.extend_from_slice(data);
        });
        written.extend_from_slice(exchange.pending(&memory));
        exchange.clear_pending();
        if verdict.is_err() {
            break;
        }
    }
    let location = match exchange.head().map(|head| head.location) {
        Some(Location::Stored(len)) => location[..len].to_vec(),
        _ => Vec::new(),
    };
    ExchangeResult {
        verdict,
        head: exchange.head().copied(),
        location,
        body_bytes: exchange.body_bytes(),
        body,
        is_ended: exchange.stream_ended(),
        grpc_status: exchange.grpc_status(),
        written,
        send_window: exchange.send_window(),
    }
}

/// Kind, flags, stream and payload of frames. Bytes that are not a frame are allowed as well.
type Frames = Vec<(u8, u8, u8, Vec<u8>)>;

fuzz_target!(|input: (u16, bool, bool, Frames, &[u8])| {
    let (cut, is_grpc, is_ready, frames, rest) = input;
    let mut bytes = match is_ready {
        true => vec![0, 0, 0, 4, 0, 0, 0, 0, 0],
        false => Vec::new(),
    };
    for (kind, flags, stream, payload) in frames {
        let stream = [1, 1, 1, 1, 1, 0, 2, 3][usize::from(stream % 8)];
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        bytes.extend([kind % 11, flags, 0, 0, 0, stream]);
        bytes.extend_from_slice(&payload);
    }
    bytes.extend_from_slice(rest);
    let rules = if is_grpc { Rules::Grpc } else { Rules::Http };
    let whole = read(rules, [&bytes[..]].into_iter());
    let (start, end) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!(read(rules, [start, end].into_iter()), whole, "cut at {cut}");
    assert_eq!(read(rules, bytes.chunks(1)), whole, "byte by byte");
    assert!(whole.body_bytes <= whole.body.len() as u64);
    if let Some(head) = whole.head {
        assert!((200..=599).contains(&head.status) || (is_grpc && head.is_grpc));
    }
});
