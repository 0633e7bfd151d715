//! The state of a probe when it failed, and the advice that depends on it.

use core::net::SocketAddr;

use crate::probe::Failure;

/// The state of a probe when it failed.
#[derive(Clone, Copy, Debug)]
pub struct FailureContext {
    /// The last address that was dialled.
    pub at: Option<SocketAddr>,
    /// Whether any connection was established.
    pub has_connected: bool,
    /// Whether the probe is a gRPC call.
    pub is_grpc: bool,
    /// The state of TLS on the last connection.
    pub tls: TlsState,
    /// Whether the connection goes to a UNIX socket.
    pub is_unix: bool,
    /// Whether the certificate must have the name of the server.
    pub verifies_name: bool,
}

/// The state of TLS on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsState {
    /// No TLS.
    Plaintext,
    /// The handshake began and did not finish.
    Handshaking,
    /// The handshake finished.
    Established,
}

impl FailureContext {
    /// The advice for this state, where it differs from the general advice on the failure.
    pub fn specific_advice(self, failure: Failure) -> Option<&'static str> {
        use TlsState::{Established, Handshaking, Plaintext};
        let text = match (failure, self.tls, self.is_grpc) {
            (Failure::ConnectionRefused, ..) if self.is_unix => {
                "nothing listens on the socket; is the app up, is the path right?"
            }
            (Failure::ConnectDenied, ..) if self.is_unix => {
                "this user may not connect to the socket; is it writable for the user, are its directories executable?"
            }
            (Failure::WrongIdentity, ..) if self.verifies_name => {
                "the app's certificate does not have the name of the server; is it another one (--server-name), or a \
                 SPIFFE ID (--expect-id)?"
            }
            (Failure::ConnectionRefused, ..) if self.is_loopback() => {
                "nothing listens on port {port} of {ip}; is the app up, does it listen on the pod's address only?"
            }
            (Failure::Reset, Handshaking, _) => {
                "the connection was reset in the TLS handshake; is {port} a port of the app that speaks TLS, \
                 does it require a client certificate, or another one (--cert and --key)?"
            }
            (Failure::Reset, Established, _) => {
                "the connection was reset after the TLS handshake; what does the app's log say, \
                 does it require a client certificate, or another one (--cert and --key)?"
            }
            (Failure::Reset, Plaintext, true) => {
                "the connection, or the call, was reset; does port {port} require TLS (grpcs://), \
                 is there a proxy in front of the app?"
            }
            (Failure::ClosedEarly, Handshaking, _) => {
                "the connection was closed in the TLS handshake; is {port} a port of the app that speaks TLS, \
                 does it require a client certificate, or another one (--cert and --key)?"
            }
            (Failure::ClosedEarly, Established, _) => {
                "the connection was closed after the TLS handshake and without an answer; what does the app's \
                 log say, does it require a client certificate, or another one (--cert and --key)?"
            }
            (Failure::ClosedEarly, Plaintext, true) => {
                "the connection was closed without an answer; does port {port} require TLS (grpcs://), \
                 is it the app's gRPC port?"
            }
            (Failure::MalformedResponse, _, true) => {
                "the response is not valid HTTP/2; is {port} the app's gRPC port?"
            }
            (Failure::TlsRequired, _, true) => {
                "port {port} answered in TLS; use grpcs://, and `mode: TLS` in the prober"
            }
            (Failure::PlainHttp, _, true) => {
                "port {port} answered in plaintext; use grpc://, and no `mode: TLS` in the prober"
            }
            (Failure::NotTls, _, true) => {
                "the response is not TLS; if gRPC is plaintext there, use grpc://, and no `mode: TLS` in the prober; \
                 is {port} the right port?"
            }
            (Failure::DeadlineExceeded, Handshaking, _) if self.has_connected => {
                "port {port} accepted the connection, but the TLS handshake did not finish in time; is the app hung, \
                 or slower than --timeout?"
            }
            (Failure::DeadlineExceeded, _, true) if self.has_connected => {
                "port {port} accepted the connection, but no complete response arrived in time; is the app hung, \
                 or slower than --timeout?"
            }
            (Failure::DeadlineExceeded, _, false) if self.has_connected => {
                "port {port} accepted the connection, but no complete response head arrived in time; is the app hung, \
                 or slower than --timeout?"
            }
            _ => return None,
        };
        Some(text)
    }

    fn is_loopback(self) -> bool {
        self.at.is_some_and(|at| at.ip().is_loopback())
    }
}
