//! Faults of HTTP/1.1, in plaintext or inside TLS, and of TCP connections.

mod bodies;
mod heads;
mod redirects;
mod statuses;
mod timing;

use super::{
    Catalogue, ENDLESS, Expected, FINE, FaultCase, Step, Target, answer, redirect, send, server_tls,
};
use crate::support::path_scripted_app::{PathScriptedApp, Script};
use crate::support::ports::{FullBacklog, Reserved, Resetting, full_backlog, reserve, resetting};
use std::time::Duration;

/// The ports that the cases probe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Runs the scripts.
    app: u16,
    /// Another app on the same host, which always returns 200.
    other: u16,
    /// Like `other`, with TLS if `app` has none, without if it has.
    across: u16,
    /// Refuses connections.
    refusing: u16,
    /// Neither accepts nor refuses.
    full_backlog: u16,
    /// Resets a moment after accepting.
    resetting: u16,
    /// Resets at the moment of accepting.
    resetting_at_once: u16,
    /// Whether the first two apps speak TLS.
    is_secure: bool,
}

/// The apps and sockets that these ports belong to.
#[derive(Debug)]
pub struct Http1FaultApps {
    /// Runs the scripts.
    pub app: PathScriptedApp,
    /// Whether it speaks TLS.
    pub is_secure: bool,
    other: PathScriptedApp,
    across: PathScriptedApp,
    refusing: Reserved,
    full_backlog: FullBacklog,
    resetting: Resetting,
    resetting_at_once: Resetting,
}

impl Catalogue {
    /// Adds all cases, with TLS where protocols for ALPN are given. `status_port` is the port of the agent that
    /// probes the first case.
    pub fn add_http1(&mut self, alpn: Option<&[&str]>, status_port: u16) {
        let is_secure = alpn.is_some();
        let app = (!self.is_listing()).then(|| Http1FaultApps::open(alpn));
        let ports = Ports {
            is_secure,
            ..Ports::default()
        };
        let ports = app.as_ref().map_or(ports, Http1FaultApps::ports);
        let mut cases = ports.cases(status_port);
        cases.sort_by_key(|case| case.name != STATUS_PORT_CASE);
        if let Some(app) = &app {
            app.serve(&cases);
        }
        self.cases.extend(cases);
        self.http1 = app;
    }
}

/// The case whose redirect leads to the status port of the agent that probes it.
const STATUS_PORT_CASE: &str = "redirect-to-status-port";

impl Http1FaultApps {
    /// Opens all ports, with TLS where protocols for ALPN are given.
    pub fn open(alpn: Option<&[&str]>) -> Self {
        let across: Option<&[&str]> = if alpn.is_some() { None } else { Some(&[]) };
        let (app, other) = (
            PathScriptedApp::start_tls(server_tls(alpn)),
            PathScriptedApp::start_tls(server_tls(alpn)),
        );
        let across = PathScriptedApp::start_tls(server_tls(across));
        for other in [&other, &across] {
            other.set_default(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"));
        }
        Self {
            app,
            is_secure: alpn.is_some(),
            other,
            across,
            refusing: reserve(),
            full_backlog: full_backlog(),
            resetting: resetting(Duration::from_millis(200)),
            resetting_at_once: resetting(Duration::ZERO),
        }
    }

    /// The cases. One redirects to `status_port`, the port of the agent that probes it.
    pub fn cases(&self, status_port: u16) -> Vec<FaultCase> {
        self.ports().cases(status_port)
    }

    /// A case of the app that is not in the catalogue and has no script yet.
    pub fn case(&self, name: &str) -> FaultCase {
        let ports = self.ports();
        FaultCase::new(name, ports.target(ports.app), Expected::Status(200))
    }

    fn ports(&self) -> Ports {
        Ports {
            app: self.app.port(),
            other: self.other.port(),
            across: self.across.port(),
            refusing: self.refusing.port,
            full_backlog: self.full_backlog.port,
            resetting: self.resetting.port,
            resetting_at_once: self.resetting_at_once.port,
            is_secure: self.is_secure,
        }
    }

    /// Sets the app's scripts for these cases.
    pub fn serve(&self, cases: &[FaultCase]) {
        for case in cases {
            self.app.on(&case.app_path(), case.script.clone());
        }
        self.app.on("/hop-0", answer(FINE));
        for hop in 1..=12 {
            let location = format!("/hop-{}", hop - 1);
            self.app
                .on(&format!("/hop-{hop}"), redirect(302, &location));
        }
    }
}

impl Ports {
    fn cases(&self, status_port: u16) -> Vec<FaultCase> {
        let mut cases = HttpCases {
            target: self.target(self.app),
            cases: Vec::new(),
        };
        statuses::add_to(&mut cases);
        bodies::add_to(&mut cases);
        heads::add_to(&mut cases);
        timing::add_to(&mut cases);
        redirects::add_to(&mut cases, self, status_port);
        self.connections(&mut cases);
        cases.cases
    }

    fn target(&self, port: u16) -> Target {
        if self.is_secure {
            Target::Https(port)
        } else {
            Target::Http(port)
        }
    }

    fn connections(&self, cases: &mut HttpCases) {
        cases.add_target("http-refused", self.target(self.refusing), 502);
        cases.add_target("http-backlog-full", self.target(self.full_backlog), 504);
        cases.add_target("http-reset-after-accept", self.target(self.resetting), 502);
        cases.add_target(
            "http-reset-at-once",
            self.target(self.resetting_at_once),
            502,
        );
        if self.is_secure {
            return;
        }
        cases.add_target("tcp-live", Target::Tcp(self.other), 200);
        cases.add_target("tcp-refused", Target::Tcp(self.refusing), 502);
        cases.add_target("tcp-backlog-full", Target::Tcp(self.full_backlog), 504);
        cases.add_target("tcp-reset-after-accept", Target::Tcp(self.resetting), 200);
        cases.add_target(
            "tcp-reset-at-once",
            Target::Tcp(self.resetting_at_once),
            200,
        );
        // kubelet's connect may return before or after the reset.
        cases.last().is_compared = false;
    }
}

/// Cases of one app.
struct HttpCases {
    target: Target,
    cases: Vec<FaultCase>,
}

impl HttpCases {
    fn add(&mut self, name: &str, script: Script, expected: Expected) {
        self.cases.push(FaultCase {
            script,
            ..FaultCase::new(name, self.target, expected)
        });
    }

    /// The app sends this, then closes.
    fn respond(&mut self, name: &str, text: &str, code: u16) {
        self.add(name, answer(text), Expected::Status(code));
    }

    /// The app sends this and closes, and kubelet reports an error in the body.
    fn respond_broken(&mut self, name: &str, text: &str, code: u16) {
        self.add(name, answer(text), Expected::BrokenBody(code));
    }

    /// The app sends this and keeps the connection open.
    fn respond_and_hold(&mut self, name: &str, text: &str, expected: Expected) {
        self.add(name, vec![send(text), Step::Hold], expected);
    }

    fn add_target(&mut self, name: &str, target: Target, code: u16) {
        self.cases
            .push(FaultCase::new(name, target, Expected::Status(code)));
    }

    /// The case that was added last.
    fn last(&mut self) -> &mut FaultCase {
        self.cases.last_mut().expect("one was added")
    }

    /// Marks the case that was added last as heavy, with a longer timeout.
    fn allow_longer(&mut self) {
        let last = self.last();
        last.set_seconds(30);
        last.is_heavy = true;
    }
}
