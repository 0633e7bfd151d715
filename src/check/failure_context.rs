//! How a probe stood when it failed, and what is said only of one that stood so.

use core::net::SocketAddr;

use crate::probe::Failure;

/// How a probe stood when it failed.
#[derive(Clone, Copy, Debug)]
pub struct FailureContext {
    /// What was dialled last.
    pub at: Option<SocketAddr>,
    /// Whether any connection stood.
    pub stood: bool,
    /// Whether it is a call by gRPC.
    pub is_grpc: bool,
    /// How far TLS came on the last connection.
    pub tls: Security,
}

/// How far TLS came on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// There was none.
    Plaintext,
    /// The handshake began, and was not done.
    Begun,
    /// The handshake was done.
    Secured,
}

impl FailureContext {
    /// What only some probes are told, or all in other words.
    pub fn own_advice(self, failure: Failure) -> Option<&'static str> {
        use Security::{Begun, Plaintext, Secured};
        let text = match (failure, self.tls, self.is_grpc) {
            (Failure::Reset, Begun, _) => {
                "the connection was reset in the TLS handshake; is {port} a port of the app that speaks TLS, \
                 does it want a client certificate, or another one (--cert and --key)?"
            }
            (Failure::Reset, Secured, _) => {
                "the connection was reset after the TLS handshake; what does the app's log tell, \
                 does it want a client certificate, or another one (--cert and --key)?"
            }
            (Failure::Reset, Plaintext, true) => {
                "the connection, or the call, was reset; does port {port} want TLS (grpcs://), \
                 does a proxy stand before the app?"
            }
            (Failure::ClosedEarly, Begun, _) => {
                "the connection was closed in the TLS handshake; is {port} a port of the app that speaks TLS, \
                 does it want a client certificate, or another one (--cert and --key)?"
            }
            (Failure::ClosedEarly, Secured, _) => {
                "the connection was closed after the TLS handshake and without an answer; what does the app's \
                 log tell, does it want a client certificate, or another one (--cert and --key)?"
            }
            (Failure::ClosedEarly, Plaintext, true) => {
                "the connection was closed without an answer; does port {port} want TLS (grpcs://), \
                 is it the app's gRPC port?"
            }
            (Failure::Malformed, _, true) => {
                "what came is no HTTP/2, or breaks its rules; is {port} the app's gRPC port?"
            }
            (Failure::TlsPort, _, true) => {
                "port {port} answered in TLS; ask it by grpcs://, and the prober by `mode: TLS`"
            }
            (Failure::PlainHttp, _, true) => {
                "port {port} answered in plaintext; ask it by grpc://, and the prober without `mode: TLS`"
            }
            (Failure::NotTls, _, true) => {
                "what came is no TLS; is gRPC in plaintext there, to be asked by grpc:// and by the prober without \
                 `mode: TLS`, is {port} the right port?"
            }
            (Failure::Deadline, Begun, _) if self.stood => {
                "port {port} took the connection, but the TLS handshake was not done in time; is the app hung, \
                 or slower than --timeout?"
            }
            (Failure::Deadline, _, true) if self.stood => {
                "port {port} took the connection, but no whole answer came in time; is the app hung, \
                 or slower than --timeout?"
            }
            (Failure::Deadline, _, false) if self.stood => {
                "port {port} took the connection, but no whole head came in time; is the app hung, \
                 or slower than --timeout?"
            }
            _ => return None,
        };
        Some(text)
    }
}
