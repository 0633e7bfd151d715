//! The parts of Go's `net/url` that kubelet's behaviour depends on, over bytes: the request-target of a prober's path,
//! and the resolution of a `Location`.

mod absolute;
mod escape;
mod redirect;
mod reference;
mod request_target;
mod scheme;
mod target_buffer;

pub use absolute::{AbsoluteUrl, parse_absolute};
pub use escape::{unescape, unescape_valid};
pub use redirect::{
    BadLocation, Base, Redirect, Resolved, UserInfo, decode_credentials, leads_to_other_host,
    resolve_location,
};
pub use request_target::{BadPath, request_target};
pub use scheme::Scheme;

#[cfg(test)]
mod facts;
#[cfg(test)]
mod tests;
