//! The proxies between kubelet and the app: the configuration of each.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cgroup::Cgroup;
use crate::client::PATH;
use crate::peers::Scheme::{Http, Https};
use crate::process::{self, Running, free_port, role};
use crate::roles::HANG_PATH;
use crate::{Outcome, peers, roles};

/// A program to run, with its paths.
#[derive(Clone, Debug)]
pub enum ContestantKind {
    /// The app itself.
    App,
    /// The server behind the forwards.
    Source,
    /// floor.c, the handwritten minimum.
    Floor(PathBuf),
    /// probelet with probers.
    Probelet(PathBuf),
    /// probelet with a prober that responds, if so, and this number of probers that hang.
    ProbeletBusy {
        /// The binary.
        path: PathBuf,
        /// Whether [`client::PATH`](crate::client::PATH) has a prober.
        responds: bool,
        /// The number of [`busy_path`]s.
        hanging: usize,
    },
    /// probelet with a forward.
    Forward(PathBuf),
    /// nginx, HTTP.
    Nginx(PathBuf),
    /// HAProxy, HTTP.
    Haproxy(PathBuf),
    /// HAProxy, TCP without splice.
    HaproxyTcp(PathBuf),
    /// Envoy, HTTP.
    Envoy(PathBuf),
    /// nginx as an app with TLS, with the certificate and key of a file.
    TlsApp(PathBuf, PathBuf),
    /// The app that never finishes a handshake.
    Stall,
    /// nginx that requires a client certificate, with this file with a certificate and its key.
    MutualTlsApp(PathBuf, PathBuf),
    /// probelet with three HTTPS probers and this file as its client certificate and key.
    ProbeletClientCert(PathBuf, PathBuf),
    /// probelet with HTTPS probers; the others probe these ports, which stall.
    ProbeletTls(PathBuf, Vec<u16>),
    /// nginx, to an app with TLS.
    NginxTls(PathBuf),
    /// HAProxy, to an app with TLS.
    HaproxyTls(PathBuf),
    /// Envoy, to an app with TLS.
    EnvoyTls(PathBuf),
    /// A shell command with the placeholders `{listen}` and `{app}`.
    Peer(String),
}

impl ContestantKind {
    /// The command that listens on `port` and probes `app`. Configurations are written to `scratch`.
    fn command(&self, port: u16, app: u16, scratch: &Path) -> Outcome<Command> {
        let program = |path: &Path| Command::new(path);
        let mut command = match self {
            ContestantKind::App => role(roles::APP, port)?,
            ContestantKind::Source => role(roles::SOURCE, port)?,
            ContestantKind::Floor(path) => {
                let mut command = program(path);
                command.args([port.to_string(), app.to_string()]);
                command
            }
            ContestantKind::Probelet(path)
            | ContestantKind::ProbeletBusy { path, .. }
            | ContestantKind::ProbeletTls(path, _) => {
                let mut command = program(path);
                command.args(["run", "--status-port", &port.to_string()]);
                command
            }
            ContestantKind::Forward(path) => {
                let forward = format!("127.0.0.1:{port}=127.0.0.1:{app}");
                let mut command = program(path);
                command.args(["run", "--status-port", &free_port()?.to_string()]);
                command.args(["--forward", &forward]);
                command
            }
            ContestantKind::Stall => role(roles::STALL, port)?,
            ContestantKind::TlsApp(path, pem) => peers::nginx_app(path, pem, false, port, scratch)?,
            ContestantKind::MutualTlsApp(path, pem) => {
                peers::nginx_app(path, pem, true, port, scratch)?
            }
            ContestantKind::ProbeletClientCert(path, pem) => {
                let mut command = program(path);
                command.args(["run", "--status-port", &port.to_string()]);
                command.arg("--client-cert").arg(pem);
                command.arg("--client-key").arg(pem);
                command
            }
            ContestantKind::Nginx(path) => peers::nginx(path, Http, port, app, scratch)?,
            ContestantKind::NginxTls(path) => peers::nginx(path, Https, port, app, scratch)?,
            ContestantKind::Haproxy(path) => peers::haproxy(path, Http, port, app, scratch)?,
            ContestantKind::HaproxyTls(path) => peers::haproxy(path, Https, port, app, scratch)?,
            ContestantKind::HaproxyTcp(path) => peers::haproxy_tcp(path, port, app, scratch)?,
            ContestantKind::Envoy(path) => peers::envoy(path, Http, port, app, scratch)?,
            ContestantKind::EnvoyTls(path) => peers::envoy(path, Https, port, app, scratch)?,
            ContestantKind::Peer(line) => {
                let line = line.replace("{listen}", &port.to_string());
                let mut command = Command::new("/bin/sh");
                command.args([
                    "-c",
                    &format!("exec {}", line.replace("{app}", &app.to_string())),
                ]);
                command
            }
        };
        self.set_environment(&mut command, app);
        Ok(command)
    }

    /// Sets the probers' table. Agents and the floor get no other variable; other programs keep theirs (a peer may need
    /// PATH and HOME), except for PROBELET_*.
    fn set_environment(&self, command: &mut Command, app: u16) {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PROBELET_") {
                command.env_remove(name);
            }
        }
        let has_probers = matches!(
            self,
            ContestantKind::Probelet(_)
                | ContestantKind::ProbeletBusy { .. }
                | ContestantKind::ProbeletTls(..)
                | ContestantKind::ProbeletClientCert(..)
        );
        if has_probers || matches!(self, ContestantKind::Forward(_) | ContestantKind::Floor(_)) {
            command.env_clear();
        }
        if let ContestantKind::ProbeletTls(_, stalls) = self {
            command.env("ISTIO_KUBE_APP_PROBERS", tls_probers(app, stalls));
        } else if let ContestantKind::ProbeletClientCert(..) = self {
            command.env("ISTIO_KUBE_APP_PROBERS", simultaneous_probers(app));
        } else if let ContestantKind::ProbeletBusy {
            responds, hanging, ..
        } = self
        {
            let table = busy_probers(app, *responds, *hanging);
            command.env("ISTIO_KUBE_APP_PROBERS", table);
        } else if has_probers || matches!(self, ContestantKind::Peer(_)) {
            // A peer may be another build of probelet.
            command.env("ISTIO_KUBE_APP_PROBERS", probers(app));
        }
    }
}

/// The table of a pod with a liveness probe, a readiness probe that hangs and a hook that hangs.
fn probers(app: u16) -> String {
    let prober = |path: &str, timeout: u32| {
        format!(r#"{{"httpGet":{{"path":"{path}","port":{app}}},"timeoutSeconds":{timeout}}}"#)
    };
    format!(
        r#"{{"/app-health/bench/livez":{},"/app-health/bench/readyz":{},"/app-lifecycle/bench/prestopz":{}}}"#,
        prober("/healthz", 1),
        prober(HANG_PATH, 5),
        prober(HANG_PATH, 5)
    )
}

/// The path of a prober that hangs.
pub fn busy_path(number: usize) -> String {
    format!("/app-health/hang-{number}/livez")
}

/// The table of a pod whose probes hang, except for one if so.
fn busy_probers(app: u16, responds: bool, hanging: usize) -> String {
    let entry = |path: &str, target: &str| {
        format!(r#""{path}":{{"httpGet":{{"path":"{target}","port":{app}}},"timeoutSeconds":10}}"#)
    };
    let hang = (0..hanging).map(|number| entry(&busy_path(number), HANG_PATH));
    let respond = responds.then(|| entry(PATH, "/healthz"));
    let entries: Vec<String> = respond.into_iter().chain(hang).collect();
    format!("{{{}}}", entries.join(","))
}

/// The table of a pod with a liveness probe over TLS, and probes whose handshake never ends.
fn tls_probers(app: u16, stalls: &[u16]) -> String {
    let prober = |port: u16, timeout: u32| {
        format!(
            r#"{{"httpGet":{{"path":"/healthz","port":{port},"scheme":"HTTPS"}},"timeoutSeconds":{timeout}}}"#
        )
    };
    let mut table = format!(r#"{{"/app-health/bench/livez":{}"#, prober(app, 1));
    for (index, stall) in stalls.iter().enumerate() {
        table += &format!(
            r#","/app-health/stall-{index}/livez":{}"#,
            prober(*stall, 3)
        );
    }
    table + "}"
}

/// The table of a pod with an HTTPS probe of each kind.
fn simultaneous_probers(app: u16) -> String {
    let prober = |kind: &str| {
        format!(
            r#""/app-health/bench/{kind}":{{"httpGet":{{"path":"/healthz","port":{app},"scheme":"HTTPS"}},"timeoutSeconds":5}}"#
        )
    };
    format!(
        "{{{}}}",
        ["livez", "readyz", "startupz"].map(prober).join(",")
    )
}

/// Starts `kind` as a proxy of `app` and waits until it accepts connections.
///
/// # Errors
/// If it cannot be started, exits, or does not listen in time.
pub fn start(kind: &ContestantKind, app: u16, scratch: &Path) -> Outcome<Running> {
    start_in(kind, app, scratch, None)
}

/// Like [`start`], in a cgroup.
pub fn start_in(
    kind: &ContestantKind,
    app: u16,
    scratch: &Path,
    cgroup: Option<&Cgroup>,
) -> Outcome<Running> {
    let port = free_port()?;
    let command = kind.command(port, app, scratch)?;
    process::start(command, port, scratch, cgroup)
}

/// Starts the process that probes `app` over TLS for each byte. Returns its pipes for requests and results.
pub fn start_direct(app: u16) -> Outcome<(Running, File, File)> {
    let mut command = role(roles::DIRECT, app)?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let (Some(requests), Some(done)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("no pipes to the direct client".into());
    };
    let [requests, mut done] = [OwnedFd::from(requests), done.into()].map(File::from);
    let running = Running::new(child, app);
    done.read_exact(&mut [0])
        .map_err(|error| format!("the direct client: {error}"))?;
    Ok((running, requests, done))
}
