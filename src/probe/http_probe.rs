//! An HTTP probe, and the memory that it needs.

use core::net::IpAddr;
use std::time::Instant;

use super::RequestOrigin;
use crate::config::HttpGet;
use crate::limits;
use crate::wire::h2;
use crate::wire::request::RequestHead;

/// The request that kubelet sent, and the prober that its path selects.
pub struct HttpProbe<'a> {
    /// The request head of kubelet.
    pub head: &'a RequestHead,
    /// The buffer of `head`.
    pub buf: &'a [u8],
    /// The prober.
    pub http_get: &'a HttpGet,
    /// The app's address.
    pub target: IpAddr,
    /// The URL that the request was sent to.
    pub origin: RequestOrigin<'a>,
    /// Whether this is a lifecycle hook: kubelet uses another client for hooks.
    pub is_hook: bool,
    /// Deadline of the outcome; a hook has none.
    pub deadline: Option<Instant>,
}

/// Memory for redirects: what one request passes to the next.
pub struct RedirectSpace<'a> {
    /// The request-target of this request.
    pub request_target: &'a mut [u8],
    /// The request-target of the next.
    pub next_request_target: &'a mut [u8],
    /// The URL of the previous request.
    pub referer: &'a mut [u8],
    /// Name and password in this request's URL.
    pub credentials: &'a mut [u8],
}

/// Bytes that a probe needs: for HTTP/2, for a `Location` and for the request that it leads to. The kernel provides
/// pages as they are first used; a slot is a multiple of every page size.
pub const PROBE_BYTES: usize = HTTP2_BYTES + 6 * limits::LOCATION_BYTES;

/// Memory of an HTTP/2 exchange, rounded up to such a multiple.
pub(super) const HTTP2_BYTES: usize = 64 * 1024;
const _: () = assert!(h2::H2_BYTES <= HTTP2_BYTES);

impl<'a> RedirectSpace<'a> {
    /// Splits a slot's memory: the buffer for the `Location` of a response, and the rest.
    pub(super) fn of(bytes: &'a mut [u8]) -> (&'a mut [u8], RedirectSpace<'a>) {
        let (referer, bytes) = bytes.split_at_mut(2 * limits::LOCATION_BYTES);
        let mut parts = bytes.chunks_mut(limits::LOCATION_BYTES);
        let mut part = || parts.next().unwrap_or_default();
        let location = part();
        let space = RedirectSpace {
            request_target: part(),
            next_request_target: part(),
            referer,
            credentials: part(),
        };
        (location, space)
    }
}
