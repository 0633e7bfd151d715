//! The fault catalogue: the misbehaviour of an app, and the agent's expected response. kubelet's verdict is not part of
//! it: it comes from kubelet's code.

pub mod grpc;
pub mod http1;
pub mod http2;
pub mod tls;

use super::certs::Identity;
use super::connection_scripted_app::{ConnectionScript, ConnectionScriptedApp};
use super::path_scripted_app::{PathScriptedApp, Script, Step};
use super::stream::ServerTls;
use std::any::Any;
use std::sync::LazyLock;

/// The agent's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This code without a body.
    Status(u16),
    /// This code and a truncated body, which makes kubelet report an error.
    BrokenBody(u16),
}

/// The probe's handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `httpGet` of this port.
    Http(u16),
    /// The same over HTTPS.
    Https(u16),
    /// The same with `protocol: HTTP2`.
    Http2(u16),
    /// `grpc` of this port; no service is written as null.
    Grpc(u16, Option<&'static str>, GrpcMode),
    /// `tcpSocket` of this port.
    Tcp(u16),
}

/// `mode` of a `grpc` probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcMode {
    /// The member is absent.
    Plaintext,
    /// `TLS`.
    Tls,
}

impl Target {
    /// The port.
    pub fn port(self) -> u16 {
        match self {
            Target::Http(port) | Target::Https(port) | Target::Http2(port) => port,
            Target::Tcp(port) | Target::Grpc(port, ..) => port,
        }
    }
}

/// One entry of the catalogue.
#[derive(Clone, Debug)]
pub struct FaultCase {
    /// Also the path on the app, and the container's name in the probers' table.
    pub name: String,
    /// The script of the app; empty if the target is scripted elsewhere.
    pub script: Script,
    /// The agent's response.
    pub expected: Expected,
    /// The probed port.
    pub target: Target,
    /// `timeoutSeconds`.
    pub seconds: u32,
    /// The timeout of kubelet's probe of the app itself, without the agent.
    pub direct_seconds: u32,
    /// Whether kubelet's verdict is deterministic, so that it can be compared.
    pub is_compared: bool,
    /// Whether it moves megabytes, for which it has a longer timeout.
    pub is_heavy: bool,
}

impl FaultCase {
    /// A case without a script. Its timeout is 1 s if nothing but the deadline ends it, 2 s if the head has to be in time
    /// and the body must not, and otherwise 5 s: its code does not depend on the timeout, and the machine may be busy.
    /// kubelet's own client is fast enough to read a head within 1 s.
    pub fn new(name: &str, target: Target, expected: Expected) -> Self {
        let (seconds, direct_seconds) = match expected {
            Expected::Status(504) => (1, 1),
            _ if has_late_body(name) => (2, 1),
            _ => (5, 5),
        };
        Self {
            name: name.into(),
            script: Vec::new(),
            expected,
            target,
            seconds,
            direct_seconds,
            is_compared: true,
            is_heavy: false,
        }
    }

    /// Sets the timeout, with the agent and without.
    pub fn set_seconds(&mut self, seconds: u32) {
        (self.seconds, self.direct_seconds) = (seconds, seconds);
    }

    /// Whether it waits for a deadline.
    pub fn waits(&self) -> bool {
        self.expected == Expected::Status(504) || has_late_body(&self.name)
    }

    /// Whether two probes of it may run at the same time: the app selects the script by the path, and without TLS both need
    /// little CPU.
    pub fn allows_two_probes(&self) -> bool {
        matches!(self.target, Target::Http(_))
    }

    /// The path of the status port that probes it.
    pub fn status_path(&self) -> String {
        format!("/app-health/{}/livez", self.name)
    }

    /// The path of the app.
    pub fn app_path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Its prober, as JSON of the probers' table.
    pub fn prober(&self) -> String {
        let get = |port, more: &str| {
            let path = self.app_path();
            format!(r#""httpGet":{{"path":"{path}","port":{port}{more}}}"#)
        };
        let action = match self.target {
            Target::Http(port) => get(port, ""),
            Target::Https(port) => get(port, r#","scheme":"HTTPS""#),
            Target::Http2(port) => get(port, r#","protocol":"HTTP2""#),
            Target::Tcp(port) => format!(r#""tcpSocket":{{"port":{port}}}"#),
            Target::Grpc(port, service, mode) => {
                let service = service.map_or("null".into(), |name| format!("\"{name}\""));
                let mode = match mode {
                    GrpcMode::Plaintext => "",
                    GrpcMode::Tls => r#","mode":"TLS""#,
                };
                format!(r#""grpc":{{"port":{port},"service":{service}{mode}}}"#)
            }
        };
        format!(r#"{{{action},"timeoutSeconds":{}}}"#, self.seconds)
    }
}

/// Parts of the names of cases whose body does not end before the deadline.
const LATE_BODIES: [&str; 3] = ["stalls", "held", "drip"];

fn has_late_body(name: &str) -> bool {
    LATE_BODIES.iter().any(|part| name.contains(part))
}

/// Cases and the apps that run them.
pub struct Catalogue {
    pub cases: Vec<FaultCase>,
    /// The apps, or None if cases are only listed.
    apps: Option<Vec<Box<dyn Any + Send + Sync>>>,
    /// The app of the cases of HTTP/1.1.
    pub http1: Option<http1::Http1FaultApps>,
}

impl Catalogue {
    /// Lists cases for their names: no app is started, and every port is 0.
    pub fn listing() -> Self {
        Self {
            cases: Vec::new(),
            apps: None,
            http1: None,
        }
    }

    /// Starts the app of each case.
    pub fn serving() -> Self {
        Self {
            cases: Vec::new(),
            apps: Some(Vec::new()),
            http1: None,
        }
    }

    /// Whether cases are only listed.
    pub fn is_listing(&self) -> bool {
        self.apps.is_none()
    }

    /// Starts an app that runs as long as the catalogue. Returns its port.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn host<T: Send + Sync + 'static>(
        &mut self,
        start: impl FnOnce() -> Result<(T, u16), String>,
    ) -> Result<u16, String> {
        let Some(apps) = &mut self.apps else {
            return Ok(0);
        };
        let (app, port) = start()?;
        apps.push(Box::new(app));
        Ok(port)
    }

    /// Starts an app with these connection scripts, in plaintext or in TLS with this ALPN. Returns its port.
    fn scripted(&mut self, alpn: Option<&[&str]>, scripts: Vec<ConnectionScript>) -> u16 {
        let start = || {
            let app = ConnectionScriptedApp::start(server_tls(alpn), scripts);
            let port = app.port();
            Ok((app, port))
        };
        self.host(start).expect("it starts")
    }

    /// Starts an app with this script for every request, in plaintext or in TLS with this ALPN. Returns its port.
    fn answering(&mut self, alpn: Option<&[&str]>, script: Script) -> u16 {
        let start = || {
            let app = PathScriptedApp::start_tls(server_tls(alpn));
            app.set_default(script);
            let port = app.port();
            Ok((app, port))
        };
        self.host(start).expect("it starts")
    }

    /// The case that was added last.
    fn last(&mut self) -> &mut FaultCase {
        self.cases.last_mut().expect("one was added")
    }
}

/// TLS with a certificate that all fault apps share.
fn server_tls(alpn: Option<&[&str]>) -> ServerTls {
    static IDENTITY: LazyLock<Identity> = LazyLock::new(Identity::self_signed);
    alpn.and_then(|alpn| IDENTITY.server_tls(alpn, None))
}

/// A healthy response.
pub const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

/// Bytes of an endless flood: more than a probe reads.
const ENDLESS: u64 = u64::MAX;

/// Sends text.
pub fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

/// Sends text, then closes.
pub fn answer(text: &str) -> Script {
    vec![send(text)]
}

/// A redirect without a body.
pub fn redirect(code: u16, location: &str) -> Script {
    answer(&format!(
        "HTTP/1.1 {code} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ))
}
