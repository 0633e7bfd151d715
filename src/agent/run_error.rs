//! Errors that end the agent.

use core::fmt;

use rustix::io::Errno;

use super::resources::TooFewDescriptors;
use crate::net::ListenError;
use crate::probe::TlsSettingError;

/// An error at start-up or in the event loop.
#[derive(Debug)]
pub enum RunError {
    /// A system call failed that the agent cannot run without.
    Kernel {
        /// The failed action, such as "wait for events".
        action: &'static str,
        /// The error of the system call.
        error: Errno,
    },
    /// An address could not be listened on.
    Listen(ListenError),
    /// The limit of file descriptors is too low.
    Descriptors(TooFewDescriptors),
    /// A file for TLS that the settings name cannot be used.
    Tls(TlsSettingError),
}

impl RunError {
    /// The exit code: 2 for a wrong setting, the same as for an invalid configuration; 1 if the settings are valid, but
    /// the agent cannot run here.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Tls(_) => 2,
            RunError::Kernel { .. } | RunError::Listen(_) | RunError::Descriptors(_) => 1,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Kernel { action, error } => write!(f, "cannot {action}: {error}"),
            RunError::Listen(error) => error.fmt(f),
            RunError::Tls(error) => error.fmt(f),
            RunError::Descriptors(error) => error.fmt(f),
        }
    }
}
