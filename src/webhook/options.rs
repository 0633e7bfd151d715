//! Options of the webhook.

use crate::config::Listen;
use crate::inject::values::Values;
use crate::telemetry::LogSettings;
use core::time::Duration;

/// The options of the webhook.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address and port. Port 0 selects a free port; `msg=listening` logs it.
    pub listen: Listen,
    /// The source of the serving certificate.
    pub certificate: CertSource,
    /// File of the CA certificates of the clients that may send reviews; all clients may if there is none.
    pub client_ca_path: Option<Box<str>>,
    /// The flags for all pods, which override the ConfigMap. If neither selects a kind of sidecar, the cluster's version
    /// does.
    pub flags: Values,
    /// The file with the ConfigMap's `values`, or the directory where the ConfigMap is mounted.
    pub config: Option<Box<str>>,
    /// The MutatingWebhookConfiguration of the webhook.
    pub webhook_configuration: Box<str>,
    /// What to do about pods that should be injected and are not.
    pub not_injected_pods: NotInjectedPods,
    /// The API server, if it is not the one in the pod's environment.
    pub api_server: ApiServer,
    /// Level and format of the log.
    pub log: LogSettings,
    /// Keep serving for this long after SIGTERM, until clients no longer have this endpoint.
    pub shutdown_delay: Duration,
}

/// The source of the serving certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertSource {
    /// Files that are reloaded when they change.
    Files {
        /// File of the certificate, followed by its intermediates.
        certificate_path: Box<str>,
        /// File of its private key.
        key_path: Box<str>,
    },
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
}

/// What to do about pods that should be injected and are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInjectedPods {
    /// Nothing: they are not searched.
    Ignore,
    /// Find them, and write an Event on each.
    Find,
    /// Also evict those that are unhealthy, if their owner creates others.
    Repair,
}

/// The API server and the credentials for it. Absent members come from the pod's service account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiServer {
    /// `https://HOST:PORT`
    pub url: Option<Box<str>>,
    /// File of the CA certificates that verify its certificate.
    pub ca_path: Option<Box<str>>,
    /// File of the bearer token.
    pub token_path: Option<Box<str>>,
}
