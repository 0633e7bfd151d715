//! Ports where TLS connections of allowed peers end. Their data is passed to the app in plaintext, in both directions.
//!
//! A connection is admitted twice: for its handshake, and, once its peer is authorized, for the rest of its life. So peers
//! without an allowed identity take nothing from those that have one.

mod accept;
mod bulk;
mod handshake;
mod port;
mod queue;
mod relay;
mod result;

pub use accept::{InboundListener, accept_loop};
pub use port::InboundTables;
pub use result::{InboundObserver, InboundResult};
