//! Frame headers (RFC 9113 section 4.1), and the numbers of types, flags and settings.

/// Bytes of a frame header.
pub const HEADER_BYTES: usize = 9;

/// RFC 9113 section 6.1.
pub const DATA: u8 = 0;
/// RFC 9113 section 6.2.
pub const HEADERS: u8 = 1;
/// RFC 9113 section 6.3.
pub const PRIORITY: u8 = 2;
/// RFC 9113 section 6.4.
pub const RST_STREAM: u8 = 3;
/// RFC 9113 section 6.5.
pub const SETTINGS: u8 = 4;
/// RFC 9113 section 6.6.
pub const PUSH_PROMISE: u8 = 5;
/// RFC 9113 section 6.7.
pub const PING: u8 = 6;
/// RFC 9113 section 6.8.
pub const GOAWAY: u8 = 7;
/// RFC 9113 section 6.9.
pub const WINDOW_UPDATE: u8 = 8;
/// RFC 9113 section 6.10.
pub const CONTINUATION: u8 = 9;

/// Of DATA and HEADERS.
pub const END_STREAM: u8 = 0x01;
/// Of SETTINGS and PING.
pub const ACK: u8 = 0x01;
/// Of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 0x04;
/// Of DATA and HEADERS.
pub const PADDED: u8 = 0x08;
/// Of HEADERS.
pub const HAS_PRIORITY: u8 = 0x20;

/// RFC 9113 section 6.5.2.
pub const SETTING_ENABLE_PUSH: u16 = 2;
/// RFC 9113 section 6.5.2.
pub const SETTING_MAX_CONCURRENT_STREAMS: u16 = 3;
/// RFC 9113 section 6.5.2.
pub const SETTING_INITIAL_WINDOW_SIZE: u16 = 4;
/// RFC 9113 section 6.5.2.
pub const SETTING_MAX_FRAME_SIZE: u16 = 5;
/// RFC 9113 section 6.5.2.
pub const SETTING_MAX_HEADER_LIST_SIZE: u16 = 6;
/// RFC 8441 section 3.
pub const SETTING_ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// Initial size of both windows (RFC 9113 section 6.9.2).
pub const INITIAL_WINDOW: i32 = 65_535;

/// The one stream: "streams initiated by a client MUST use odd-numbered stream identifiers" (RFC 9113
/// section 5.1.1).
pub const STREAM_ID: u32 = 1;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the payload, a number of 24 bits.
    pub len: u32,
    /// Its type.
    pub kind: u8,
    /// Its flags; their meaning depends on the type.
    pub flags: u8,
    /// The stream's identifier, a number of 31 bits.
    pub stream: u32,
}

impl FrameHeader {
    /// The header in these bytes.
    pub fn parse(bytes: [u8; HEADER_BYTES]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = bytes;
        FrameHeader {
            len: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            // "The reserved bit MUST be ignored when receiving" (section 4.1).
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    /// The header as bytes.
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let [_, a, b, c] = self.len.to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}
