//! The proxies between kubelet and the app: the configuration of each, and its process.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::Cgroup;
use crate::client::PATH;
use crate::peers::Scheme::{Http, Https};
use crate::roles::HANG_PATH;
use crate::{Outcome, peers, proc, roles};

/// The time within which a child has to accept connections.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The time after SIGTERM at which a child is killed.
const END_TIMEOUT: Duration = Duration::from_secs(3);

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

/// This binary in another role.
fn role(name: &str, port: u16) -> Outcome<Command> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(this);
    command.args([name, &port.to_string()]);
    Ok(command)
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

/// A child of the bench. Dropping it stops it and its descendants.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// The port it listens on.
    pub port: u16,
    /// Its process and its descendants when it began to listen.
    pub processes: Vec<u32>,
    /// The time from before the fork to the first accepted connection.
    pub start: Duration,
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
    let mut command = kind.command(port, app, scratch)?;
    if let Some(cgroup) = cgroup {
        command = within(cgroup, &command);
    }
    let log_path = scratch.join(format!("{port}.log"));
    let log = fs::File::create(&log_path).map_err(|error| error.to_string())?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let began = Instant::now();
    let child = command
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let mut running = Running {
        processes: vec![child.id()],
        child,
        port,
        start: Duration::ZERO,
    };
    loop {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            running.start = began.elapsed();
            running.processes = proc::family(running.child.id());
            return Ok(running);
        }
        if let Ok(Some(status)) = running.child.try_wait() {
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            let last = log.lines().last().unwrap_or("no output").to_string();
            return Err(format!("did not start: {status}: {last}"));
        }
        if began.elapsed() > START_TIMEOUT {
            return Err(format!("does not listen after {START_TIMEOUT:?}"));
        }
        thread::sleep(Duration::from_micros(50));
    }
}

/// Starts the process that probes `app` over TLS for each byte. Returns its pipes for requests and results.
pub fn start_direct(app: u16) -> Outcome<(Running, File, File)> {
    let began = Instant::now();
    let mut command = role(roles::DIRECT, app)?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let (Some(requests), Some(done)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("no pipes to the direct client".into());
    };
    let [requests, mut done] = [OwnedFd::from(requests), done.into()].map(File::from);
    let running = Running {
        processes: vec![child.id()],
        child,
        port: app,
        start: began.elapsed(),
    };
    done.read_exact(&mut [0])
        .map_err(|error| format!("the direct client: {error}"))?;
    Ok((running, requests, done))
}

/// `command`, started by a shell that moves into the cgroup before it executes the command.
fn within(cgroup: &Cgroup, command: &Command) -> Command {
    let mut moved = Command::new("/bin/sh");
    moved.args(["-c", r#"echo $$ >"$0" && exec "$@""#]);
    moved.arg(cgroup.members()).arg(command.get_program());
    moved.args(command.get_args());
    moved.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            moved.env(name, value);
        }
    }
    moved
}

impl Running {
    /// Updates the list of its processes: nginx listens before it starts its worker.
    pub fn refresh_processes(&mut self) {
        self.processes = proc::family(self.child.id());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let family = proc::family(self.child.id());
        let send = |process: u32, signal: Signal| {
            if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
                // It may have ended already.
                let _ = kill_process(pid, signal);
            }
        };
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        send(self.child.id(), Signal::TERM);
        let signalled = Instant::now();
        while signalled.elapsed() < END_TIMEOUT {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        family.into_iter().for_each(|id| send(id, Signal::KILL));
        let _ = self.child.wait();
    }
}

/// A free port below the range of ephemeral ports.
pub fn free_port() -> Outcome<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 100) as u16 * 100;
    for _ in 0..10_000 {
        let port = 20_000 + (first - 20_000 + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let all = TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)));
        if all.is_ok() {
            return Ok(port);
        }
    }
    Err("no free port between 20000 and 32000".into())
}
