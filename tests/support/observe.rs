//! Waiting for a condition, and the sockets and child processes in `/proc`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use super::agent::Agent;
use super::{WAIT_LIMIT, within};

/// Polls until the condition returns a value. Panics after `WAIT_LIMIT`.
#[track_caller]
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    until_within(WAIT_LIMIT, what, condition)
}

/// Polls until the condition returns a value. Panics after `bound`.
#[track_caller]
pub fn until_within<T>(bound: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    within(bound, || {
        found = condition();
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("not within {bound:?}: {what}"))
}

/// The only child of a process, such as the command of `unshare --fork`.
#[track_caller]
pub fn child_of(pid: u32) -> u32 {
    until("a child process", || {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.trim().parse().ok()
    })
}

/// The figure of a field in a file of `/proc/PID`, such as `VmHWM` in `status`. Memory is in KiB.
pub fn proc_figure(pid: u32, file: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find(|l| l.split(':').next() == Some(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Measures how long a process took for the thread that waits for it, without the time that other processes had the CPU.
#[derive(Debug)]
pub struct Stopwatch {
    pid: u32,
    began: Instant,
    delays: [Duration; 2],
}

impl Stopwatch {
    /// Starts it in the thread that waits. The main thread of the process is the one that works.
    pub fn start(pid: u32) -> Stopwatch {
        Stopwatch {
            pid,
            began: Instant::now(),
            delays: run_delays(pid),
        }
    }

    /// The time since the start, less the longer of the times that either thread was ready to run and had no CPU. They
    /// overlap, so their sum would be too much.
    pub fn elapsed(&self) -> Duration {
        let delays = run_delays(self.pid).into_iter().zip(self.delays);
        let longest = delays.map(|(now, then)| now - then).max();
        let elapsed = self.began.elapsed();
        elapsed.saturating_sub(longest.unwrap_or_default())
    }
}

/// The run delays of a process's main thread and of this one (`Documentation/scheduler/sched-stats.rst`).
fn run_delays(pid: u32) -> [Duration; 2] {
    ["thread-self".into(), pid.to_string()].map(|thread| {
        let text = std::fs::read_to_string(format!("/proc/{thread}/schedstat"));
        let text = text.expect("it exists");
        let delay = text.split_whitespace().nth(1).and_then(|n| n.parse().ok());
        Duration::from_nanos(delay.expect("a figure"))
    })
}

/// The number of the next descriptor of a process. Inherited descriptors may leave gaps below the highest.
pub fn next_descriptor(pid: u32) -> u64 {
    let folder = format!("/proc/{pid}/fd");
    let is_free = |fd: &u64| !std::fs::exists(format!("{folder}/{fd}")).expect("a process");
    (0..).find(is_free).expect("a number")
}

/// One TCP socket of the machine, as `/proc/net/tcp` and `tcp6` list it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The local address.
    pub local: SocketAddr,
    /// The remote address.
    pub remote: SocketAddr,
    /// State by number (`include/net/tcp_states.h`): 1 established, 10 listening.
    pub state: u8,
    /// Unread bytes; for a listener, connections that are not accepted.
    pub rx_queue: u32,
    /// Identifies the socket in `/proc/PID/fd`.
    pub inode: u64,
}

/// `include/net/tcp_states.h`: `TCP_LISTEN`
pub const LISTENING: u8 = 10;

/// Every TCP socket of this network namespace.
pub fn sockets() -> Vec<Socket> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let read = |table| std::fs::read_to_string(table).unwrap_or_default();
    tables
        .into_iter()
        .map(read)
        .flat_map(|t| t.lines().filter_map(socket).collect::<Vec<_>>())
        .collect()
}

/// The TCP sockets a process holds open.
pub fn sockets_of(pid: u32) -> Vec<Socket> {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("process is gone");
    let links: Vec<_> = fds
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .collect();
    let held = |s: &Socket| {
        links
            .iter()
            .any(|l| l == Path::new(&format!("socket:[{}]", s.inode)))
    };
    sockets().into_iter().filter(held).collect()
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode ...`
fn socket(line: &str) -> Option<Socket> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (_, rx_queue) = fields.get(4)?.split_once(':')?;
    Some(Socket {
        local: address(fields[1])?,
        remote: address(fields[2])?,
        state: u8::from_str_radix(fields[3], 16).ok()?,
        rx_queue: u32::from_str_radix(rx_queue, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Words of 32 bits in the machine's byte order, then the port; an IPv4 address in IPv6 as IPv4.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        u32::from_str_radix(words.get(at..at + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    if words.len() == 8 {
        return Some((word(0)?, port).into());
    }
    let mut octets = [0; 16];
    for (n, chunk) in octets.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *chunk = word(n * 8)?;
    }
    Some(SocketAddr::new(IpAddr::from(octets).to_canonical(), port))
}

/// Waits for a log line with this text and returns the first.
#[track_caller]
pub fn logged(agent: &Agent, text: &str) -> String {
    let line = agent.wait_log(|line| line.contains(text));
    line.unwrap_or_else(|| panic!("no {text:?} in the log: {:#?}", agent.log()))
}

/// The log lines so far that contain this text.
pub fn log_lines(agent: &Agent, text: &str) -> Vec<String> {
    agent
        .log()
        .into_iter()
        .filter(|line| line.contains(text))
        .collect()
}

/// Waits until the agent has `before` open descriptors again, and panics otherwise.
#[track_caller]
pub fn assert_descriptors(agent: &Agent, before: usize) {
    assert!(
        agent.wait_descriptors(before),
        "{before} before, {} after",
        agent.descriptors()
    );
}
