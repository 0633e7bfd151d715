//! The admission webhook: the API server asks it about each new pod, over TLS, and gets the edits that
//! `inject` wants as a JSON Patch.
//!
//! | file           | what it is for |
//! |----------------|----------------|
//! | `review`       | one AdmissionReview to its answer; pure |
//! | `head`, `chunked`, `answer`, `problem` | HTTP/1.1: bytes to typed values and back |
//! | `stream`, `exchange` | one request of a connection: head, body, answer |
//! | `connection`   | handshake, then request after request |
//! | `places`       | how many connections there are at once |
//! | `server`, `shared` | start, accept, drain, and what all connections share |
//! | `serving_cert`, `validity` | the serving certificate, read again when its files change |
//! | `self_signed`, `share` | a CA of our own, shared by replicas in a Secret |
//! | `api` | the API server as a client sees it |
//! | `keeper`       | looks at both again and again |
//! | `settings`     | flags and the mounted ConfigMap |
//! | `metrics`      | counters and their page |
//!
//! One thread. A pod is never refused: what cannot be injected comes back unpatched, with the reason as a
//! warning, and the kubelet's probes of it fail or pass as they would have without us.

mod answer;
mod api;
mod chunked;
mod connection;
mod exchange;
mod head;
mod keeper;
mod metrics;
mod places;
mod problem;
mod review;
mod self_signed;
mod server;
mod serving_cert;
mod settings;
mod share;
mod shared;
mod stream;
mod validity;

// The two parsers that whoever reaches the port feeds, for the fuzzer.
#[doc(hidden)]
pub use chunked::Chunked;
#[doc(hidden)]
pub use head::parse as parse_head;

pub use review::{Outcome, ReviewError, Reviewed, review};
pub use server::run;

use crate::config::Listen;
use crate::inject::values::Values;
use crate::telemetry::LogSettings;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

/// How the webhook is to be served.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where; port 0 is any that is free, which the log tells.
    pub listen: Listen,
    /// What is shown to the API server.
    pub certificate: Certificate,
    /// What the flags say of pods: it beats the ConfigMap. Where neither names a kind of sidecar, the cluster's
    /// version decides.
    pub flags: Values,
    /// The ConfigMap's `values` as a file, or the directory it is mounted at.
    pub config: Option<Box<str>>,
    /// Where the API server is, if not where a pod finds it.
    pub api: Api,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Serve on for this long after SIGTERM, until nobody is sent here any more.
    pub shutdown_delay: Duration,
}

/// Where the webhook's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Files of the certificate, with its intermediates, and of its key; they are read again when they change.
    Files([Box<str>; 2]),
    /// Made here, kept in a Secret, its CA written into the webhook's configuration.
    SelfSigned(Names),
}

/// The names that a certificate of our own rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Of the Service that leads here.
    pub service: Box<str>,
    /// Of the namespace of Service and Secret; else the pod's own.
    pub namespace: Option<Box<str>>,
    /// Of the Secret.
    pub secret: Box<str>,
    /// Of the MutatingWebhookConfiguration.
    pub webhook: Box<str>,
}

/// Where the API server is, as far as it is said; a pod finds the rest by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Api {
    /// `https://HOST:PORT`
    pub server: Option<Box<str>>,
    /// File of the CA certificates that its certificate must lead to.
    pub ca: Option<Box<str>>,
    /// File of the token that is shown to it.
    pub token: Option<Box<str>>,
}

/// Why the webhook could not begin.
#[derive(Debug)]
pub enum Error {
    /// The kernel refused something that everything rests on.
    Kernel(&'static str, io::Error),
    /// An address could not be listened on.
    Bind(SocketAddr, io::Error),
    /// The certificate or its key cannot be used: the path and why.
    Certificate(Box<str>),
    /// The ConfigMap's `values` cannot be used: the path and why.
    Values(Box<str>),
    /// A certificate of our own needs an API server, which is not there: why.
    Api(Box<str>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Kernel(what, error) => write!(f, "{what}: {error}"),
            Error::Bind(addr, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "{addr} is in use by another process: free it or choose another port"
            ),
            Error::Bind(addr, error) => write!(f, "cannot listen on {addr}: {error}"),
            Error::Certificate(why) | Error::Values(why) | Error::Api(why) => f.write_str(why),
        }
    }
}
