//! `grpc.health.v1.Health/Check`: the request as grpc-go sends it, and the response message as it reads it.
//!
//! Sources: grpc-go's `internal/transport/http2_client.go` (`createHeaderFields`), `rpc_util.go` (`recvMsg`,
//! `checkRecvPayload`), `stream.go` (`recvMsg`), and `health.proto`.

use core::time::Duration;

use super::fields::{FieldSink, FieldValue, RequestFields};
use super::header::Header;

mod code;
mod message;
mod timeout;

pub use code::GrpcCode;
pub use message::{HealthError, HealthReader};
pub use timeout::Timeout;

/// Bytes of a message's prefix: a compression flag and the length
/// (`Length-Prefixed-Message` of gRPC over HTTP/2).
const PREFIX_BYTES: usize = 5;

/// The header fields of a call of `Check`.
#[derive(Clone, Copy, Debug)]
pub struct HealthHeaders<'a> {
    /// `http` or `https`.
    pub scheme: &'a [u8],
    /// Host and port of the connection, in two pieces.
    pub authority: [&'a [u8]; 2],
    /// As kubelet sets it; grpc-go appends its own version.
    pub user_agent: &'a [u8],
    /// Time until the deadline, if there is one.
    pub timeout: Option<Duration>,
    /// Metadata of the call, sent after the other fields.
    pub metadata: &'a [Header],
}

impl RequestFields for HealthHeaders<'_> {
    fn each(&self, sink: &mut dyn FieldSink) {
        let timeout = self.timeout.map(Timeout::new);
        let fields: [(&[u8], &[&[u8]]); 7] = [
            (b":method", &[b"POST"]),
            (b":scheme", &[self.scheme]),
            (b":path", &[b"/grpc.health.v1.Health/Check"]),
            (b":authority", &self.authority),
            (b"content-type", &[b"application/grpc"]),
            (b"user-agent", &[self.user_agent]),
            (b"te", &[b"trailers"]),
        ];
        for (name, pieces) in fields {
            sink.field(name, FieldValue::Pieces(pieces));
        }
        if let Some(timeout) = &timeout {
            sink.field(b"grpc-timeout", FieldValue::Pieces(&[timeout.as_bytes()]));
        }
        for Header { name, value } in self.metadata {
            sink.field(name.as_bytes(), FieldValue::Pieces(&[value.as_bytes()]));
        }
    }
}

/// `HealthCheckRequest { service }` with its prefix: what the call's DATA carries.
#[derive(Clone, Copy, Debug)]
pub struct HealthRequest<'a> {
    service: &'a [u8],
}

impl<'a> HealthRequest<'a> {
    /// The request for one service. The empty service is the server as a whole, and is not encoded.
    pub const fn new(service: &'a [u8]) -> Self {
        HealthRequest { service }
    }

    /// Length in bytes, with the prefix.
    pub fn size(&self) -> usize {
        PREFIX_BYTES + self.message_len()
    }

    /// Passes the bytes to `put`, in pieces.
    pub fn write(&self, put: &mut dyn FnMut(&[u8])) {
        // It fits: the service comes from the configuration.
        let [a, b, c, d] = (self.message_len() as u32).to_be_bytes();
        put(&[0, a, b, c, d]);
        if self.service.is_empty() {
            return;
        }
        put(&[SERVICE]);
        let mut rest = self.service.len();
        while rest >= 0x80 {
            put(&[rest as u8 | 0x80]);
            rest >>= 7;
        }
        put(&[rest as u8]);
        put(self.service);
    }

    fn message_len(&self) -> usize {
        match self.service.len() {
            0 => 0,
            len => 1 + (len.ilog2() / 7 + 1) as usize + len,
        }
    }
}

/// `string service = 1`: field 1, a length and bytes.
const SERVICE: u8 = 1 << 3 | 2;

#[cfg(test)]
mod tests;
