//! The fields of a response's head and trailers, by the rules of Go's `handleResponse` and `processTrailers`
//! (`net/http/h2_bundle.go`) and of grpc-go's `operateHeaders`.

use super::{H2Error, Rules};
use crate::wire::hpack::HeaderField;
use crate::wire::response::Location;

/// The stored parts of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H2Head {
    /// 200 to 599; 0 by gRPC's rules if the content type is gRPC's, where it is ignored.
    pub status: u16,
    /// The target of a redirect.
    pub location: Location,
    /// The declared length of the body; `None` if absent or if Go ignores it.
    pub content_length: Option<u64>,
    /// Whether the content type is gRPC's.
    pub is_grpc: bool,
}

/// Accumulates the fields of a head and of trailers.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldAccumulator {
    rules: Rules,
    /// Of the current block.
    status: Status,
    /// Whether the block has had a field that is not a pseudo-header field.
    has_regular: bool,
    grpc_status: Option<u32>,
    /// Of the head.
    head: H2Head,
    is_complete: bool,
    has_location: bool,
    has_length: bool,
}

/// `:status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Absent,
    /// Not a number.
    Bad,
    Number(i16),
}

impl FieldAccumulator {
    pub(super) const fn new(rules: Rules) -> Self {
        FieldAccumulator {
            rules,
            status: Status::Absent,
            has_regular: false,
            grpc_status: None,
            head: H2Head {
                status: 0,
                location: Location::Absent,
                content_length: None,
                is_grpc: false,
            },
            is_complete: false,
            has_location: false,
            has_length: false,
        }
    }

    pub(super) fn rules(&self) -> Rules {
        self.rules
    }

    pub(super) fn head(&self) -> Option<&H2Head> {
        self.is_complete.then_some(&self.head)
    }

    /// `grpc-status` of the last block.
    pub(super) fn grpc_status(&self) -> Option<u32> {
        self.grpc_status
    }

    /// Adds a field of a head or of trailers.
    pub(super) fn field(
        &mut self,
        field: &HeaderField<'_>,
        location: &mut [u8],
    ) -> Result<(), H2Error> {
        if !field.is_valid() || (field.is_pseudo() && self.has_regular) {
            return Err(H2Error::BadHead);
        }
        self.has_regular |= !field.is_pseudo();
        // A truncated name equals none of these.
        match field.name {
            b":status" if self.status == Status::Absent => self.status = Status::parse(field.value),
            // Twice, one of requests, or unknown (Go: `checkPseudos`).
            [b':', ..] => return Err(H2Error::BadHead),
            b"grpc-status" => {
                self.grpc_status = grpc_status(field.value);
                if self.grpc_status.is_none() && self.rules == Rules::Grpc {
                    return Err(H2Error::BadHead);
                }
            }
            _ if !self.is_complete => self.head_field(field, location),
            _ => {}
        }
        Ok(())
    }

    fn head_field(&mut self, field: &HeaderField<'_>, location: &mut [u8]) {
        match field.name {
            b"location" if !self.has_location => {
                self.has_location = true;
                self.head.location = store(field, location);
            }
            // Go ignores a length that is not a number, and all lengths if there are several.
            b"content-length" => {
                let length = number(field.value).filter(|length| *length <= i64::MAX as u64);
                self.head.content_length = length.filter(|_| !self.has_length);
                self.has_length = true;
            }
            b"content-type" => self.head.is_grpc |= is_grpc(field.value),
            _ => {}
        }
    }

    /// The field block of a head is complete. Interim heads (RFC 9110 section 15.2), in HTTP/2 also 101, are dropped.
    pub(super) fn end_head(&mut self, is_end: bool) -> Result<(), H2Error> {
        self.head.status = match self.status {
            _ if self.head.is_grpc && self.rules == Rules::Grpc => 0,
            Status::Number(100..=199) if is_end => return Err(H2Error::BadHead),
            Status::Number(100..=199) => {
                *self = FieldAccumulator::new(self.rules);
                return Ok(());
            }
            Status::Number(status @ 200..=599) => status.unsigned_abs(),
            Status::Number(_) => return Err(H2Error::StatusOutOfRange),
            Status::Absent | Status::Bad => return Err(H2Error::BadHead),
        };
        self.is_complete = true;
        if !is_end {
            // Trailers follow, with a status of their own.
            self.status = Status::Absent;
            self.has_regular = false;
            self.grpc_status = None;
        }
        Ok(())
    }

    /// The block of trailers is complete. Both clients require that it ends the stream, and Go's client that it has no
    /// pseudo-header fields.
    pub(super) fn end_trailers(&self, is_end: bool) -> Result<(), H2Error> {
        let has_status = self.status != Status::Absent && self.rules == Rules::Http;
        match is_end && !has_status {
            true => Ok(()),
            false => Err(H2Error::Protocol),
        }
    }
}

impl Status {
    /// Parses like `Atoi`, with sign and leading zeros. Larger values are clamped, still out of range.
    fn parse(value: &[u8]) -> Status {
        let (digits, sign) = match value {
            [b'-', digits @ ..] => (digits, -1),
            [b'+', digits @ ..] => (digits, 1),
            digits => (digits, 1),
        };
        match number(digits) {
            None => Status::Bad,
            Some(number) => Status::Number(sign * number.min(999) as i16),
        }
    }
}

/// Parses like `ParseUint`: digits whose value fits.
fn number(digits: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    (!digits.is_empty()).then_some(value)
}

/// Parses like `ParseInt` with 32 bits, converted to unsigned.
fn grpc_status(value: &[u8]) -> Option<u32> {
    match value {
        [b'-', digits @ ..] => {
            let least = i32::MIN.unsigned_abs();
            let value = u32::try_from(number(digits)?).ok()?;
            (value <= least).then_some(value.wrapping_neg())
        }
        [b'+', digits @ ..] | digits => {
            let most = i32::MAX.unsigned_abs();
            u32::try_from(number(digits)?).ok().filter(|n| *n <= most)
        }
    }
}

/// grpc-go `internal/grpcutil/method.go`: `ContentSubtype`.
fn is_grpc(value: &[u8]) -> bool {
    let rest = value.strip_prefix(b"application/grpc");
    matches!(rest, Some([] | [b'+' | b';', ..]))
}

/// Stores the first bytes of a `Location`, as many as fit.
fn store(field: &HeaderField<'_>, memory: &mut [u8]) -> Location {
    let stored = field.value.len().min(memory.len());
    memory[..stored].copy_from_slice(&field.value[..stored]);
    match field.value_len {
        0 => Location::Absent,
        len if len > stored => Location::TooLong,
        len => Location::Stored(len),
    }
}
