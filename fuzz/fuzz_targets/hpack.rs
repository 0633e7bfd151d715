//! HPACK: loona-hpack decodes the same blocks to the same fields, and the result does not depend on how the input is split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loona_hpack::Decoder as Oracle;
use loona_hpack::decoder::{DecoderError, IntegerDecodingError};
use probelet::wire::hpack::{Decoder, HPACK_BYTES, HeaderField, HpackError, TABLE_SIZE};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

struct Reader {
    decoder: Decoder,
    memory: Vec<u8>,
}

impl Reader {
    fn new() -> Self {
        let (decoder, memory) = (Decoder::new(), vec![0xaa; HPACK_BYTES]);
        Reader { decoder, memory }
    }

    fn read<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> Result<Fields, HpackError> {
        let mut fields = Vec::new();
        for piece in pieces {
            let mut sink = |field: &HeaderField<'_>| {
                assert_eq!(field.name.len(), field.name_len, "no input is that long");
                fields.push((field.name.to_vec(), field.value.to_vec()));
                true
            };
            self.decoder.feed(piece, &mut self.memory, &mut sink)?;
        }
        self.decoder.end_block()?;
        Ok(fields)
    }
}

fuzz_target!(|input: (u8, Vec<Vec<u8>>)| {
    let (cut, blocks) = input;
    let (mut whole, mut parts, mut single) = (Reader::new(), Reader::new(), Reader::new());
    let mut oracle = Oracle::new();
    oracle.set_max_allowed_table_size(TABLE_SIZE);
    for block in &blocks {
        let fields = whole.read([&block[..]].into_iter());
        let (start, end) = block.split_at(usize::from(cut).min(block.len()));
        assert_eq!(parts.read([start, end].into_iter()), fields, "cut at {cut}");
        assert_eq!(single.read(block.chunks(1)), fields, "byte by byte");
        match (fields, oracle.decode(block)) {
            (Ok(fields), Ok(expected)) => assert_eq!(fields, expected),
            // Go accepts integers of ten bytes, and a size update of the table without a field after it.
            (
                Ok(_),
                Err(
                    DecoderError::IntegerDecodingError(IntegerDecodingError::TooManyOctets)
                    | DecoderError::SizeUpdateAtEnd,
                ),
            ) => return,
            (Ok(_), Err(error)) => panic!("only we decode it: {error:?}"),
            // Go rejects a size update of the table after a field.
            (Err(HpackError::TableSize), Ok(_)) => return,
            (Err(error), Ok(_)) => panic!("{error:?}, but loona-hpack decodes it"),
            (Err(_), Err(_)) => return,
        }
    }
});
