//! Reads the connection of one request: frames in; a head, body bytes, trailers and replies to control frames out.

use super::fields::FieldAccumulator;
use super::frame::{self, FrameHeader, HEADER_BYTES, INITIAL_WINDOW, STREAM_ID};
use super::{H2Error, H2Head, MAX_FRAME_BYTES, Rules};
use crate::limits::{H2_NON_PROGRESS_FRAMES, H2_WINDOW_BYTES, RESPONSE_HEAD_BYTES};
use crate::wire::hpack::{Decoder, HPACK_BYTES};
use crate::wire::response::is_tls_record;

mod control;
mod stream;

/// The response to the request on stream 1.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    decoder: Decoder,
    fields: FieldAccumulator,
    /// The frame being read, and the remaining bytes of its payload.
    frame: FrameHeader,
    payload_left: u32,
    state: FrameState,
    /// A frame header, or the part of a payload that is parsed as a whole.
    collected: [u8; HEADER_BYTES],
    collected_len: u8,
    /// Padding at the end of the frame.
    padding: u8,
    /// The stream of an unfinished field block, or 0.
    block_stream: u32,
    /// Whether the field block ends the stream.
    is_last_block: bool,
    /// Whether the app's SETTINGS have come.
    settings_received: bool,
    /// Whether the request's head was sent: before that, the app may not send on its stream.
    request_sent: bool,
    /// Whether the app allows a stream at all (SETTINGS_MAX_CONCURRENT_STREAMS).
    accepts_streams: bool,
    /// Whether the app has acknowledged the SETTINGS.
    settings_acked: bool,
    /// Whether the app has ended the stream.
    stream_ended: bool,
    /// Bytes of fields that may still come, and non-progress frames.
    field_bytes_left: u32,
    non_progress_left: u16,
    /// Bytes of replies to control frames in memory.
    pending_len: u16,
    /// Bytes of the body in whole frames.
    body_bytes: u32,
    /// Bytes that the app may still send.
    receive_window: u32,
    /// Send windows of the connection and the stream, and the initial window of a stream.
    send_windows: [i32; 2],
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
            payload_left: 0,
            state: FrameState::Header,
            collected: [0; HEADER_BYTES],
            collected_len: 0,
            padding: 0,
            block_stream: 0,
            is_last_block: false,
            settings_received: false,
            // Go's client opens the stream with its first bytes.
            request_sent: matches!(rules, Rules::Http),
            accepts_streams: true,
            settings_acked: false,
            stream_ended: false,
            field_bytes_left: RESPONSE_HEAD_BYTES as u32,
            non_progress_left: H2_NON_PROGRESS_FRAMES,
            pending_len: 0,
            body_bytes: 0,
            receive_window: H2_WINDOW_BYTES,
            send_windows: [INITIAL_WINDOW; 2],
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
        while !bytes.is_empty() && !self.stream_ended {
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
        declared.min(self.body_bytes.into())
    }

    /// Whether the app has ended the stream.
    pub fn stream_ended(&self) -> bool {
        self.stream_ended
    }

    /// `grpc-status` of the trailers, or of a trailers-only head; `None` before the end of the stream, or if absent.
    pub fn grpc_status(&self) -> Option<u32> {
        self.fields.grpc_status().filter(|_| self.stream_ended)
    }

    /// Whether a block of fields has ended the stream, rather than DATA.
    pub fn ended_with_fields(&self) -> bool {
        self.stream_ended && self.is_last_block
    }

    /// Whether the app's SETTINGS have come; grpc-go sends no request before.
    pub fn settings_received(&self) -> bool {
        self.settings_received
    }

    /// Records that the request's head has been sent: from then on the app may send on the stream.
    pub fn mark_request_sent(&mut self) {
        self.request_sent = true;
    }

    /// Whether the app accepts a stream (SETTINGS_MAX_CONCURRENT_STREAMS); grpc-go waits until it does.
    pub fn accepts_streams(&self) -> bool {
        self.accepts_streams
    }

    /// Control frames to send.
    pub fn pending<'m>(&self, memory: &'m [u8]) -> &'m [u8] {
        &memory[HPACK_BYTES..][..self.pending_len.into()]
    }

    /// Removes the pending control frames, which have been sent.
    pub fn clear_pending(&mut self) {
        self.pending_len = 0;
    }

    /// Bytes of DATA that may be sent now.
    pub fn send_window(&self) -> usize {
        let [connection, stream] = self.send_windows;
        usize::try_from(connection.min(stream)).unwrap_or(0)
    }

    /// Reduces the send windows by the length of sent DATA, at most [`send_window`](Self::send_window).
    pub fn consume_send_window(&mut self, bytes: usize) {
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        self.send_windows = self.send_windows.map(|window| window.saturating_sub(bytes));
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
                let is_complete = self.collect(bytes, HEADER_BYTES);
                self.reject_other_protocols()?;
                match is_complete {
                    true => self.begin_frame(),
                    false => Ok(()),
                }
            }
            FrameState::Prefix(len) => match self.collect(bytes, len.into()) {
                true => self.end_prefix(),
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
                if self.frame.stream == STREAM_ID {
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
        let (now, later) = bytes.split_at(bytes.len().min((self.payload_left - reserved) as usize));
        *bytes = later;
        self.payload_left -= now.len() as u32;
        now
    }

    /// Collects bytes. Returns whether there are `len` of them.
    fn collect(&mut self, bytes: &mut &[u8], len: usize) -> bool {
        let room = &mut self.collected[self.collected_len.into()..len];
        let (now, later) = bytes.split_at(bytes.len().min(room.len()));
        room[..now.len()].copy_from_slice(now);
        *bytes = later;
        self.collected_len += now.len() as u8;
        if self.state != FrameState::Header {
            self.payload_left -= now.len() as u32;
        }
        usize::from(self.collected_len) == len
    }

    /// Advances through parts that need no more bytes.
    fn end_states(&mut self, memory: &mut CallerMemory<'_>) -> Result<(), H2Error> {
        if matches!(self.state, FrameState::Fields | FrameState::Data)
            && self.payload_left == u32::from(self.padding)
        {
            self.state = FrameState::Skipped;
        }
        if self.state == FrameState::Skipped && self.payload_left == 0 {
            self.state = FrameState::Header;
            self.collected_len = 0;
            self.end_frame(memory)?;
        }
        Ok(())
    }

    /// Fails early if an HTTP/1 or a TLS server responds, before a frame header is complete.
    fn reject_other_protocols(&self) -> Result<(), H2Error> {
        match &self.collected[..self.collected_len.into()] {
            _ if self.settings_received => Ok(()),
            // As a frame header, its length would be more than a mebibyte.
            [b'H', b'T', b'T', b'P', b'/', ..] => Err(H2Error::Http1),
            bytes if is_tls_record(bytes) => Err(H2Error::Tls),
            _ => Ok(()),
        }
    }

    /// Checks a complete frame header: Go's `ReadFrameHeader`, `checkFrameOrder`, and the checks of its parsers and `run`
    /// that need no payload.
    fn begin_frame(&mut self) -> Result<(), H2Error> {
        let frame = FrameHeader::parse(self.collected);
        self.frame = frame;
        self.payload_left = frame.len;
        self.collected_len = 0;
        self.padding = 0;
        if frame.len > MAX_FRAME_BYTES as u32 {
            return Err(H2Error::FrameTooLarge);
        }
        // In a field block only CONTINUATION of its stream is allowed, and outside of one none.
        let (in_block, is_continuation) =
            (self.block_stream != 0, frame.kind == frame::CONTINUATION);
        let continues_block = in_block && is_continuation && frame.stream == self.block_stream;
        let out_of_order = (in_block || is_continuation) && !continues_block;
        let too_early = (!self.settings_received && frame.kind != frame::SETTINGS)
            || (!self.request_sent && frame.stream == STREAM_ID);
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

    /// Counts a non-progress frame, and one more for each 256 bytes of it.
    fn count_non_progress(&mut self, bytes: u32) -> Result<(), H2Error> {
        let cost = 1 + (bytes / 256) as u16;
        let left = self.non_progress_left.checked_sub(cost);
        self.non_progress_left = left.ok_or(H2Error::TooManyNonProgressFrames)?;
        Ok(())
    }

    /// Processes the complete prefix of data or fields.
    fn end_prefix(&mut self) -> Result<(), H2Error> {
        if self.frame.has(frame::PADDED) {
            self.padding = self.collected[0];
        }
        if u32::from(self.padding) > self.payload_left {
            return Err(H2Error::Protocol);
        }
        self.collected_len = 0;
        self.state = match self.frame.kind {
            frame::DATA => FrameState::Data,
            frame::HEADERS => FrameState::Fields,
            _ => return Err(H2Error::Protocol),
        };
        Ok(())
    }

    /// Processes the end of a frame.
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
