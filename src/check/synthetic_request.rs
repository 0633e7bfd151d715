//! The request that kubelet would have sent to the agent.

use crate::limits::REQUEST_HEAD_BYTES;
use crate::wire::request::{RequestHead, RequestParser};

/// The `User-Agent` of kubelet's prober.
pub const USER_AGENT: &str = "kube-probe/1.37";

/// The head before and after the value of `User-Agent`. Without `Host`, the URL's host is sent.
const BEFORE: &str = "GET / HTTP/1.0\r\nUser-Agent: ";
const AFTER: &str = "\r\nAccept: */*\r\nConnection: close\r\n\r\n";

/// Bytes of the longest `User-Agent` in a head that the agent accepts.
pub const USER_AGENT_BYTES: usize = REQUEST_HEAD_BYTES - BEFORE.len() - AFTER.len();

/// A request head, and the bytes it was parsed from.
#[derive(Debug)]
pub struct SyntheticRequest {
    /// The parsed head.
    pub head: RequestHead,
    /// Its bytes.
    pub bytes: Box<[u8]>,
}

impl SyntheticRequest {
    /// A request with this `User-Agent`, unless it is longer than `USER_AGENT_BYTES`.
    pub fn new(user_agent: &str) -> Option<SyntheticRequest> {
        let bytes = [BEFORE, user_agent, AFTER].concat().into_bytes();
        let head = RequestParser::new().parse(&bytes).ok().flatten()?;
        let bytes = bytes.into();
        Some(SyntheticRequest { head, bytes })
    }
}
