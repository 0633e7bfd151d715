//! Validates settings and the probers' JSON, and converts them to typed tables. All of their errors are found here,
//! before anything is bound, and nothing in this layer changes once the agent runs. It opens no sockets and reads no
//! environment, certificates or keys: it returns paths.

mod allow_from;
mod checks;
mod expect;
pub(crate) mod flags;
pub(crate) mod headers;
mod inbound;
mod json;
mod listen;
mod members;
mod own_members;
mod peer_id;
mod port_mapping;
mod probe_handler;
mod prober_input;
mod probers;
mod probers_error;
mod resolve;
mod settings;
mod settings_error;
mod tls;
mod unknown_member;

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use crate::telemetry::LogSettings;
pub use crate::wire::header::Header;
pub use crate::wire::url::Scheme;
pub use allow_from::{AllowFrom, Cidr};
pub use expect::{BodySearch, BodyText, Expect, StatusList};
pub use inbound::{Inbound, InboundMode};
#[cfg(feature = "inject-library")]
pub(crate) use listen::parse_port;
pub use peer_id::{AllowedIds, IdPattern};
pub use probers_error::{ProbersError, Problem, Rule};
#[cfg(feature = "inject-library")]
pub(crate) use resolve::validate;
pub(crate) use settings::DEFAULT_STATUS_PORT;
pub use settings::{RawSettings, SettingValue};
#[cfg(feature = "inject")]
pub(crate) use settings::{parse_log_format, parse_log_level, parse_shutdown_delay};
pub use settings_error::{ConfigError, FileSetting, SettingRule};
pub use tls::{ClientCert, IdentitySettings, TlsSettings, TrustAnchors, is_spiffe_id};

/// The validated configuration of the agent.
#[derive(Debug)]
pub struct Config {
    /// Where the status port listens.
    pub status: Listen,
    /// The app's address.
    pub target: IpAddr,
    /// The source address of probes, to bypass interception.
    pub source: Option<IpAddr>,
    /// What to probe, by path of the status port.
    pub probers: Probers,
    /// Forwarded ports.
    pub forwards: Vec<Forward>,
    /// Ports that terminate mutual TLS.
    pub inbounds: Vec<Inbound>,
    /// The peers that the status port, the forwards and the inbound ports answer.
    pub allow_from: AllowFrom,
    /// Subtracted from `timeoutSeconds`, so that the answer arrives before kubelet's timeout.
    pub deadline_margin: Duration,
    /// How long to keep serving after SIGTERM, at most until the app has stopped.
    pub shutdown_delay: Duration,
    /// Level and format of the log.
    pub log: LogSettings,
    /// Bounds of memory and descriptors.
    pub capacity: Capacity,
    /// Files and identities of TLS. Boxed, because the agent keeps the configuration and uses this only at start-up.
    pub tls: Box<TlsSettings>,
}

/// A port and an address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address; `None` for all, IPv6 and IPv4.
    pub addr: Option<IpAddr>,
    /// The port, 1 to 65535.
    pub port: u16,
}

/// One `--forward LISTEN=TARGET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The listener.
    pub listen: Listen,
    /// The target of the connections.
    pub target: SocketAddr,
}

/// Capacities: those of `limits`, or those set by flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Probers of the table, hooks included.
    pub probers: usize,
    /// Connections of each forward.
    pub forward_connections: usize,
    /// Connections of all inbound ports.
    pub inbound_connections: usize,
}

/// The table of `ISTIO_KUBE_APP_PROBERS`, sorted by path.
#[derive(Debug, Default)]
pub struct Probers(Box<[Prober]>);

/// One entry of the table.
#[derive(Debug)]
pub struct Prober {
    /// The key: the path of the status port, such as `/app-health/web/livez`.
    pub path: Box<str>,
    /// Whether this is a lifecycle hook: without deadline, and with a status code that kubelet ignores.
    pub is_hook: bool,
    /// `timeoutSeconds`, before the margin is subtracted.
    pub timeout: Duration,
    /// Its handler, or those of `"all"`, which run one after another within one deadline.
    pub handlers: Box<[ProbeHandler]>,
}

/// One probe of the app.
#[derive(Debug)]
pub struct ProbeHandler {
    /// `"target"`: the loopback address to probe instead of the app's.
    pub loopback: Option<IpAddr>,
    /// `"target": "localhost"`: whether ::1 is probed as well, if `loopback` refuses the connection.
    pub tries_ip6: bool,
    /// The kind of probe.
    pub action: Action,
}

/// The kind of a probe.
#[derive(Debug)]
pub enum Action {
    /// `httpGet`
    Http(HttpGet),
    /// `tcpSocket`
    Tcp {
        /// The port to connect to.
        port: u16,
    },
    /// `grpc`
    Grpc {
        /// The port of the app.
        port: u16,
        /// The service to check; empty for the server as a whole.
        service: Box<str>,
        /// `mode: TLS` (KEP-4939).
        tls: bool,
    },
}

impl ProbeHandler {
    /// The address and port to probe. `app` is the app's address.
    pub fn target(&self, app: IpAddr) -> SocketAddr {
        SocketAddr::new(self.loopback.unwrap_or(app), self.action.port())
    }

    /// The address and port to probe if [`target`](Self::target) refuses the connection.
    pub fn second_target(&self) -> Option<SocketAddr> {
        let ip6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), self.action.port());
        self.tries_ip6.then_some(ip6)
    }

    /// All addresses and ports to probe.
    pub fn targets(&self, app: IpAddr) -> impl Iterator<Item = SocketAddr> + use<> {
        [Some(self.target(app)), self.second_target()]
            .into_iter()
            .flatten()
    }
}

impl Action {
    /// The app's port.
    pub fn port(&self) -> u16 {
        match self {
            Action::Http(get) => get.port,
            Action::Tcp { port } | Action::Grpc { port, .. } => *port,
        }
    }

    /// Whether the first connection uses TLS.
    pub fn needs_tls(&self) -> bool {
        match self {
            Action::Http(get) => get.scheme == Scheme::Https,
            Action::Grpc { tls, .. } => *tls,
            Action::Tcp { .. } => false,
        }
    }

    /// The JSON member with the port.
    pub fn port_field(&self) -> &'static str {
        match self {
            Action::Http(_) => "httpGet.port",
            Action::Tcp { .. } => "tcpSocket.port",
            Action::Grpc { .. } => "grpc.port",
        }
    }
}

/// An `httpGet` prober.
#[derive(Debug)]
pub struct HttpGet {
    /// `HTTP` or `HTTPS`.
    pub scheme: Scheme,
    /// `HTTP1` or `HTTP2`.
    pub protocol: Protocol,
    /// The app's port.
    pub port: u16,
    /// Path and query as kubelet sends them (origin-form, RFC 9112 section 3.2.1).
    pub request_target: Box<str>,
    /// The first `Host` of `httpHeaders`, if there is one.
    pub host: Option<Box<str>>,
    /// The other `httpHeaders`, in the order in which kubelet sends them, without
    /// [`UNSENT_FIELDS`](crate::wire::fields): `Proxy-Authorization` is sent, `Proxy-Connection` is not.
    pub headers: Box<[Header]>,
    /// Whether redirects are followed as kubelet follows them; not with `"redirects": "none"`.
    pub follows_redirects: bool,
    /// `"expect"`: the response that counts as a success in place of kubelet's.
    pub expect: Option<Box<Expect>>,
}

/// `protocol` of an `httpGet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `HTTP1`, the default.
    Http1,
    /// `HTTP2`: over plaintext with prior knowledge (KEP-5999).
    Http2,
}

impl Probers {
    /// All entries, sorted by path.
    pub fn iter(&self) -> core::slice::Iter<'_, Prober> {
        self.0.iter()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entry of this number, in the order of [`Probers::iter`].
    pub fn get(&self, index: usize) -> &Prober {
        &self.0[index]
    }

    /// The entry of exactly this path (without query), and its index.
    pub fn find(&self, path: &[u8]) -> Option<(usize, &Prober)> {
        let index = self
            .0
            .binary_search_by(|prober| prober.path.as_bytes().cmp(path))
            .ok()?;
        Some((index, &self.0[index]))
    }
}
