//! Permits for the connections of all forwards. One app that hangs must not exhaust those of the others.

use core::cell::Cell;
use std::rc::Rc;

/// The permits of all forwards together.
pub struct ForwardPermits {
    /// Open connections of each forward.
    open: Box<[Cell<usize>]>,
    limit: usize,
}

impl ForwardPermits {
    /// Permits at most `limit` connections of all `forwards` together.
    pub fn new(limit: usize, forwards: usize) -> Rc<ForwardPermits> {
        Rc::new(ForwardPermits {
            open: vec![Cell::new(0); forwards].into(),
            limit,
        })
    }

    /// Number of open connections.
    pub fn open_connections(&self) -> usize {
        self.open.iter().map(Cell::get).sum()
    }

    /// A permit for forward number `index`. Its first connection may have any free one; a further one leaves
    /// a permit to each forward without a connection.
    pub(super) fn try_acquire(self: &Rc<ForwardPermits>, index: usize) -> Option<Permit> {
        let free = self.limit.saturating_sub(self.open_connections());
        let own = &self.open[index];
        let reserved = match own.get() {
            0 => 0,
            _ => self.open.iter().filter(|open| open.get() == 0).count(),
        };
        if free <= reserved {
            return None;
        }
        own.set(own.get() + 1);
        Some(Permit {
            permits: self.clone(),
            index,
        })
    }
}

/// Permits one connection until it is dropped.
pub(super) struct Permit {
    permits: Rc<ForwardPermits>,
    index: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let own = &self.permits.open[self.index];
        own.set(own.get() - 1);
    }
}
