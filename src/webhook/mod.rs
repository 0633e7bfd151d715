//! The admission webhook: the API server sends a review of each new pod over TLS, and receives the edits of `inject` as
//! a JSON Patch.
//!
//! | file           | contents |
//! |----------------|----------|
//! | `review`       | answers one AdmissionReview; pure |
//! | `request_head`, `chunked`, `response`, `http_error` | HTTP/1.1: bytes to typed values and back; pure |
//! | `handler`      | one request: head, body, response |
//! | `connection`   | one connection: handshake, then its requests in turn |
//! | `connection_table` | all connections: their number, and which one is evicted |
//! | `handshake_permits` | permits of TLS handshakes, and which handshake is evicted |
//! | `body_memory`  | the memory of bodies and responses, and which one is evicted |
//! | `turns`        | the order of handshakes and reviews |
//! | `stream_io`    | reads and writes with deadlines |
//! | `server`, `server_state` | start, accept, graceful shutdown; the state that connections share |
//! | `serving_cert` | the serving certificate, reloaded when its files change |
//! | `client_ca`    | the CAs of `--client-ca`, reloaded when their file changes |
//! | `cluster`      | what the webhook lists: nodes, namespaces, LimitRanges, ResourceQuotas, and pods that are not injected |
//! | `self_signed`, `secret_cert_store` | a self-signed certificate, shared by replicas in a Secret |
//! | `ca_bundle`    | the CAs of all certificates that replicas may serve |
//! | `api_client`   | requests to the API server |
//! | `refresher`    | refreshes the self-signed certificate and the cluster's version |
//! | `poll_timer`   | how often files are polled for changes |
//! | `options`      | the options from the command line |
//! | `settings`     | flags and the mounted ConfigMap |
//! | `metrics`      | counters and their page |
//!
//! One thread. Each valid review allows its pod: a pod that cannot be injected gets a warning instead of a patch, and its
//! probes are unchanged. A review that is malformed, too large or too late gets an HTTP error, and the webhook's
//! `failurePolicy` decides.

mod api_client;
mod body_memory;
mod ca_bundle;
mod chunked;
mod client_ca;
mod cluster;
mod connection;
mod connection_table;
mod handler;
mod handshake_permits;
mod http_error;
mod metrics;
mod options;
mod poll_timer;
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
mod stream_io;
mod turns;

// The two parsers of untrusted bytes, for the fuzzer.
#[doc(hidden)]
pub use chunked::ChunkedDecoder;
#[doc(hidden)]
pub use request_head::parse_request_head;

pub use api_client::ApiError;
pub use options::{ApiServer, CertSource, NotInjectedPods, Options, SelfSignedNames};
pub use review::{Outcome, ReviewError, ReviewResult, review};
pub use server::{StartError, run};
pub use settings::{ValuesFileError, ValuesFileReason};
