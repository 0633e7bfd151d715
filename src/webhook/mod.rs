//! The admission webhook: the API server sends a review of each new pod over TLS, and gets the edits of `inject` as a
//! JSON Patch.
//!
//! | file           | contents |
//! |----------------|----------|
//! | `review`       | answers one AdmissionReview; pure |
//! | `request_head`, `chunked`, `response`, `http_error` | HTTP/1.1: bytes to typed values and back; pure |
//! | `handler`      | one request: head, body, response |
//! | `connection`   | one connection: handshake, then its requests in turn |
//! | `connection_table` | all connections: their number, and which one is evicted |
//! | `io`           | reads and writes with deadlines |
//! | `server`, `server_state` | start, accept, graceful shutdown; the state that connections share |
//! | `serving_cert`, `validity` | the serving certificate, reloaded when its files change |
//! | `self_signed`, `secret_cert_store` | a self-signed certificate, shared by replicas in a Secret |
//! | `api_client`   | requests to the API server |
//! | `refresher`    | refreshes the self-signed certificate and the cluster's version |
//! | `options`      | the options from the command line, and errors that prevent the start |
//! | `settings`     | flags and the mounted ConfigMap |
//! | `metrics`      | counters and their page |
//!
//! One thread. Every pod is allowed: one that cannot be injected gets a warning instead of a patch, and its probes work as
//! they would without the webhook.

mod api_client;
mod chunked;
mod connection;
mod connection_table;
mod handler;
mod http_error;
mod io;
mod metrics;
mod options;
mod refresher;
mod request_head;
mod response;
mod review;
mod secret_cert_store;
mod self_signed;
mod server;
mod server_state;
mod serving_cert;
mod settings;
mod validity;

// The two parsers of untrusted bytes, for the fuzzer.
#[doc(hidden)]
pub use chunked::ChunkedDecoder;
#[doc(hidden)]
pub use request_head::parse_request_head;

pub use options::{ApiServer, CertSource, Options, SelfSignedNames, StartError};
pub use review::{Outcome, ReviewError, ReviewResult, review};
pub use server::run;
