//! The children of a bench: each is started in a cgroup or without one, waited for until it listens, and stopped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::Cgroup;
use crate::{Outcome, proc};

/// The time within which a child has to accept connections.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The time after SIGTERM at which a child is killed.
const END_TIMEOUT: Duration = Duration::from_secs(3);

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

/// This binary in another role.
pub fn role(name: &str, port: u16) -> Outcome<Command> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(this);
    command.args([name, &port.to_string()]);
    Ok(command)
}

/// Starts `command`, which listens on `port`, in the cgroup if there is one, and waits until it accepts connections.
///
/// # Errors
/// If it cannot be started, exits, or does not listen in time.
pub fn start(
    mut command: Command,
    port: u16,
    scratch: &Path,
    cgroup: Option<&Cgroup>,
) -> Outcome<Running> {
    if let Some(cgroup) = cgroup {
        command = within(cgroup, &command);
    }
    let log_path = scratch.join(format!("{port}.log"));
    let log = File::create(&log_path).map_err(|error| error.to_string())?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let began = Instant::now();
    let child = command
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let mut running = Running::new(child, port);
    loop {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            running.start = began.elapsed();
            running.refresh_processes();
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

/// `command`, started by a shell that moves into the cgroup before it executes the command.
fn within(cgroup: &Cgroup, command: &Command) -> Command {
    let mut moved = Command::new("/bin/sh");
    let script = r#"until [ "$1" = -- ]; do echo $$ >"$1" || exit; shift; done; shift; exec "$@""#;
    moved.args(["-c", script, "sh"]).args(cgroup.members());
    moved.arg("--").arg(command.get_program());
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
    /// A child that has just been started.
    pub fn new(child: Child, port: u16) -> Running {
        Running {
            processes: vec![child.id()],
            child,
            port,
            start: Duration::ZERO,
        }
    }

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
        // A worker may end after its master, and a cgroup is removed only after all.
        let mut running = family;
        while !running.is_empty() && signalled.elapsed() < END_TIMEOUT {
            thread::sleep(Duration::from_millis(2));
            let ended = matches!(self.child.try_wait(), Ok(Some(_)));
            running.retain(|id| match *id == self.child.id() {
                true => !ended,
                false => Path::new(&format!("/proc/{id}")).exists(),
            });
        }
        running.into_iter().for_each(|id| send(id, Signal::KILL));
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
