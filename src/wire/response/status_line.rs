//! The status line of a response, as `ReadResponse` in Go's `net/http/response.go` reads it.

use crate::wire::field_lines::Malformed;

/// Major and minor version.
pub(super) type Version = (u8, u8);

/// The status line: eight bytes of version, spaces, three of status, and anything after a space.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusLine {
    state: StatusLineState,
    version: Version,
    status: u16,
    is_negative: bool,
}

#[derive(Clone, Copy, Debug)]
enum StatusLineState {
    Version(usize),
    Spaces,
    Status(u8),
    AfterStatus,
    Reason,
    /// A CR right after the status.
    Cr,
}

impl StatusLine {
    pub(super) const fn new() -> Self {
        StatusLine {
            state: StatusLineState::Version(0),
            version: (0, 0),
            status: 0,
            is_negative: false,
        }
    }

    /// Reads bytes. If the line ends in them: its length there, status and version.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<(usize, u16, Version)>, Malformed> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            if matches!(self.state, StatusLineState::Reason) {
                let end = memchr::memchr(b'\n', &bytes[used..]);
                return Ok(end.map(|end| (used + end + 1, self.status, self.version)));
            }
            used += 1;
            if self.step(byte)? {
                return Ok(Some((used, self.status, self.version)));
            }
        }
        Ok(None)
    }

    /// Whether `byte` ends the line.
    fn step(&mut self, byte: u8) -> Result<bool, Malformed> {
        const VERSION: &[u8; 8] = b"HTTP/0.0";
        self.state = match (self.state, byte) {
            (StatusLineState::Version(8), b' ') => StatusLineState::Spaces,
            (StatusLineState::Version(at @ (5 | 7)), b'0'..=b'9') => {
                self.version = (self.version.1, byte - b'0');
                StatusLineState::Version(at + 1)
            }
            (StatusLineState::Version(at @ (0..=4 | 6)), _) if byte == VERSION[at] => {
                StatusLineState::Version(at + 1)
            }
            (StatusLineState::Spaces, b' ') => StatusLineState::Spaces,
            // Go reads the status with Atoi, which takes a sign: "+20" is 20, "-00" is 0.
            (StatusLineState::Spaces, b'+' | b'-') => {
                self.is_negative = byte == b'-';
                StatusLineState::Status(1)
            }
            (StatusLineState::Spaces, b'0'..=b'9') => self.digit(0, byte)?,
            (StatusLineState::Status(at), b'0'..=b'9') => self.digit(at, byte)?,
            (StatusLineState::AfterStatus, b' ') => StatusLineState::Reason,
            (StatusLineState::AfterStatus, b'\r') => StatusLineState::Cr,
            (StatusLineState::AfterStatus | StatusLineState::Cr, b'\n') => return Ok(true),
            _ => return Err(Malformed),
        };
        Ok(false)
    }

    fn digit(&mut self, at: u8, byte: u8) -> Result<StatusLineState, Malformed> {
        self.status = self.status * 10 + u16::from(byte - b'0');
        match at {
            2 if self.is_negative && self.status != 0 => Err(Malformed),
            2 => Ok(StatusLineState::AfterStatus),
            _ => Ok(StatusLineState::Status(at + 1)),
        }
    }
}
