//! Permits for the connections of all forwards. One app that hangs must not exhaust those of the others.

use crate::net::{Policy, Semaphore};

/// Permits for connections of all forwards together. The request is the forward's number.
pub type ForwardPermits = Semaphore<ForwardShares>;

/// The open connections of each forward, and their limit.
#[derive(Debug)]
pub struct ForwardShares {
    limit: usize,
    /// Number of open connections of each forward.
    open: Box<[usize]>,
}

impl ForwardShares {
    /// Permits at most `limit` connections of all `forwards` together.
    pub fn new(limit: usize, forwards: usize) -> ForwardShares {
        ForwardShares {
            limit,
            open: vec![0; forwards].into(),
        }
    }

    /// Number of open connections.
    pub fn open_connections(&self) -> usize {
        self.open.iter().sum()
    }
}

impl Policy for ForwardShares {
    type Request = usize;

    const IS_FIFO: bool = false;

    /// The first connection of a forward may have any available permit; a further one leaves a permit to each forward
    /// without a connection.
    fn try_take(&mut self, forward: usize) -> bool {
        let available = self.limit.saturating_sub(self.open_connections());
        let reserved = match self.open[forward] {
            0 => 0,
            _ => self.open.iter().filter(|open| **open == 0).count(),
        };
        let fits = available > reserved;
        if fits {
            self.open[forward] += 1;
        }
        fits
    }

    fn release(&mut self, forward: usize) {
        self.open[forward] -= 1;
    }
}
