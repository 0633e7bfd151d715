//! Bytes to typed values and back: HTTP/1.1, HTTP/2, HPACK and gRPC's health messages. No I/O, no clock; only
//! what is made once from the configuration allocates.
//!
//! Requests may come from anyone who reaches the status port, so they are parsed strictly (RFC 9112). Responses
//! come from the app, whose health kubelet's prober defines, so they are parsed as leniently as Go's `net/http`.

pub mod answer;
pub mod body;
mod chunked;
pub(crate) mod class;
mod field_lines;
pub mod fields;
pub mod h2;
pub mod health;
pub mod hpack;
pub mod output_slice;
pub mod request;
pub mod response;
pub mod upstream;
mod upstream_h2;
pub mod url;

pub use answer::{ANSWER_BYTES, AnswerBody, write_answer};
pub use body::{Body, BodyError, Progress};
pub use output_slice::OutputSlice;
pub use request::{Method, RequestError, RequestHead, RequestParser};
pub use response::{Fed, Framing, Location, ResponseError, ResponseHead, ResponseParser};
pub use upstream::{Header, UpstreamRequest};
