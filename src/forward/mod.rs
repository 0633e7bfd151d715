//! Ports whose connections are passed to a target byte by byte, in both directions. Their permits are separate
//! from the slots of probes.

mod accept;
mod permits;
mod relay;

pub use accept::{ForwardListener, ForwardObserver, accept_loop};
pub use permits::{ForwardPermits, ForwardShares};
