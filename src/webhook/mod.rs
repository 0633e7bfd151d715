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
//! | `settings`     | flags and the mounted ConfigMap |
//! | `metrics`      | counters and their page |
//!
//! One thread. Every pod is allowed: one that cannot be injected comes back without a patch and with a warning, and its
//! probes work as they would without the webhook.

mod api_client;
mod chunked;
mod connection;
mod connection_table;
mod handler;
mod http_error;
mod io;
mod metrics;
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

pub use review::{Outcome, ReviewError, Reviewed, review};
pub use server::run;

use crate::config::Listen;
use crate::inject::values::Values;
use crate::telemetry::LogSettings;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

/// The options of the webhook.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address and port; port 0 is any free one, which the log has.
    pub listen: Listen,
    /// The source of the serving certificate.
    pub certificate: CertSource,
    /// The flags for all pods, which override the ConfigMap. If neither selects a kind of sidecar, the cluster's version
    /// does.
    pub flags: Values,
    /// The file with the ConfigMap's `values`, or the directory where the ConfigMap is mounted.
    pub config: Option<Box<str>>,
    /// The API server, if it is not the one in the pod's environment.
    pub api_server: ApiServer,
    /// Level and format of the log.
    pub log: LogSettings,
    /// Keep serving for this long after SIGTERM, until no endpoint leads here.
    pub shutdown_delay: Duration,
}

/// The source of the serving certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertSource {
    /// Files of the certificate, followed by its intermediates, and of its key. They are reloaded when they change.
    Files([Box<str>; 2]),
    /// Generated, stored in a Secret, and its CA published in the webhook's configuration.
    SelfSigned(SelfSignedNames),
}

/// The objects that a self-signed certificate needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfSignedNames {
    /// The Service of the webhook.
    pub service: Box<str>,
    /// The namespace of Service and Secret; the pod's own by default.
    pub namespace: Option<Box<str>>,
    /// The Secret.
    pub secret: Box<str>,
    /// The MutatingWebhookConfiguration.
    pub webhook: Box<str>,
}

/// The API server and the credentials for it. What is absent is the pod's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiServer {
    /// `https://HOST:PORT`
    pub url: Option<Box<str>>,
    /// File of the CA certificates that verify its certificate.
    pub ca: Option<Box<str>>,
    /// File of the bearer token.
    pub token: Option<Box<str>>,
}

/// Why serving could not begin.
#[derive(Debug)]
pub enum Error {
    /// The kernel refused a resource, which is named.
    Kernel(&'static str, std::io::Error),
    /// The listener could not be bound.
    Bind(SocketAddr, std::io::Error),
    /// The certificate or its key cannot be used: path and reason.
    Certificate(Box<str>),
    /// The ConfigMap's `values` cannot be used: path and reason.
    Values(Box<str>),
    /// There is no usable API server for a self-signed certificate: why.
    Api(Box<str>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Kernel(what, error) => write!(f, "{what}: {error}"),
            Error::Bind(addr, error) if error.kind() == std::io::ErrorKind::AddrInUse => write!(
                f,
                "{addr} is in use by another process: free it or choose another port"
            ),
            Error::Bind(addr, error) => write!(f, "cannot listen on {addr}: {error}"),
            Error::Certificate(why) | Error::Values(why) | Error::Api(why) => f.write_str(why),
        }
    }
}
