//! Bytes to typed values and back: HTTP/1.1 heads, bodies and answers, HTTP/2, gRPC's health messages. No
//! I/O, no clock; parsing allocates nothing, only what is made once from the configuration does.
//!
//! The two sides serve two masters. A request may come from anybody who reaches the status port, so
//! it is read strictly (RFC 9112). A response comes from the app, and the measure of an app's health is
//! kubelet's own prober, so it is read as Go's `net/http` reads it, sloppiness included.

pub mod answer;
pub mod body;
mod chunked;
pub(crate) mod class;
mod field_lines;
pub mod fields;
pub mod h2;
pub mod health;
pub mod hpack;
pub mod request;
pub mod response;
pub mod upstream;
pub mod url;
pub mod window;

pub use answer::{ANSWER_BYTES, AnswerBody, write_answer};
pub use body::{Body, BodyError, Progress};
pub use request::{Method, RequestError, RequestHead, RequestParser};
pub use response::{Fed, Framing, Location, ResponseError, ResponseHead, ResponseParser};
pub use upstream::{Header, UpstreamRequest};
pub use window::Window;
