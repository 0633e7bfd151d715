//! probelet as a process: started with its flags, listened to, looked at in /proc, ended by its id.

use super::http::{self, Response};
use super::ports::{Reserved, reserve};
use super::{WAIT_LIMIT, within};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How an agent is to be started.
#[derive(Debug, Default)]
pub struct Setup {
    wrapper: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    status: Option<Reserved>,
}

impl Setup {
    /// `run` and nothing else; `start` adds a status port.
    pub fn new() -> Self {
        Self::default()
    }

    /// The table, as `ISTIO_KUBE_APP_PROBERS` has it.
    pub fn probers(self, json: &str) -> Self {
        self.env("ISTIO_KUBE_APP_PROBERS", json)
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// One more environment variable; the agent gets no others.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The command that runs the agent, such as `ip netns exec pod`.
    pub fn wrapped_by(mut self, command: &[&str]) -> Self {
        self.wrapper
            .extend(command.iter().map(|s| String::from(*s)));
        self
    }

    /// The status port is one that was reserved before.
    pub fn status(mut self, port: Reserved) -> Self {
        self.status = Some(port);
        self
    }

    fn command(&self) -> Command {
        let mut words = self.wrapper.clone();
        words.extend(super::command::words(&super::command::binary()));
        words.push("run".into());
        words.extend(self.args.iter().cloned());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
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
    /// When it ends before, or does not listen in time; with all it logged.
    pub fn start(mut self) -> Result<Agent, String> {
        let status = self.status.take().unwrap_or_else(reserve);
        self.args
            .extend(["--status-port".into(), status.port.to_string()]);
        self.start_configured(status)
    }

    /// The same where arguments or environment name the status port already.
    ///
    /// # Errors
    /// As `start`.
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

    /// The same without waiting for it to listen.
    ///
    /// # Errors
    /// When there is nothing to start.
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

    /// Runs an agent that is expected to end by itself: its exit code and what it wrote to stderr.
    ///
    /// # Errors
    /// When it does not end in time.
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

/// Whether `PROBELET_TEST_RUNNER` runs the agent: then memory and processor time in /proc are the runner's.
pub fn is_emulated() -> bool {
    std::env::var_os("PROBELET_TEST_RUNNER").is_some_and(|runner| !runner.is_empty())
}

fn is_listening(line: &str) -> bool {
    line.contains("msg=listening") || line.contains("\"msg\":\"listening\"")
}

/// Waits for a child; kills it when it takes too long.
fn wait_exit(child: &mut Child) -> Option<ExitStatus> {
    let mut status = None;
    within(WAIT_LIMIT, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    status
}

/// A running agent; it is killed when dropped.
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

    /// Its process.
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
    /// When the connection itself fails.
    pub fn get(&self, path: &str) -> std::io::Result<Response> {
        http::get(self.addr(), path, WAIT_LIMIT)
    }

    /// A sample of `/metrics`: the value of the first line that begins so.
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

    /// Waits for a log line; those that came before count.
    pub fn wait_log(&self, matches: impl Fn(&str) -> bool) -> Option<String> {
        self.log.wait(matches)
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, |fds| fds.count())
    }

    /// Waits until so many descriptors are open.
    pub fn wait_descriptors(&self, count: usize) -> bool {
        within(WAIT_LIMIT, || self.descriptors() == count)
    }

    /// A figure of `/proc/PID/smaps_rollup` in KiB, such as `Rss` or `Anonymous`.
    pub fn memory(&self, field: &str) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).ok()?;
        let line = text.lines().find(|l| l.split(':').next() == Some(field))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// A figure of `/proc/PID/status`, such as `Threads` or `VmHWM`.
    pub fn status_figure(&self, field: &str) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = text.lines().find(|l| l.split(':').next() == Some(field))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Processor time it used so far, user and system.
    pub fn cpu(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        let fields: Vec<&str> = text.rsplit(") ").next()?.split_whitespace().collect();
        // Fields 14 and 15 of proc_pid_stat(5); ticks are 10 ms on every Linux a test meets.
        let ticks: u64 =
            fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Duration::from_millis(ticks * 10))
    }

    /// Whether it runs still.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the agent is our child");
    }

    /// Waits until it ends by itself.
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

/// Log lines as they come.
#[derive(Debug, Default)]
struct Log {
    state: Mutex<LogState>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    fn follow(&self, stderr: impl BufRead) {
        for line in stderr.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            self.state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .lines
                .push(line);
            self.more.notify_all();
        }
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ended = true;
        self.more.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .clone()
    }

    fn wait(&self, matches: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + WAIT_LIMIT;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = state.lines.iter().find(|line| matches(line)) {
                return Some(line.clone());
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            let waited = self.more.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
