//! Ports whose connections are passed to a target in both directions: byte by byte, or, for inbound ports, after their TLS
//! has ended here. Their connections are separate from the slots of probes.

mod accept;
mod connections;
mod eviction;
#[cfg(feature = "tls")]
pub mod inbound;
mod relay;

pub use accept::{AcceptObserver, ForwardListener, ForwardObserver, accept_loop};
pub use connections::{ConnectionTable, Sender};
