//! SIGTERM and SIGINT of both programs: the first signal is an event, the second ends the process immediately.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::reactor::Reactor;
use super::socket::Socket;

/// The exit code that a shell reports for a process ended by SIGTERM.
const SECOND_SIGNAL_EXIT: i32 = 128 + SIGTERM;

/// Installs handlers for both signals. Returns a nonblocking stream that becomes readable at the first one. With
/// handlers they also work for PID 1, to which the kernel delivers only signals that have a handler.
///
/// # Errors
/// The kernel's, if it is out of descriptors.
pub fn termination_signals() -> io::Result<UnixStream> {
    let (ours, handlers) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let was_received = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag unset, and sets it.
        flag::register_conditional_shutdown(signal, SECOND_SIGNAL_EXIT, was_received.clone())?;
        flag::register(signal, was_received.clone())?;
        low_level::pipe::register(signal, handlers.try_clone()?)?;
    }
    Ok(ours)
}

/// SIGTERM and SIGINT under the agent's reactor.
pub struct Signals(Socket);

impl Signals {
    /// Installs the handlers, see [`termination_signals`].
    ///
    /// # Errors
    /// The kernel's, if it is out of descriptors.
    pub fn new(reactor: &Rc<Reactor>) -> io::Result<Signals> {
        let stream = termination_signals()?;
        Ok(Signals(Socket::new(reactor.clone(), OwnedFd::from(stream))))
    }

    /// Waits for the first signal.
    pub async fn wait(&self) {
        // An error means that the socket pair is broken. To stop is the only safe reaction.
        let _ = self.0.read(&mut [0]).await;
    }
}
