//! What the tests use: the agent as a process, fake apps, kubelet's prober, ports.

#![allow(dead_code, unused_imports)] // each test binary, and each module of tests, uses a part

pub mod agent;
pub mod app;
pub mod certs;
pub mod command;
pub mod connections;
pub mod fake_app;
pub mod faults;
pub mod folder;
pub mod frames;
pub mod http;
pub mod kubelet;
pub mod needs;
pub mod observe;
pub mod pass;
pub mod peers;
pub mod ports;
pub mod prometheus;
pub mod raw;
pub mod scripted;
mod selftest;
pub mod stream;
pub mod table;
pub mod trials;

pub use needs::{Need, needs};
pub use selftest::tests;

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a test waits for something that is due at once; only a failing test waits that long.
pub const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// Whether this build speaks TLS.
pub const TLS: bool = cfg!(feature = "tls");

/// The result of a test: what libtest-mimic takes.
pub type Outcome = Result<(), libtest_mimic::Failed>;

/// Polls until `holds` or the time is over. Returns whether it holds.
pub fn within(time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
}
