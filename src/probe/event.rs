//! The steps of a probe, for an observer.

use core::net::SocketAddr;

use crate::net::tls::TlsStream;
use crate::wire::upstream::UpstreamRequest;

/// A step of a probe. A followed redirect starts over with [`Event::Dialling`].
pub enum Event<'e> {
    /// A connection begins.
    Dialling(SocketAddr),
    /// The connection is established.
    Connected,
    /// The TLS handshake begins.
    HandshakeBegun,
    /// The TLS handshake is complete.
    Secured(&'e TlsStream),
    /// This request is sent.
    Sending(UpstreamRequest<'e>),
    /// Bytes of the response head came.
    FirstByte,
    /// The response is a redirect that is followed.
    Redirected {
        /// Its status code.
        status: u16,
        /// Its `Location`.
        location: &'e [u8],
    },
}

/// Observes a probe.
pub trait Observer {
    /// Is called at each step. It must not block.
    fn on(&self, event: Event<'_>);
}
