//! Control frames: those of the connection, and those that only end the stream.

use super::super::frame::{self, FrameHeader, HEADER_BYTES, STREAM_ID};
use super::super::{H2Error, Rules};
use super::{Exchange, FrameState};

impl Exchange {
    /// Checks the length and the stream of a control frame.
    pub(super) fn begin_control(&self) -> Result<FrameState, H2Error> {
        let FrameHeader { len, stream, .. } = self.frame;
        let (is_length_valid, is_stream_valid) = match self.frame.kind {
            frame::PRIORITY => (len == 5, stream != 0),
            frame::RST_STREAM => (len == 4, stream != 0),
            frame::SETTINGS if self.frame.has(frame::ACK) => (len == 0, stream == 0),
            frame::SETTINGS => (len % 6 == 0, stream == 0),
            frame::PING => (len == 8, stream == 0),
            frame::GOAWAY => (len >= 8, stream == 0),
            frame::WINDOW_UPDATE => (len == 4, true),
            _ => (true, true),
        };
        match (is_length_valid, is_stream_valid) {
            (false, _) => Err(H2Error::FrameSize),
            (_, false) => Err(H2Error::Protocol),
            _ => Ok(match self.frame.kind {
                frame::RST_STREAM | frame::WINDOW_UPDATE => FrameState::Control(4),
                frame::PING | frame::GOAWAY => FrameState::Control(8),
                frame::SETTINGS if len != 0 => FrameState::Control(6),
                _ => FrameState::Skipped,
            }),
        }
    }

    /// Processes the complete part of a control frame that is parsed, or one setting.
    pub(super) fn control(&mut self, pending: &mut [u8]) -> Result<(), H2Error> {
        self.collected_len = 0;
        self.state = FrameState::Skipped;
        let [a, b, c, d, rest @ ..] = self.collected;
        let number = u32::from_be_bytes([a, b, c, d]);
        match self.frame.kind {
            frame::SETTINGS => {
                let value = u32::from_be_bytes([c, d, rest[0], rest[1]]);
                self.setting(u16::from_be_bytes([a, b]), value)?;
                if self.payload_left != 0 {
                    self.state = FrameState::Control(6);
                }
                Ok(())
            }
            frame::PING if self.frame.has(frame::ACK) => Ok(()),
            frame::PING => {
                let ping = self.collected;
                self.acknowledge(&ping[..8], pending)
            }
            frame::WINDOW_UPDATE => self.window_update(number & 0x7fff_ffff),
            frame::RST_STREAM if self.frame.stream == STREAM_ID => Err(H2Error::Reset(number)),
            frame::GOAWAY => {
                let [e, f, g, h, _] = rest;
                self.go_away(number & 0x7fff_ffff, u32::from_be_bytes([e, f, g, h]))
            }
            _ => Ok(()),
        }
    }

    /// One setting (RFC 9113 section 6.5.2), by Go's `Setting.Valid`.
    fn setting(&mut self, name: u16, value: u32) -> Result<(), H2Error> {
        match (name, value) {
            (frame::SETTING_ENABLE_PUSH | frame::SETTING_ENABLE_CONNECT_PROTOCOL, 2..) => {
                Err(H2Error::Protocol)
            }
            (frame::SETTING_MAX_FRAME_SIZE, ..0x4000 | 0x0100_0000..) => Err(H2Error::Protocol),
            (frame::SETTING_INITIAL_WINDOW_SIZE, _) => {
                let size = i32::try_from(value).map_err(|_| H2Error::FlowControl)?;
                // Go leaves a window unchanged that would become too large.
                let change = size - self.initial_window;
                self.send_windows[1] = self.send_windows[1]
                    .checked_add(change)
                    .unwrap_or(self.send_windows[1]);
                self.initial_window = size;
                Ok(())
            }
            (frame::SETTING_MAX_CONCURRENT_STREAMS, most) => {
                self.accepts_streams = most != 0;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Processes the end of SETTINGS; an acknowledgement may come once.
    pub(super) fn end_settings(&mut self, pending: &mut [u8]) -> Result<(), H2Error> {
        self.settings_received = true;
        match (self.frame.has(frame::ACK), self.settings_acked) {
            (true, true) if self.fields.rules() == Rules::Http => Err(H2Error::Protocol),
            (true, _) => {
                self.settings_acked = true;
                Ok(())
            }
            (false, _) => self.acknowledge(&[], pending),
        }
    }

    /// Acknowledges the frame with `payload`.
    fn acknowledge(&mut self, payload: &[u8], pending: &mut [u8]) -> Result<(), H2Error> {
        let header = FrameHeader {
            len: payload.len() as u32,
            kind: self.frame.kind,
            flags: frame::ACK,
            stream: 0,
        };
        let room = pending
            .get_mut(self.pending_len.into()..)
            .unwrap_or_default();
        // There is room unless the caller fed more than SCRATCH_BYTES at once.
        let ack = room.get_mut(..HEADER_BYTES + payload.len());
        let ack = ack.ok_or(H2Error::TooManyNonProgressFrames)?;
        ack[..HEADER_BYTES].copy_from_slice(&header.bytes());
        ack[HEADER_BYTES..].copy_from_slice(payload);
        self.pending_len += ack.len() as u16;
        Ok(())
    }

    /// WINDOW_UPDATE of the connection, the stream or another stream.
    fn window_update(&mut self, more: u32) -> Result<(), H2Error> {
        let window = match self.frame.stream {
            0 => &mut self.send_windows[0],
            STREAM_ID => &mut self.send_windows[1],
            _ => return Ok(()),
        };
        // It has 31 bits.
        let more = i32::try_from(more).unwrap_or(i32::MAX);
        if more == 0 {
            return Err(H2Error::Protocol);
        }
        *window = window.checked_add(more).ok_or(H2Error::FlowControl)?;
        Ok(())
    }

    /// GOAWAY: the app processes streams up to `last`; if the request's stream is one of them, it continues. Go uses
    /// the first of several error codes.
    fn go_away(&mut self, last: u32, code: u32) -> Result<(), H2Error> {
        if self.go_away == 0 {
            self.go_away = code;
        }
        match last {
            ..STREAM_ID => Err(H2Error::GoAway(self.go_away)),
            _ => Ok(()),
        }
    }
}
