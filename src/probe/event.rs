//! The steps of a probe, for an observer.

use core::net::SocketAddr;

use crate::net::tls::TlsStream;
use crate::wire::upstream::UpstreamRequest;

/// A step of a probe. A retry, and the request that a redirect leads to, start over with [`Event::Connecting`].
pub enum Event<'e> {
    /// The connection to this address is started.
    Connecting(SocketAddr),
    /// The connection is established.
    Connected,
    /// The TLS handshake is started.
    TlsHandshakeStarted,
    /// The TLS handshake is complete.
    TlsHandshakeDone(&'e TlsStream),
    /// The app's SETTINGS were received: a gRPC call may be sent.
    Http2Ready,
    /// This request is sent.
    RequestStarted(UpstreamRequest<'e>),
    /// Bytes of the response head were received; over HTTP/2, the head is complete. Sent once or more for each
    /// response.
    ResponseStarted,
    /// The health service reported this status (`HealthCheckResponse.ServingStatus`).
    HealthStatus(i32),
    /// The response is a redirect, and it is followed.
    RedirectFollowed {
        /// Its status code.
        status: u16,
        /// Its `Location`.
        location: &'e [u8],
    },
}

/// Observes a probe.
pub trait Observer {
    /// Called at each step. Must not block.
    fn on_event(&self, event: Event<'_>);
}
