//! Ports whose connections are passed to a target byte by byte, in both directions. Their permits are separate
//! from the slots of probes.

mod permits;
mod relay;
mod serve;

pub use permits::ForwardPermits;
pub use serve::{Entry, Observer, serve};
