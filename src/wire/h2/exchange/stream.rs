//! DATA and field blocks.

use super::super::H2Error;
use super::super::frame::{self, FrameHeader, STREAM_ID};
use super::{CallerMemory, Exchange, FrameState};
use crate::wire::hpack::HeaderField;

impl Exchange {
    pub(super) fn begin_data(&mut self) -> Result<FrameState, H2Error> {
        let frame = self.frame;
        match frame.stream {
            STREAM_ID if self.head().is_none() => return Err(H2Error::Protocol),
            STREAM_ID => {
                let left = self.receive_window.checked_sub(frame.len);
                self.receive_window = left.ok_or(H2Error::FlowControl)?;
            }
            // Go ignores DATA on an unknown stream below its next identifier, which is 3, and fails on one above
            // (`h2_bundle.go`: `processData`).
            2 => self.count_non_progress(frame.len)?,
            _ => return Err(H2Error::Protocol),
        }
        match (frame.has(frame::PADDED), frame.len) {
            (false, _) => Ok(FrameState::Data),
            (true, 0) => Err(H2Error::FrameSize),
            (true, _) => Ok(FrameState::Prefix(1)),
        }
    }

    pub(super) fn begin_fields(&mut self) -> Result<FrameState, H2Error> {
        let frame = self.frame;
        if frame.stream == 0 {
            return Err(H2Error::Protocol);
        }
        if frame.stream != STREAM_ID {
            self.count_non_progress(frame.len)?;
        }
        self.block_stream = frame.stream;
        self.is_last_block = frame.has(frame::END_STREAM);
        let prefix =
            u8::from(frame.has(frame::PADDED)) + 5 * u8::from(frame.has(frame::HAS_PRIORITY));
        match prefix {
            0 => Ok(FrameState::Fields),
            _ if u32::from(prefix) > frame.len => Err(H2Error::FrameSize),
            _ => Ok(FrameState::Prefix(prefix)),
        }
    }

    pub(super) fn end_data(&mut self) -> Result<(), H2Error> {
        let FrameHeader { len, stream, .. } = self.frame;
        if stream != STREAM_ID {
            return Ok(());
        }
        let padding = u32::from(self.padding) + u32::from(self.frame.has(frame::PADDED));
        if len == padding {
            self.count_non_progress(len)?;
        }
        self.body_bytes += len - padding;
        if self
            .declared_length()
            .is_some_and(|length| u64::from(self.body_bytes) > length)
        {
            return Err(H2Error::BodyLength);
        }
        match self.frame.has(frame::END_STREAM) {
            true => self.end_stream(),
            false => Ok(()),
        }
    }

    /// Reads part of a field block.
    pub(super) fn fields(
        &mut self,
        block: &[u8],
        memory: &mut CallerMemory<'_>,
    ) -> Result<(), H2Error> {
        let is_ours = self.frame.stream == STREAM_ID;
        let (fields, left) = (&mut self.fields, &mut self.field_bytes_left);
        let mut result = Ok(());
        let mut sink = |field: &HeaderField<'_>| {
            result = match u64::from(*left).checked_sub(field.size()) {
                None => Err(H2Error::HeadTooLarge),
                Some(rest) => {
                    *left = rest as u32;
                    match is_ours {
                        true => fields.field(field, memory.location),
                        // Of another stream: decoded only for the dynamic table.
                        false => Ok(()),
                    }
                }
            };
            result.is_ok()
        };
        self.decoder.feed(block, memory.hpack, &mut sink)?;
        result
    }

    pub(super) fn end_block(&mut self) -> Result<(), H2Error> {
        self.decoder.end_block()?;
        self.block_stream = 0;
        if self.frame.stream != STREAM_ID {
            return Ok(());
        }
        match self.head() {
            Some(_) => self.fields.end_trailers(self.is_last_block)?,
            None => self.fields.end_head(self.is_last_block)?,
        }
        match self.is_last_block {
            true => self.end_stream(),
            false => Ok(()),
        }
    }

    /// END_STREAM.
    fn end_stream(&mut self) -> Result<(), H2Error> {
        self.stream_ended = true;
        match self
            .declared_length()
            .is_some_and(|length| u64::from(self.body_bytes) < length)
        {
            true => Err(H2Error::BodyLength),
            false => Ok(()),
        }
    }
}
