//! The Huffman code of HPACK (RFC 7541 appendix B), from its code lengths alone: codes of one length are
//! consecutive numbers in the order of their symbols, and longer codes follow shorter ones.

/// Bits of each byte's code; that of EOS has 30 and is the last.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
];

const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// Number of codes of each length.
const COUNTS: [u8; LONGEST + 1] = {
    let mut counts = [0; LONGEST + 1];
    let mut symbol = 0;
    while symbol < LENGTHS.len() {
        counts[LENGTHS[symbol] as usize] += 1;
        symbol += 1;
    }
    counts
};

/// The bytes in order of their codes.
const SYMBOLS: [u8; 256] = {
    let mut symbols = [0; 256];
    let (mut place, mut length) = (0, SHORTEST);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[place] = symbol as u8;
                place += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
};

/// EOS, or padding that is longer than 7 bits or not the start of EOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// Bits of an incomplete code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits {
    bits: u64,
    count: u8,
}

impl Bits {
    pub(super) const fn new() -> Self {
        Bits { bits: 0, count: 0 }
    }

    /// Adds a byte of code. Passes the bytes that it completes to `decoded`.
    pub(super) fn push(&mut self, byte: u8, mut decoded: impl FnMut(u8)) -> Result<(), Invalid> {
        self.bits = self.bits << 8 | u64::from(byte);
        self.count += 8;
        while let Some((symbol, length)) = self.first()? {
            decoded(symbol);
            self.count -= length;
            self.bits &= (1 << self.count) - 1;
        }
        Ok(())
    }

    /// The first complete code and its length.
    fn first(&self) -> Result<Option<(u8, u8)>, Invalid> {
        let (mut first_code, mut place) = (0, 0);
        let lengths = SHORTEST..=LONGEST.min(self.count.into());
        for (length, codes) in lengths.zip(&COUNTS[SHORTEST..]) {
            let code = (self.bits >> (usize::from(self.count) - length)) as usize;
            let codes = usize::from(*codes);
            if code < first_code + codes {
                return Ok(Some((SYMBOLS[place + code - first_code], length as u8)));
            }
            place += codes;
            first_code = (first_code + codes) << 1;
        }
        // Only EOS is left.
        match usize::from(self.count) {
            ..LONGEST => Ok(None),
            _ => Err(Invalid),
        }
    }

    /// Checks the end of a string: the rest must be "the most-significant bits of the code corresponding to the
    /// EOS symbol", all ones, and less than a byte (RFC 7541 section 5.2).
    pub(super) fn end(&self) -> Result<(), Invalid> {
        match self.count < 8 && self.bits == (1 << self.count) - 1 {
            true => Ok(()),
            false => Err(Invalid),
        }
    }
}
