//! The results of inbound connections, for logs and metrics.

use core::net::IpAddr;

use crate::forward::{AcceptObserver, Sender};
use crate::net::{StreamError, TlsFault};
use crate::probe::Failure;

/// The result of an inbound connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundResult {
    /// TLS was established and the app was reached.
    Served,
    /// A permissive port passed a plaintext connection to the app.
    Plaintext,
    /// The identity of the peer is not allowed.
    NotAllowed,
    /// The app was not reached; the client was reset.
    AppUnreachable(Failure),
    /// The connection was reset for a new one before it was passed to the app.
    Evicted,
    /// There are too many connections, and none may be evicted; the new client was reset.
    LimitReached,
    /// Too many connections wait for their handshakes, most of them of the client's network; it was reset.
    HandshakeLimitReached,
    /// The handshake took too long.
    HandshakeTimeout,
    /// The handshake has more bytes than are accepted: the client's certificate chain is too long.
    HandshakeTooLong,
    /// The handshake failed, or the client ended it.
    HandshakeFailed(Failure),
    /// Client and server have no application protocol in common.
    NoCommonProtocol,
}

impl InboundResult {
    /// The result of a failed handshake.
    pub(super) fn of_error(error: StreamError) -> InboundResult {
        /// The alert `no_application_protocol` (RFC 7301 section 3.2).
        const NO_APPLICATION_PROTOCOL: u8 = 120;
        match error {
            StreamError::Tls(TlsFault::WrongIdentity) => InboundResult::NotAllowed,
            StreamError::Tls(TlsFault::TimedOut) => InboundResult::HandshakeTimeout,
            StreamError::Tls(TlsFault::HandshakeTooLong) => InboundResult::HandshakeTooLong,
            StreamError::Tls(TlsFault::Alert(NO_APPLICATION_PROTOCOL)) => {
                InboundResult::NoCommonProtocol
            }
            error => InboundResult::HandshakeFailed(error.into()),
        }
    }

    /// The values of `result` that are not those of a [`Failure`].
    const LABELS: [&'static str; 10] = [
        "served",
        "plaintext",
        "not_allowed",
        "app_unreachable",
        "evicted",
        "limit_reached",
        "handshake_timeout",
        "no_common_protocol",
        "handshake_too_long",
        "handshake_limit_reached",
    ];

    /// Number of values of `result`.
    pub const LABEL_COUNT: usize = Self::LABELS.len() + Failure::ALL.len();

    /// The number of the value of `result`.
    pub fn label_index(self) -> usize {
        match self {
            InboundResult::Served => 0,
            InboundResult::Plaintext => 1,
            InboundResult::NotAllowed => 2,
            InboundResult::AppUnreachable(_) => 3,
            InboundResult::Evicted => 4,
            InboundResult::LimitReached => 5,
            InboundResult::HandshakeTimeout => 6,
            InboundResult::NoCommonProtocol => 7,
            InboundResult::HandshakeTooLong => 8,
            InboundResult::HandshakeLimitReached => 9,
            InboundResult::HandshakeFailed(failure) => Self::LABELS.len() + failure as usize,
        }
    }

    /// The value of `result` that has this number.
    pub fn label(index: usize) -> &'static str {
        match Self::LABELS.get(index) {
            Some(label) => label,
            None => Failure::ALL[index - Self::LABELS.len()].as_str(),
        }
    }

    /// The value of `result` in metrics, and of `reason` in log lines.
    pub fn as_str(self) -> &'static str {
        Self::label(self.label_index())
    }
}

/// Observes the connections of all inbound ports; `index` is the port's number.
pub trait InboundObserver: AcceptObserver {
    /// A connection was accepted.
    fn opened(&self, index: usize);
    /// A connection that was accepted is closed.
    fn closed(&self, index: usize);
    /// The result of a connection of `peer`. `id` is the peer's identity, if it was refused.
    fn decided(&self, index: usize, peer: IpAddr, result: InboundResult, id: Option<&str>);
    /// A connection that was passed to the app was reset for a new one.
    fn evicted(&self, index: usize, peer: IpAddr);
    /// Data of `sender` was passed on.
    fn passed(&self, index: usize, sender: Sender, bytes: usize);
}
