//! Writes to the app: the connection preface, the request's fields and its few bytes of DATA. All output goes to an
//! [`OutputSlice`], so it may be generated several times.

use core::ops::Range;

use super::MAX_FRAME_BYTES;
use super::frame::{self, FrameHeader, STREAM_ID};
use crate::limits::{H2_WINDOW_BYTES, RESPONSE_HEAD_BYTES};
use crate::wire::fields::{FieldSink, FieldValue, RequestFields};
use crate::wire::output_slice::OutputSlice;

/// The client's connection preface (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Writes the opening of a connection as Go's transport does: preface, SETTINGS (no push, stream window, frame size,
/// header list size) and the window of the connection.
pub fn write_opening(out: &mut OutputSlice<'_>) {
    const SETTINGS: [(u16, u32); 4] = [
        (frame::SETTING_ENABLE_PUSH, 0),
        (frame::SETTING_INITIAL_WINDOW_SIZE, H2_WINDOW_BYTES),
        (frame::SETTING_MAX_FRAME_SIZE, MAX_FRAME_BYTES as u32),
        (
            frame::SETTING_MAX_HEADER_LIST_SIZE,
            RESPONSE_HEAD_BYTES as u32,
        ),
    ];
    out.put(PREFACE);
    let header = |kind, len| FrameHeader {
        len,
        kind,
        flags: 0,
        stream: 0,
    };
    out.put(&header(frame::SETTINGS, 6 * SETTINGS.len() as u32).bytes());
    for (name, value) in SETTINGS {
        out.put(&name.to_be_bytes());
        out.put(&value.to_be_bytes());
    }
    out.put(&header(frame::WINDOW_UPDATE, 4).bytes());
    out.put(&H2_WINDOW_BYTES.to_be_bytes());
}

/// Writes the request's fields: HEADERS, and CONTINUATION frames as needed. `end_stream` if no DATA follows.
pub fn write_headers(out: &mut OutputSlice<'_>, end_stream: bool, fields: &dyn RequestFields) {
    let mut counter = OutputSlice::new(&mut [], 0);
    let mut encoder = Encoder {
        put: &mut |bytes| counter.put(bytes),
    };
    fields.each(&mut encoder);
    let mut frames = Frames {
        out,
        kind: frame::HEADERS,
        end_stream: if end_stream { frame::END_STREAM } else { 0 },
        left: counter.output_len(),
        in_frame: 0,
    };
    fields.each(&mut Encoder {
        put: &mut |bytes| frames.put(bytes),
    });
}

/// Passes all bytes of a body to its argument, in pieces, the same ones in every call.
pub type BodyWriter<'b> = dyn Fn(&mut dyn FnMut(&[u8])) + 'b;

/// Writes these bytes of the request's body as one DATA frame. `body_len` is the length of the whole body. `part` has at
/// most [`MAX_FRAME_BYTES`] and what [`send_window`](super::Exchange::send_window) allows.
pub fn write_data(
    out: &mut OutputSlice<'_>,
    part: Range<usize>,
    body_len: usize,
    body: &BodyWriter<'_>,
) {
    let is_last = part.end == body_len;
    let header = FrameHeader {
        len: part.len() as u32,
        kind: frame::DATA,
        flags: if is_last { frame::END_STREAM } else { 0 },
        stream: STREAM_ID,
    };
    out.put(&header.bytes());
    let (mut skip, mut left) = (part.start, part.len());
    body(&mut |bytes| {
        let rest = &bytes[skip.min(bytes.len())..];
        skip -= bytes.len() - rest.len();
        let now = &rest[..rest.len().min(left)];
        left -= now.len();
        out.put(now);
    });
}

/// Splits a field block into frames.
struct Frames<'o, 'w> {
    out: &'o mut OutputSlice<'w>,
    kind: u8,
    end_stream: u8,
    /// Remaining bytes of the block, and of the current frame.
    left: usize,
    in_frame: usize,
}

impl Frames<'_, '_> {
    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.in_frame == 0 {
                self.begin_frame();
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.in_frame));
            self.out.put(now);
            self.in_frame -= now.len();
            self.left -= now.len();
            bytes = later;
        }
    }

    fn begin_frame(&mut self) {
        self.in_frame = self.left.min(MAX_FRAME_BYTES);
        let is_last = self.in_frame == self.left;
        let header = FrameHeader {
            len: self.in_frame as u32,
            kind: self.kind,
            flags: self.end_stream | if is_last { frame::END_HEADERS } else { 0 },
            stream: STREAM_ID,
        };
        self.out.put(&header.bytes());
        self.kind = frame::CONTINUATION;
        self.end_stream = 0;
    }
}

/// Writes fields as literals without indexing (RFC 7541 section 6.2.2), and fields of the static table as their index.
struct Encoder<'a> {
    put: &'a mut dyn FnMut(&[u8]),
}

impl FieldSink for Encoder<'_> {
    fn field(&mut self, name: &[u8], value: FieldValue<'_>) {
        let whole = match value {
            FieldValue::Pieces([value]) => *value,
            _ => b"",
        };
        // Indexes of appendix A: 2 and 3, 4, 6 and 7; those of the names :authority and :path.
        let name_index = match (name, whole) {
            (b":method", b"GET") => return (self.put)(&[0x82]),
            (b":method", b"POST") => return (self.put)(&[0x83]),
            (b":path", b"/") => return (self.put)(&[0x84]),
            (b":scheme", b"http") => return (self.put)(&[0x86]),
            (b":scheme", b"https") => return (self.put)(&[0x87]),
            (b":authority", _) => 1,
            (b":path", _) => 4,
            _ => 0,
        };
        (self.put)(&[name_index]);
        if name_index == 0 {
            self.put_len(name.len());
            self.put_lower(name);
        }
        self.put_len(value.size());
        value.write(self.put);
    }
}

impl Encoder<'_> {
    /// The length of a string without Huffman coding: an integer of seven bits and more (section 5.1).
    fn put_len(&mut self, len: usize) {
        const MOST: usize = 0x7f;
        if len < MOST {
            return (self.put)(&[len as u8]);
        }
        (self.put)(&[MOST as u8]);
        let mut rest = len - MOST;
        while rest >= 0x80 {
            (self.put)(&[rest as u8 | 0x80]);
            rest >>= 7;
        }
        (self.put)(&[rest as u8]);
    }

    /// Names are sent in lower case (RFC 9113 section 8.2.1).
    fn put_lower(&mut self, name: &[u8]) {
        for chunk in name.chunks(32) {
            let mut lower = [0; 32];
            let lower = &mut lower[..chunk.len()];
            lower.copy_from_slice(chunk);
            lower.make_ascii_lowercase();
            (self.put)(lower);
        }
    }
}
