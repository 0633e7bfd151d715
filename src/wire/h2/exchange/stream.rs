//! DATA, and blocks of fields.

use super::super::H2Error;
use super::super::frame::{self, FrameHeader, STREAM};
use super::{Exchange, Lent, Part};
use crate::wire::hpack::Field;

impl Exchange {
    pub(super) fn begin_data(&mut self) -> Result<Part, H2Error> {
        let frame = self.frame;
        match frame.stream {
            STREAM if self.head().is_none() => return Err(H2Error::Protocol),
            STREAM => {
                let left = self.window.checked_sub(frame.len);
                self.window = left.ok_or(H2Error::FlowControl)?;
            }
            // Of the app's own making, or never asked for.
            2 => self.idle(frame.len)?,
            _ => return Err(H2Error::Protocol),
        }
        match (frame.has(frame::PADDED), frame.len) {
            (false, _) => Ok(Part::Data),
            (true, 0) => Err(H2Error::FrameSize),
            (true, _) => Ok(Part::Prefix(1)),
        }
    }

    pub(super) fn begin_fields(&mut self) -> Result<Part, H2Error> {
        let frame = self.frame;
        if frame.stream == 0 {
            return Err(H2Error::Protocol);
        }
        if frame.stream != STREAM {
            self.idle(frame.len)?;
        }
        self.block = frame.stream;
        self.is_last_block = frame.has(frame::END_STREAM);
        let prefix =
            u8::from(frame.has(frame::PADDED)) + 5 * u8::from(frame.has(frame::HAS_PRIORITY));
        match prefix {
            0 => Ok(Part::Fields),
            _ if u32::from(prefix) > frame.len => Err(H2Error::FrameSize),
            _ => Ok(Part::Prefix(prefix)),
        }
    }

    pub(super) fn end_data(&mut self) -> Result<(), H2Error> {
        let FrameHeader { len, stream, .. } = self.frame;
        if stream != STREAM {
            return Ok(());
        }
        let padding = u32::from(self.padding) + u32::from(self.frame.has(frame::PADDED));
        if len == padding {
            self.idle(len)?;
        }
        self.body += len - padding;
        if self
            .declared()
            .is_some_and(|length| u64::from(self.body) > length)
        {
            return Err(H2Error::BodyLength);
        }
        match self.frame.has(frame::END_STREAM) {
            true => self.end_stream(),
            false => Ok(()),
        }
    }

    /// Part of a block of fields.
    pub(super) fn fields(&mut self, block: &[u8], lent: &mut Lent<'_>) -> Result<(), H2Error> {
        let is_ours = self.frame.stream == STREAM;
        let (seen, left) = (&mut self.seen, &mut self.fields_left);
        let mut verdict = Ok(());
        let mut sink = |field: &Field<'_>| {
            verdict = match u64::from(*left).checked_sub(field.size()) {
                None => Err(H2Error::HeadTooLarge),
                Some(rest) => {
                    *left = rest as u32;
                    match is_ours {
                        true => seen.field(field, lent.location),
                        // Of no meaning here, but it may have gone into the table.
                        false => Ok(()),
                    }
                }
            };
            verdict.is_ok()
        };
        self.decoder.feed(block, lent.hpack, &mut sink)?;
        verdict
    }

    pub(super) fn end_block(&mut self) -> Result<(), H2Error> {
        self.decoder.end_block()?;
        self.block = 0;
        if self.frame.stream != STREAM {
            return Ok(());
        }
        match self.head() {
            Some(_) => self.seen.end_trailers(self.is_last_block)?,
            None => self.seen.end_head(self.is_last_block)?,
        }
        match self.is_last_block {
            true => self.end_stream(),
            false => Ok(()),
        }
    }

    /// END_STREAM.
    fn end_stream(&mut self) -> Result<(), H2Error> {
        self.is_ended = true;
        match self
            .declared()
            .is_some_and(|length| u64::from(self.body) < length)
        {
            true => Err(H2Error::BodyLength),
            false => Ok(()),
        }
    }
}
