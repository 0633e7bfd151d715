//! The parts of Go's `net/url` that kubelet's behaviour depends on, over bytes: the request-target of a prober's path,
//! and where a `Location` leads.

mod absolute;
mod escape;
mod piece;
mod redirect;
mod reference;
mod request_target;
mod scheme;

pub use absolute::{Absolute, absolute};
pub use redirect::{BadLocation, Base, Redirect, User, credentials, leads_away, resolve};
pub use request_target::{BadPath, request_target};
pub use scheme::Scheme;

#[cfg(test)]
mod facts;
#[cfg(test)]
mod tests;
