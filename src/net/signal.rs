//! SIGTERM and SIGINT: the first is an event like any other, the second ends the process at once.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::{Reactor, Socket};

/// What a shell reports for a process that SIGTERM ended.
const SECOND_SIGNAL_EXIT: i32 = 128 + SIGTERM;

/// Turns SIGTERM and SIGINT into something to wait for.
pub struct Signals(Socket);

impl Signals {
    /// Takes over both signals. A handler of our own also makes them work for PID 1, to which the
    /// kernel delivers no signal it has no handler for.
    ///
    /// # Errors
    /// The kernel's, when it gives no descriptors.
    pub fn new(reactor: &Rc<Reactor>) -> io::Result<Signals> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag unset, and sets it.
            flag::register_conditional_shutdown(signal, SECOND_SIGNAL_EXIT, seen.clone())?;
            flag::register(signal, seen.clone())?;
            low_level::pipe::register(signal, theirs.try_clone()?)?;
        }
        Ok(Signals(Socket::new(reactor.clone(), OwnedFd::from(ours))))
    }

    /// Waits for the first signal.
    pub async fn received(&self) {
        // An error here can only mean that the pair is broken, which nothing but an end explains.
        let _ = self.0.read(&mut [0]).await;
    }
}
