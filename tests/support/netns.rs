//! An unnamed network namespace, held by a process of `unshare`, which exits when the pipe from the test closes, also if
//! the test is killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Need;

/// What a test needs of the machine to run commands in a namespace with IPv6.
pub const NEEDS: &[Need] = &[
    Need::Root,
    Need::Ipv6,
    Need::Peer("ip"),
    Need::Peer("unshare"),
    Need::Peer("nsenter"),
];

#[derive(Debug)]
pub struct Netns {
    holder: Child,
}

impl Netns {
    pub fn new() -> Result<Self, String> {
        let mut holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("unshare: {e}"))?;
        // The output is that of cat, so the namespace exists.
        let mut echo = String::new();
        let sent = holder.stdin.as_mut().map(|pipe| pipe.write_all(b"in\n"));
        if let Some(pipe) = holder.stdout.as_mut() {
            let _ = BufReader::new(pipe).read_line(&mut echo);
        }
        let ns = Self { holder };
        match (sent, echo.as_str()) {
            (Some(Ok(())), "in\n") => ns.run("ip link set lo up").map(|()| ns),
            _ => Err("unshare --net: no network namespace of our own".into()),
        }
    }

    /// The file that represents it.
    pub fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// The command that runs another command in the namespace.
    pub fn wrapper(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--net={}", self.path())]
    }

    /// Runs a command in the namespace until it exits. Spaces separate its arguments.
    pub fn run(&self, command: &str) -> Result<(), String> {
        self.feed(command, "")
    }

    /// Like `run`, with `input` on standard input.
    pub fn feed(&self, command: &str, input: &str) -> Result<(), String> {
        let wrapper = self.wrapper();
        let mut child = Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .args(command.split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{command}: {e}"))?;
        let written = child
            .stdin
            .take()
            .map(|mut pipe| pipe.write_all(input.as_bytes()));
        let output = child
            .wait_with_output()
            .map_err(|e| format!("{command}: {e}"))?;
        match written {
            Some(Ok(())) if output.status.success() => Ok(()),
            _ => Err(format!(
                "{command}: {}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }

    /// Calls `body` in a thread in the namespace, to which its sockets then belong. A panic of `body` continues in the
    /// caller with its message, which is then that of the failed test.
    pub fn enter<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let ns = File::open(self.path()).expect("the holder is running");
        let inside = || {
            move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter");
            body()
        };
        std::thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
