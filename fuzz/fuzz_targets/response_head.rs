//! Response heads: verdict and location do not depend on how the input is split, and the buffer of the location suffices.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::wire::response::{
    Location, ParsedResponse, ResponseError, ResponseHead, ResponseParser,
};

const ROOM: usize = 8;

type Verdict = Result<Option<(usize, ResponseHead, Vec<u8>)>, ResponseError>;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Verdict {
    let (mut parser, mut location, mut before) = (ResponseParser::new(), [0; ROOM], 0);
    for piece in pieces {
        if let ParsedResponse::Complete { used, head } = parser.feed(piece, &mut location)? {
            assert!(used <= piece.len() && (200..=599).contains(&head.status));
            let kept = match head.location {
                Location::Stored(length) => location[..length].to_vec(),
                Location::Absent | Location::TooLong => Vec::new(),
            };
            return Ok(Some((before + used, head, kept)));
        }
        before += piece.len();
    }
    Ok(None)
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = (usize::from(input.0).min(input.1.len()), input.1);
    let whole = read([bytes].into_iter());
    let (start, end) = bytes.split_at(cut);
    assert_eq!(read([start, end].into_iter()), whole, "cut at {cut}");
    assert_eq!(read(bytes.chunks(1)), whole, "byte by byte");
});
