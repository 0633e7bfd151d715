//! The head that kubelet would have asked the agent with.

use crate::limits::REQUEST_HEAD_BYTES;
use crate::wire::request::{RequestHead, RequestParser};

/// kubelet's own, as its prober sends it.
pub const USER_AGENT: &str = "kube-probe/1.37";

/// What stands before and after the `User-Agent`. It names no host, so the URL's is what is sent.
const BEFORE: &str = "GET / HTTP/1.0\r\nUser-Agent: ";
const AFTER: &str = "\r\nAccept: */*\r\nConnection: close\r\n\r\n";

/// Bytes of the longest `User-Agent` that leaves the head as long as the agent takes one.
pub const AGENT_BYTES: usize = REQUEST_HEAD_BYTES - BEFORE.len() - AFTER.len();

/// A head, and the bytes it stands in.
#[derive(Debug)]
pub struct SyntheticRequest {
    /// Where its parts are.
    pub head: RequestHead,
    /// All of it.
    pub bytes: Box<[u8]>,
}

impl SyntheticRequest {
    /// By whom; nothing when that is longer than `AGENT_BYTES`.
    pub fn new(user_agent: &str) -> Option<SyntheticRequest> {
        let bytes = [BEFORE, user_agent, AFTER].concat().into_bytes();
        let head = RequestParser::new().parse(&bytes).ok().flatten()?;
        let bytes = bytes.into();
        Some(SyntheticRequest { head, bytes })
    }
}
