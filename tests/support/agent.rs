//! The agent as a process: its flags and environment, its log, its figures in /proc, its signals.

use super::command::wait_exit;
use super::http::{self, Response};
use super::lock;
use super::observe::{proc_figure, until};
use super::ports::{Reserved, reserve};
use super::{WAIT_LIMIT, within};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The arguments and the environment of an agent.
#[derive(Debug, Default)]
pub struct Setup {
    wrapper: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    status: Option<Reserved>,
}

impl Setup {
    /// `run` without arguments. `start` adds a status port.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the probers' table, as the injector writes it.
    pub fn probers(self, json: &str) -> Self {
        self.env("ISTIO_KUBE_APP_PROBERS", json)
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds an environment variable. The agent inherits only PATH.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs the agent by this command, such as `ip netns exec pod`.
    pub fn wrapped_by(mut self, command: &[&str]) -> Self {
        self.wrapper
            .extend(command.iter().map(|s| String::from(*s)));
        self
    }

    /// Uses a reserved port as the status port.
    pub fn status(mut self, port: Reserved) -> Self {
        self.status = Some(port);
        self
    }

    fn command(&self) -> Command {
        let mut argv = self.wrapper.clone();
        argv.extend(super::command::argv(&super::command::binary()));
        argv.push("run".into());
        argv.extend(self.args.iter().cloned());
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .env_clear()
            .envs(self.env.iter().cloned());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the agent and waits until it listens.
    ///
    /// # Errors
    /// If the agent exits or does not listen in time; with its log.
    pub fn start(mut self) -> Result<Agent, String> {
        let status = self.status.take().unwrap_or_else(reserve);
        self.args
            .extend(["--status-port".into(), status.port.to_string()]);
        self.start_configured(status)
    }

    /// Like `start`, with a status port that the arguments or the environment set.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn start_configured(self, status: Reserved) -> Result<Agent, String> {
        let agent = self.spawn(status)?;
        match agent.wait_log(is_listening) {
            Some(_) => Ok(agent),
            None => Err(format!(
                "the agent does not listen: {:?}",
                agent.log.lines()
            )),
        }
    }

    /// Like `start_configured`, without waiting until the agent listens.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn spawn(self, status: Reserved) -> Result<Agent, String> {
        let started = Instant::now();
        let mut child = self
            .command()
            .spawn()
            .map_err(|e| format!("cannot start: {e}"))?;
        let stderr = child.stderr.take().expect("piped");
        let log = Arc::new(Log::default());
        let lines = log.clone();
        std::thread::spawn(move || lines.follow(BufReader::new(stderr)));
        Ok(Agent {
            child,
            status,
            log,
            started,
        })
    }

    /// Runs an agent that exits by itself. Returns its exit code and standard error.
    ///
    /// # Errors
    /// If it does not exit in time.
    pub fn run_to_end(self) -> Result<(Option<i32>, String), String> {
        let mut child = self
            .command()
            .spawn()
            .map_err(|e| format!("cannot start: {e}"))?;
        let mut stderr = child.stderr.take().expect("piped");
        let reader = std::thread::spawn(move || std::io::read_to_string(&mut stderr));
        let status = wait_exit(&mut child).ok_or("still running")?;
        let text = reader
            .join()
            .expect("no panic")
            .map_err(|e| e.to_string())?;
        Ok((status.code(), text))
    }
}

/// Whether `PROBELET_TEST_RUNNER` runs the agent. Memory and CPU time in /proc are then the runner's.
pub fn is_emulated() -> bool {
    std::env::var_os("PROBELET_TEST_RUNNER").is_some_and(|runner| !runner.is_empty())
}

fn is_listening(line: &str) -> bool {
    line.contains("msg=listening") || line.contains("\"msg\":\"listening\"")
}

/// A running agent. Dropping it kills it.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    status: Reserved,
    log: Arc<Log>,
    started: Instant,
}

impl Agent {
    /// The status port on 127.0.0.1.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.status.port).into()
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Requests a path of the status port.
    ///
    /// # Errors
    /// If connecting fails.
    pub fn get(&self, path: &str) -> std::io::Result<Response> {
        http::get(self.addr(), path, WAIT_LIMIT)
    }

    /// The value of the first sample of `/metrics` with this name and these labels.
    pub fn metric(&self, name_and_labels: &str) -> Option<f64> {
        let page = self.get("/metrics").ok()?;
        let text = String::from_utf8(page.body().to_vec()).ok()?;
        let line = text.lines().find(|line| {
            line.strip_prefix(name_and_labels)
                .is_some_and(|rest| rest.starts_with(' '))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// All log lines so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Waits for a log line. Earlier lines count.
    pub fn wait_log(&self, matches: impl Fn(&str) -> bool) -> Option<String> {
        self.log.wait(matches)
    }

    /// Number of open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, |fds| fds.count())
    }

    /// Waits until `count` descriptors are open. Returns whether that was in time.
    pub fn wait_descriptors(&self, count: usize) -> bool {
        within(WAIT_LIMIT, || self.descriptors() == count)
    }

    /// A figure of `/proc/PID/smaps_rollup` in KiB, such as `Rss` or `Anonymous`.
    pub fn memory(&self, field: &str) -> Option<u64> {
        proc_figure(self.pid(), "smaps_rollup", field)
    }

    /// A figure of `/proc/PID/status`, such as `Threads` or `VmHWM`.
    pub fn status_figure(&self, field: &str) -> Option<u64> {
        proc_figure(self.pid(), "status", field)
    }

    /// CPU time so far, user and system.
    pub fn cpu(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        let fields: Vec<&str> = text.rsplit(") ").next()?.split_whitespace().collect();
        // Fields 14 and 15 of proc_pid_stat(5). A tick is 10 ms (USER_HZ is 100 on all our architectures).
        let ticks: u64 =
            fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Duration::from_millis(ticks * 10))
    }

    /// Whether it is still running.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the agent is a child of the test");
    }

    /// Runs `action` while the agent is stopped, so that it sees all effects at once.
    pub fn while_stopped(&self, action: impl FnOnce()) {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.pid());
        until("the agent is stopped", || {
            let stat = std::fs::read_to_string(&stat).expect("it exists");
            stat.contains(") T ").then_some(())
        });
        action();
        self.signal(Signal::CONT);
    }

    /// Waits until it exits.
    pub fn wait_exit(&mut self) -> Option<ExitStatus> {
        wait_exit(&mut self.child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The log lines so far, which a thread reads from the pipe.
#[derive(Debug, Default)]
struct Log {
    state: Mutex<LogState>,
    /// A new line, or the end of the log.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    lines: Vec<String>,
    has_ended: bool,
}

impl Log {
    fn follow(&self, stderr: impl BufRead) {
        for line in stderr.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            lock(&self.state).lines.push(line);
            self.changed.notify_all();
        }
        lock(&self.state).has_ended = true;
        self.changed.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        lock(&self.state).lines.clone()
    }

    fn wait(&self, matches: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + WAIT_LIMIT;
        let mut state = lock(&self.state);
        loop {
            if let Some(line) = state.lines.iter().find(|line| matches(line)) {
                return Some(line.clone());
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.has_ended || left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
