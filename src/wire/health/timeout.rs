//! `grpc-timeout`, as grpc-go writes it (`internal/grpcutil/encode_duration.go`).

use core::time::Duration;

/// "TimeoutValue: positive integer as ASCII string of at most 8 digits" (gRPC over HTTP/2), and a unit.
const TIMEOUT_BYTES: usize = 9;

/// A timeout, as sent.
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    text: [u8; TIMEOUT_BYTES],
    start: u8,
}

impl Timeout {
    /// `timeout` in the finest unit in which it has at most eight digits, rounded up. Like Go's durations, at most 292
    /// years.
    pub fn new(timeout: Duration) -> Self {
        const MOST: u64 = 99_999_999;
        const UNITS: [(u8, u64); 6] = [
            (b'n', 1),
            (b'u', 1_000),
            (b'm', 1_000_000),
            (b'S', 1_000_000_000),
            (b'M', 60_000_000_000),
            (b'H', 3_600_000_000_000),
        ];
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let nanos = nanos.min(i64::MAX as u64);
        let in_units = UNITS.map(|(unit, length)| (unit, nanos.div_ceil(length)));
        let fitting = in_units.iter().find(|(_, count)| *count <= MOST);
        // Hours always fit.
        let (unit, mut rest) = *fitting.unwrap_or(&in_units[5]);
        let mut text = [unit; TIMEOUT_BYTES];
        let mut start = TIMEOUT_BYTES - 1;
        loop {
            start -= 1;
            text[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        Timeout {
            text,
            start: start as u8,
        }
    }

    /// The value of the field.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[self.start.into()..]
    }
}
