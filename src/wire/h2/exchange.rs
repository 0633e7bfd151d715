//! Reads the connection of one request: frames in; a head, body bytes, trailers and answers to control frames out.

use super::fields::FieldAccumulator;
use super::frame::{self, FrameHeader, HEADER_BYTES, INITIAL_WINDOW, STREAM};
use super::{FRAME_BYTES, H2Error, H2Head, Rules};
use crate::limits::{H2_NON_PROGRESS_FRAMES, H2_WINDOW_BYTES, RESPONSE_HEAD_BYTES};
use crate::wire::hpack::{Decoder, HPACK_BYTES};

mod control;
mod stream;

/// The response to the request on stream 1.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    decoder: Decoder,
    fields: FieldAccumulator,
    /// The frame being read, and the remaining bytes of its payload.
    frame: FrameHeader,
    left: u32,
    state: FrameState,
    /// A frame header, or the part of a payload that is parsed as a whole.
    collected: [u8; HEADER_BYTES],
    len: u8,
    /// Padding at the end of the frame.
    padding: u8,
    /// The stream of an unfinished field block, or 0.
    block: u32,
    /// Whether the field block ends the stream.
    is_last_block: bool,
    is_ready: bool,
    is_open: bool,
    accepts_streams: bool,
    has_settings_ack: bool,
    is_ended: bool,
    /// Bytes of fields that may still come, and non-progress frames.
    field_bytes_left: u32,
    non_progress_left: u16,
    /// Bytes of answers to control frames in memory.
    pending: u16,
    /// Bytes of the body in whole frames.
    body: u32,
    /// Bytes that the app may still send.
    window: u32,
    /// Send windows of the connection and the stream, and the initial window of a stream.
    send: [i32; 2],
    initial_window: i32,
    go_away: u32,
}

/// The next part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrameState {
    Header,
    /// This many bytes before the data or the fields: padding length, priority.
    Prefix(u8),
    /// This many bytes, parsed as a whole.
    Control(u8),
    Fields,
    Data,
    /// Bytes that are skipped.
    Skipped,
}

/// The caller's memory during a call.
struct CallerMemory<'a> {
    hpack: &'a mut [u8],
    pending: &'a mut [u8],
    location: &'a mut [u8],
    body: &'a mut dyn FnMut(&[u8]),
}

impl Exchange {
    /// An exchange before the first byte.
    pub const fn new(rules: Rules) -> Self {
        Exchange {
            decoder: Decoder::new(),
            fields: FieldAccumulator::new(rules),
            frame: FrameHeader {
                len: 0,
                kind: 0,
                flags: 0,
                stream: 0,
            },
            left: 0,
            state: FrameState::Header,
            collected: [0; HEADER_BYTES],
            len: 0,
            padding: 0,
            block: 0,
            is_last_block: false,
            is_ready: false,
            // Go's client opens the stream with its first bytes.
            is_open: matches!(rules, Rules::Http),
            accepts_streams: true,
            has_settings_ack: false,
            is_ended: false,
            field_bytes_left: RESPONSE_HEAD_BYTES as u32,
            non_progress_left: H2_NON_PROGRESS_FRAMES,
            pending: 0,
            body: 0,
            window: H2_WINDOW_BYTES,
            send: [INITIAL_WINDOW; 2],
            initial_window: INITIAL_WINDOW,
            go_away: 0,
        }
    }

    /// Reads at most [`SCRATCH_BYTES`](crate::limits::SCRATCH_BYTES). Pending frames must be sent before the next call.
    /// `memory`, of [`H2_BYTES`](super::H2_BYTES), is the same in each call, and so is `location`, at whose start a
    /// `Location` is stored. `body` receives the bytes of DATA. Bytes after the end of the stream are ignored.
    ///
    /// # Errors
    /// The first broken rule. Must not be called again after an error. The head may be complete, with enough of a
    /// body.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        memory: &mut [u8],
        location: &mut [u8],
        body: &mut dyn FnMut(&[u8]),
    ) -> Result<(), H2Error> {
        let (hpack, pending) = memory.split_at_mut(HPACK_BYTES);
        let mut memory = CallerMemory {
            hpack,
            pending,
            location,
            body,
        };
        while !bytes.is_empty() && !self.is_ended {
            self.step(&mut bytes, &mut memory)?;
            self.end_states(&mut memory)?;
        }
        Ok(())
    }

    /// The head, once it is complete. Its `location` is in the memory passed to [`feed`](Self::feed).
    pub fn head(&self) -> Option<&H2Head> {
        self.fields.head()
    }

    /// Bytes of the body that Go's client would have passed on: those of complete frames, at most its `content-length`.
    /// To be checked before an error: bytes before it count.
    pub fn body_bytes(&self) -> u64 {
        let declared = self.declared_length().unwrap_or(u64::MAX);
        declared.min(self.body.into())
    }

    /// Whether the app has ended the stream.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// `grpc-status` of the trailers, or of a trailers-only head; `None` before the end of the stream, or if absent.
    pub fn grpc_status(&self) -> Option<u32> {
        self.fields.grpc_status().filter(|_| self.is_ended)
    }

    /// Whether a block of fields has ended the stream, rather than DATA.
    pub fn ended_with_fields(&self) -> bool {
        self.is_ended && self.is_last_block
    }

    /// Whether the app's SETTINGS have come; grpc-go sends no request before.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Opens the stream: the request's head has been sent. Before, the app may not send on it.
    pub fn open_stream(&mut self) {
        self.is_open = true;
    }

    /// Whether the app accepts a stream (SETTINGS_MAX_CONCURRENT_STREAMS); grpc-go waits until it does.
    pub fn accepts_streams(&self) -> bool {
        self.accepts_streams
    }

    /// Control frames to send.
    pub fn pending<'m>(&self, memory: &'m [u8]) -> &'m [u8] {
        &memory[HPACK_BYTES..][..self.pending.into()]
    }

    /// The pending control frames have been sent.
    pub fn clear_pending(&mut self) {
        self.pending = 0;
    }

    /// Bytes of DATA that may be sent now.
    pub fn send_window(&self) -> usize {
        let [connection, stream] = self.send;
        usize::try_from(connection.min(stream)).unwrap_or(0)
    }

    /// Reduces the send windows by sent DATA, at most [`send_window`](Self::send_window).
    pub fn sent_data(&mut self, bytes: usize) {
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        self.send = self.send.map(|window| window.saturating_sub(bytes));
    }

    /// The declared length of the body; grpc-go ignores it.
    fn declared_length(&self) -> Option<u64> {
        let head = self.fields.head()?;
        head.content_length
            .filter(|_| self.fields.rules() == Rules::Http)
    }

    /// Consumes the bytes that belong to the part being read.
    fn step(&mut self, bytes: &mut &[u8], memory: &mut CallerMemory<'_>) -> Result<(), H2Error> {
        match self.state {
            FrameState::Header => {
                let is_whole = self.collect(bytes, HEADER_BYTES);
                self.check_protocol()?;
                match is_whole {
                    true => self.begin_frame(),
                    false => Ok(()),
                }
            }
            FrameState::Prefix(len) => match self.collect(bytes, len.into()) {
                true => self.prefix(),
                false => Ok(()),
            },
            FrameState::Control(len) => match self.collect(bytes, len.into()) {
                true => self.control(memory.pending),
                false => Ok(()),
            },
            FrameState::Fields => {
                let padding = self.padding.into();
                let block = self.take(bytes, padding);
                self.fields(block, memory)
            }
            FrameState::Data => {
                let padding = self.padding.into();
                let data = self.take(bytes, padding);
                if self.frame.stream == STREAM {
                    (memory.body)(data);
                }
                Ok(())
            }
            FrameState::Skipped => {
                self.take(bytes, 0);
                Ok(())
            }
        }
    }

    /// Consumes the bytes that belong to the frame, except its last `reserved` bytes.
    fn take<'b>(&mut self, bytes: &mut &'b [u8], reserved: u32) -> &'b [u8] {
        let (now, later) = bytes.split_at(bytes.len().min((self.left - reserved) as usize));
        *bytes = later;
        self.left -= now.len() as u32;
        now
    }

    /// Collects bytes. Returns whether there are `len` of them.
    fn collect(&mut self, bytes: &mut &[u8], len: usize) -> bool {
        let room = &mut self.collected[self.len.into()..len];
        let (now, later) = bytes.split_at(bytes.len().min(room.len()));
        room[..now.len()].copy_from_slice(now);
        *bytes = later;
        self.len += now.len() as u8;
        if self.state != FrameState::Header {
            self.left -= now.len() as u32;
        }
        usize::from(self.len) == len
    }

    /// Advances through parts that need no more bytes.
    fn end_states(&mut self, memory: &mut CallerMemory<'_>) -> Result<(), H2Error> {
        if matches!(self.state, FrameState::Fields | FrameState::Data)
            && self.left == u32::from(self.padding)
        {
            self.state = FrameState::Skipped;
        }
        if self.state == FrameState::Skipped && self.left == 0 {
            self.state = FrameState::Header;
            self.len = 0;
            self.end_frame(memory)?;
        }
        Ok(())
    }

    /// Recognizes an HTTP/1 or a TLS server before the first frame is complete.
    fn check_protocol(&self) -> Result<(), H2Error> {
        match &self.collected[..self.len.into()] {
            _ if self.is_ready => Ok(()),
            // As a frame header, its length would be more than a mebibyte.
            [b'H', b'T', b'T', b'P', b'/', ..] => Err(H2Error::Http1),
            // RFC 8446 section 5.1: alert and handshake, of version 3.
            [21 | 22, 3, ..] => Err(H2Error::Tls),
            _ => Ok(()),
        }
    }

    /// Checks a complete frame header: Go's `ReadFrameHeader`, `checkFrameOrder`, and the checks of its parsers and `run`
    /// that need no payload.
    fn begin_frame(&mut self) -> Result<(), H2Error> {
        let frame = FrameHeader::parse(self.collected);
        self.frame = frame;
        self.left = frame.len;
        self.len = 0;
        self.padding = 0;
        if frame.len > FRAME_BYTES as u32 {
            return Err(H2Error::FrameTooLarge);
        }
        // In a field block only CONTINUATION of its stream is allowed, and outside of one none.
        let (is_open, is_more) = (self.block != 0, frame.kind == frame::CONTINUATION);
        let in_block = is_open && is_more && frame.stream == self.block;
        let out_of_order = (is_open || is_more) && !in_block;
        let too_early = (!self.is_ready && frame.kind != frame::SETTINGS)
            || (!self.is_open && frame.stream == STREAM);
        if out_of_order || too_early {
            return Err(H2Error::Protocol);
        }
        self.state = match frame.kind {
            frame::DATA => self.begin_data()?,
            frame::HEADERS => self.begin_fields()?,
            frame::CONTINUATION => {
                self.count_non_progress(0)?;
                FrameState::Fields
            }
            // grpc-go skips frames of unknown types, and does not know this one.
            frame::PUSH_PROMISE if self.fields.rules() == Rules::Http => {
                return Err(H2Error::Protocol);
            }
            _ => {
                self.count_non_progress(frame.len)?;
                self.begin_control()?
            }
        };
        Ok(())
    }

    /// Counts a non-progress frame: once, and once more for every 256 bytes.
    fn count_non_progress(&mut self, bytes: u32) -> Result<(), H2Error> {
        let cost = 1 + (bytes / 256) as u16;
        let left = self.non_progress_left.checked_sub(cost);
        self.non_progress_left = left.ok_or(H2Error::TooManyNonProgressFrames)?;
        Ok(())
    }

    /// The bytes before data or fields are complete.
    fn prefix(&mut self) -> Result<(), H2Error> {
        if self.frame.has(frame::PADDED) {
            self.padding = self.collected[0];
        }
        if u32::from(self.padding) > self.left {
            return Err(H2Error::Protocol);
        }
        self.len = 0;
        self.state = match self.frame.kind {
            frame::DATA => FrameState::Data,
            _ => FrameState::Fields,
        };
        Ok(())
    }

    /// The frame is complete.
    fn end_frame(&mut self, memory: &mut CallerMemory<'_>) -> Result<(), H2Error> {
        match self.frame.kind {
            frame::DATA => self.end_data(),
            frame::HEADERS | frame::CONTINUATION if self.frame.has(frame::END_HEADERS) => {
                self.end_block()
            }
            frame::SETTINGS => self.end_settings(memory.pending),
            _ => Ok(()),
        }
    }
}
