//! One request's connection, as far as it is read: frames in, a head, body bytes and trailers out, and the
//! answers that control frames ask for.

use super::fields::Seen;
use super::frame::{self, FrameHeader, HEADER_BYTES, INITIAL_WINDOW, STREAM};
use super::{FRAME_BYTES, H2Error, H2Head, Rules};
use crate::limits::{H2_NON_PROGRESS_FRAMES, H2_WINDOW_BYTES, RESPONSE_HEAD_BYTES};
use crate::wire::hpack::{Decoder, HPACK_BYTES};

mod control;
mod stream;

/// The answer to a request that has been sent, or is about to be, on stream 1.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    decoder: Decoder,
    seen: Seen,
    /// The frame being read, and how much of its payload is still to come.
    frame: FrameHeader,
    left: u32,
    part: Part,
    /// A frame header, or what of a payload is looked at as a whole.
    collected: [u8; HEADER_BYTES],
    len: u8,
    /// Padding at the end of the frame.
    padding: u8,
    /// The stream whose block of fields goes on; 0 if none does.
    block: u32,
    /// The block ends the stream.
    is_last_block: bool,
    is_ready: bool,
    is_open: bool,
    takes_streams: bool,
    is_acknowledged: bool,
    is_ended: bool,
    /// Bytes of fields that may still come, and frames that lead nowhere.
    fields_left: u32,
    idle_left: u16,
    /// Bytes of answers in memory.
    pending: u16,
    /// Bytes of the body in whole frames.
    body: u32,
    /// What the app may still send.
    window: u32,
    /// What may be sent to the app: on the connection and on the stream, and what a stream starts with.
    send: [i32; 2],
    initial_window: i32,
    go_away: u32,
}

/// What of a frame comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Header,
    /// This many bytes before the data or the fields: the length of the padding, a priority.
    Prefix(u8),
    /// This many bytes, which are looked at as a whole.
    Control(u8),
    Fields,
    Data,
    /// What is only counted.
    Rest,
}

/// What the caller lends for a call.
struct Lent<'a> {
    hpack: &'a mut [u8],
    pending: &'a mut [u8],
    location: &'a mut [u8],
    body: &'a mut dyn FnMut(&[u8]),
}

impl Exchange {
    /// An exchange of which nothing has come yet.
    pub const fn new(rules: Rules) -> Self {
        Exchange {
            decoder: Decoder::new(),
            seen: Seen::new(rules),
            frame: FrameHeader {
                len: 0,
                kind: 0,
                flags: 0,
                stream: 0,
            },
            left: 0,
            part: Part::Header,
            collected: [0; HEADER_BYTES],
            len: 0,
            padding: 0,
            block: 0,
            is_last_block: false,
            is_ready: false,
            // Go's client opens the stream with its first bytes.
            is_open: matches!(rules, Rules::Http),
            takes_streams: true,
            is_acknowledged: false,
            is_ended: false,
            fields_left: RESPONSE_HEAD_BYTES as u32,
            idle_left: H2_NON_PROGRESS_FRAMES,
            pending: 0,
            body: 0,
            window: H2_WINDOW_BYTES,
            send: [INITIAL_WINDOW; 2],
            initial_window: INITIAL_WINDOW,
            go_away: 0,
        }
    }

    /// Reads on; at most [`SCRATCH_BYTES`](crate::limits::SCRATCH_BYTES) at once, and what is pending is to be sent
    /// before more is. `memory` is the same in each call, [`H2_BYTES`](super::H2_BYTES) long, and so is `location`, at
    /// whose start a `Location` is kept. `body` gets the bytes of DATA as they come. What comes after the end of the
    /// stream is ignored.
    ///
    /// # Errors
    /// The first rule broken; not to be called again after one. There may be a head all the same, and enough
    /// of a body.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        memory: &mut [u8],
        location: &mut [u8],
        body: &mut dyn FnMut(&[u8]),
    ) -> Result<(), H2Error> {
        let (hpack, pending) = memory.split_at_mut(HPACK_BYTES);
        let mut lent = Lent {
            hpack,
            pending,
            location,
            body,
        };
        while !bytes.is_empty() && !self.is_ended {
            self.step(&mut bytes, &mut lent)?;
            self.end_parts(&mut lent)?;
        }
        Ok(())
    }

    /// The head, once it is complete. Its `location` is of the memory [`feed`](Self::feed) was lent.
    pub fn head(&self) -> Option<&H2Head> {
        self.seen.head()
    }

    /// Bytes of the body that Go's client would have handed on: those of whole frames, and no more than its
    /// `content-length`. To be looked at before an error is: what came before it counts.
    pub fn body_bytes(&self) -> u64 {
        let declared = self.declared().unwrap_or(u64::MAX);
        declared.min(self.body.into())
    }

    /// Whether the app has ended the stream.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// `grpc-status`, of the trailers or of a head that is all there is; `None`, once the stream has ended,
    /// if the app gave none.
    pub fn grpc_status(&self) -> Option<u32> {
        self.seen.grpc_status().filter(|_| self.is_ended)
    }

    /// Whether a block of fields has ended the stream, rather than DATA.
    pub fn ended_with_fields(&self) -> bool {
        self.is_ended && self.is_last_block
    }

    /// Whether the app's SETTINGS have come, before which grpc-go sends no request.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// The request's head has been sent. Until then the app has nothing to say on its stream.
    pub fn opened(&mut self) {
        self.is_open = true;
    }

    /// Whether the app takes a stream at all (SETTINGS_MAX_CONCURRENT_STREAMS), as far as it has said; grpc-go
    /// waits until it does.
    pub fn takes_streams(&self) -> bool {
        self.takes_streams
    }

    /// Control frames to be sent.
    pub fn pending<'m>(&self, memory: &'m [u8]) -> &'m [u8] {
        &memory[HPACK_BYTES..][..self.pending.into()]
    }

    /// All that was pending has been sent.
    pub fn sent(&mut self) {
        self.pending = 0;
    }

    /// Bytes of DATA the app can take now.
    pub fn send_window(&self) -> usize {
        let [connection, stream] = self.send;
        usize::try_from(connection.min(stream)).unwrap_or(0)
    }

    /// DATA of so many bytes has been sent, no more than [`send_window`](Self::send_window).
    pub fn sent_data(&mut self, bytes: usize) {
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        self.send = self.send.map(|window| window.saturating_sub(bytes));
    }

    /// How long the body has to be. grpc-go does not look at it.
    fn declared(&self) -> Option<u64> {
        let head = self.seen.head()?;
        head.content_length
            .filter(|_| self.seen.rules() == Rules::Http)
    }

    /// Takes what of `bytes` belongs to the part being read.
    fn step(&mut self, bytes: &mut &[u8], lent: &mut Lent<'_>) -> Result<(), H2Error> {
        match self.part {
            Part::Header => {
                let is_whole = self.collect(bytes, HEADER_BYTES);
                self.look_for_others()?;
                match is_whole {
                    true => self.begin_frame(),
                    false => Ok(()),
                }
            }
            Part::Prefix(len) => match self.collect(bytes, len.into()) {
                true => self.prefix(),
                false => Ok(()),
            },
            Part::Control(len) => match self.collect(bytes, len.into()) {
                true => self.control(lent.pending),
                false => Ok(()),
            },
            Part::Fields => {
                let padding = self.padding.into();
                let block = self.take(bytes, padding);
                self.fields(block, lent)
            }
            Part::Data => {
                let padding = self.padding.into();
                let data = self.take(bytes, padding);
                if self.frame.stream == STREAM {
                    (lent.body)(data);
                }
                Ok(())
            }
            Part::Rest => {
                self.take(bytes, 0);
                Ok(())
            }
        }
    }

    /// What of `bytes` belongs to the frame, less its last `but` bytes.
    fn take<'b>(&mut self, bytes: &mut &'b [u8], but: u32) -> &'b [u8] {
        let (now, later) = bytes.split_at(bytes.len().min((self.left - but) as usize));
        *bytes = later;
        self.left -= now.len() as u32;
        now
    }

    /// Whether `len` bytes have come together.
    fn collect(&mut self, bytes: &mut &[u8], len: usize) -> bool {
        let room = &mut self.collected[self.len.into()..len];
        let (now, later) = bytes.split_at(bytes.len().min(room.len()));
        room[..now.len()].copy_from_slice(now);
        *bytes = later;
        self.len += now.len() as u8;
        if self.part != Part::Header {
            self.left -= now.len() as u32;
        }
        usize::from(self.len) == len
    }

    /// Goes on to the next part as long as that needs no bytes.
    fn end_parts(&mut self, lent: &mut Lent<'_>) -> Result<(), H2Error> {
        if matches!(self.part, Part::Fields | Part::Data) && self.left == u32::from(self.padding) {
            self.part = Part::Rest;
        }
        if self.part == Part::Rest && self.left == 0 {
            self.part = Part::Header;
            self.len = 0;
            self.end_frame(lent)?;
        }
        Ok(())
    }

    /// Tells the mistakes that are seen before a frame is: a plain HTTP/1 or a TLS server.
    fn look_for_others(&self) -> Result<(), H2Error> {
        match &self.collected[..self.len.into()] {
            _ if self.is_ready => Ok(()),
            // Each says a length of more than a mebibyte.
            [b'H', b'T', b'T', b'P', b'/', ..] => Err(H2Error::Http1),
            // RFC 8446 section 5.1: alert and handshake, of version 3.
            [21 | 22, 3, ..] => Err(H2Error::Tls),
            _ => Ok(()),
        }
    }

    /// A frame's header is complete: Go's `ReadFrameHeader`, `checkFrameOrder`, and what of the parsers and of
    /// `run` can be told by now.
    fn begin_frame(&mut self) -> Result<(), H2Error> {
        let frame = FrameHeader::parse(self.collected);
        self.frame = frame;
        self.left = frame.len;
        self.len = 0;
        self.padding = 0;
        if frame.len > FRAME_BYTES as u32 {
            return Err(H2Error::FrameTooLarge);
        }
        // While a block is open nothing comes but CONTINUATION of its stream, and else none.
        let (is_open, is_more) = (self.block != 0, frame.kind == frame::CONTINUATION);
        let in_block = is_open && is_more && frame.stream == self.block;
        let out_of_order = (is_open || is_more) && !in_block;
        let too_early = (!self.is_ready && frame.kind != frame::SETTINGS)
            || (!self.is_open && frame.stream == STREAM);
        if out_of_order || too_early {
            return Err(H2Error::Protocol);
        }
        self.part = match frame.kind {
            frame::DATA => self.begin_data()?,
            frame::HEADERS => self.begin_fields()?,
            frame::CONTINUATION => {
                self.idle(0)?;
                Part::Fields
            }
            // grpc-go knows none, and passes over what it does not know.
            frame::PUSH_PROMISE if self.seen.rules() == Rules::Http => {
                return Err(H2Error::Protocol);
            }
            _ => {
                self.idle(frame.len)?;
                self.begin_control()?
            }
        };
        Ok(())
    }

    /// A frame that leads nowhere, and as many more as it is long.
    fn idle(&mut self, bytes: u32) -> Result<(), H2Error> {
        let cost = 1 + (bytes / 256) as u16;
        let left = self.idle_left.checked_sub(cost);
        self.idle_left = left.ok_or(H2Error::Flood)?;
        Ok(())
    }

    /// What stands before data or fields is complete.
    fn prefix(&mut self) -> Result<(), H2Error> {
        if self.frame.has(frame::PADDED) {
            self.padding = self.collected[0];
        }
        if u32::from(self.padding) > self.left {
            return Err(H2Error::Protocol);
        }
        self.len = 0;
        self.part = match self.frame.kind {
            frame::DATA => Part::Data,
            _ => Part::Fields,
        };
        Ok(())
    }

    /// The frame is complete.
    fn end_frame(&mut self, lent: &mut Lent<'_>) -> Result<(), H2Error> {
        match self.frame.kind {
            frame::DATA => self.end_data(),
            frame::HEADERS | frame::CONTINUATION if self.frame.has(frame::END_HEADERS) => {
                self.end_block()
            }
            frame::SETTINGS => self.end_settings(lent.pending),
            _ => Ok(()),
        }
    }
}
