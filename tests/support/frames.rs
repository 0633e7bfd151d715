//! HTTP/2 frames as bytes, valid or not (RFC 9113 section 6). The library encodes the frame headers.

pub use probelet::wire::h2::PREFACE;
pub use probelet::wire::h2::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHeader, GOAWAY, HAS_PRIORITY, HEADERS,
    PADDED, PING, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;
pub const HTTP_1_1_REQUIRED: u32 = 13;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// Any frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        len: u32::try_from(payload.len()).expect("24 bits"),
        kind,
        flags,
        stream,
    };
    [&header.bytes(), payload].concat()
}

/// SETTINGS of pairs of identifier and value.
pub fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (identifier, value) in pairs {
        payload.extend(identifier.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// A server's SETTINGS, and its acknowledgement of the client's.
pub fn greeting() -> Vec<u8> {
    [settings(&[]), frame(SETTINGS, ACK, 0, &[])].concat()
}

/// GOAWAY with this last stream and error code.
pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
    frame(GOAWAY, 0, 0, &payload)
}

/// RST_STREAM of stream 1.
pub fn rst(code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, 1, &code.to_be_bytes())
}

/// WINDOW_UPDATE of stream 0 or 1.
pub fn window(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// HEADERS of stream 1 with these flags and END_HEADERS.
pub fn headers(flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, 1, block)
}

/// DATA of stream 1.
pub fn data(flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, flags, 1, bytes)
}

/// A header block of literals without indexing (RFC 7541 section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        string(&mut bytes, name.as_bytes());
        string(&mut bytes, value.as_bytes());
    }
    bytes
}

fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    integer(bytes, 7, text.len());
    bytes.extend_from_slice(text);
}

/// An integer with a prefix of this many bits, the other bits 0 (RFC 7541 section 5.1).
pub fn integer(bytes: &mut Vec<u8>, bits: u32, value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        return bytes.push(value as u8);
    }
    bytes.push(most as u8);
    let mut left = value - most;
    while left >= 128 {
        bytes.push((left % 128 + 128) as u8);
        left /= 128;
    }
    bytes.push(left as u8);
}

/// A header block with this status and these fields.
pub fn head(status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    [block(&[(":status", status)]), block(fields)].concat()
}
