//! What the tests share: the agent as a process, fake apps, kubelet's prober code, ports.
//!
//! | fake app | use it for |
//! |---|---|
//! | `SwitchableApp` | one response for all requests, which the test changes at run time |
//! | `PathScriptedApp` | a script for each path of HTTP/1.1, and a record of the requests |
//! | `ConnectionScriptedApp` | a script for each connection, byte for byte or in frames of HTTP/2 |
//! | `faults::http1::Http1FaultApps` | the apps and sockets of the HTTP/1.1 part of the fault catalogue |

#![allow(dead_code, unused_imports)] // a build with fewer features uses only a part

pub mod agent;
pub mod certs;
#[cfg(feature = "inject")]
pub mod cgroup;
pub mod command;
pub mod connection_scripted_app;
pub mod connections;
pub mod faults;
pub mod folder;
pub mod frames;
pub mod http;
pub mod kubelet;
pub mod needs;
pub mod netns;
pub mod observe;
pub mod path_scripted_app;
pub mod peers;
pub mod permit;
pub mod ports;
pub mod prometheus;
pub mod raw;
mod selftest;
pub mod ss;
pub mod stream;
pub mod switchable_app;
pub mod table;
pub mod trials;

pub use needs::{Need, needs};
pub use selftest::tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The timeout of a wait for an event that is due at once. Only a failing test waits that long.
pub const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// Whether this build speaks TLS.
pub const TLS: bool = cfg!(feature = "tls");

/// The result of a test, as libtest-mimic expects it.
pub type Outcome = Result<(), libtest_mimic::Failed>;

/// Locks a mutex, also after a trial has panicked with it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Polls until the condition holds or the time is over. Returns whether it holds.
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
