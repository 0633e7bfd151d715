//! Bytes to typed values and back: HTTP/1.1, HTTP/2, HPACK and gRPC's health messages. No I/O, no clock. Nothing
//! allocates but values that are built once from the configuration.
//!
//! Requests are parsed strictly (RFC 9112), because anyone can reach the status port. Responses are parsed as Go's
//! `net/http` does, because kubelet's prober defines whether an app is healthy.

pub mod body;
mod chunked;
pub(crate) mod class;
mod field_lines;
pub mod fields;
pub mod h2;
pub mod header;
pub mod health;
pub mod hpack;
pub mod output_slice;
pub mod request;
pub mod response;
pub mod response_writer;
pub mod upstream;
mod upstream_h2;
pub mod url;
