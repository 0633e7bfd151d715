//! Ports whose connections are passed to a target byte by byte, in both directions. Each forward has connections of its
//! own, separate from the slots of probes.

mod accept;
mod connections;
mod eviction;
mod relay;

pub use accept::{ForwardListener, ForwardObserver, accept_loop};
pub use connections::ForwardConnections;
