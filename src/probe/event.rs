//! How far a probe has come, for whoever watches one.

use core::net::SocketAddr;

use crate::net::tls::TlsStream;
use crate::wire::upstream::UpstreamRequest;

/// A step of a probe. A followed redirect begins again with [`Event::Dialling`].
pub enum Event<'e> {
    /// A connection begins.
    Dialling(SocketAddr),
    /// It stands.
    Connected,
    /// TLS begins on it.
    Securing,
    /// TLS stands on it.
    Secured(&'e TlsStream),
    /// This goes out.
    Sending(UpstreamRequest<'e>),
    /// Bytes of the head came.
    Came,
    /// The head led on.
    Redirected {
        /// Its code.
        status: u16,
        /// Its `Location`.
        location: &'e [u8],
    },
}

/// Watches a probe.
pub trait Observer {
    /// Is called at each step, and must not wait.
    fn on(&self, event: Event<'_>);
}
