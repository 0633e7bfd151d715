//! SIGTERM and SIGINT: the first is an event like any other, the second ends the process at once.

use async_io::Async;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use smol::io::AsyncReadExt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a shell reports for a process that SIGTERM ended.
const SECOND_SIGNAL_EXIT: i32 = 128 + SIGTERM;

/// Turns SIGTERM and SIGINT into something to wait for.
#[derive(Debug)]
pub struct Signals(Async<UnixStream>);

impl Signals {
    /// Takes over both signals.
    ///
    /// # Errors
    /// The kernel's, when it gives no descriptors.
    pub fn new() -> io::Result<Signals> {
        let (ours, theirs) = UnixStream::pair()?;
        let seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag unset, and sets it.
            flag::register_conditional_shutdown(signal, SECOND_SIGNAL_EXIT, seen.clone())?;
            flag::register(signal, seen.clone())?;
            low_level::pipe::register(signal, theirs.try_clone()?)?;
        }
        Ok(Signals(Async::new(ours)?))
    }

    /// Waits for the first signal.
    pub async fn received(&mut self) {
        // An error here can only mean that the pair is broken, which nothing but an end explains.
        let _ = self.0.read(&mut [0]).await;
    }
}
