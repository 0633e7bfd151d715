//! The places of all forwards, and how they share them: one app that hangs must not fail the probes
//! of the others.

use core::cell::Cell;
use std::rc::Rc;

/// The places of all forwards together.
pub struct Places {
    /// Open connections of each forward.
    open: Box<[Cell<usize>]>,
    most: usize,
}

impl Places {
    /// `most` connections at once, over so many forwards.
    pub fn new(most: usize, forwards: usize) -> Rc<Places> {
        Rc::new(Places {
            open: vec![Cell::new(0); forwards].into(),
            most,
        })
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.iter().map(Cell::get).sum()
    }

    /// A place for forward number `index`. Its first may be any that is free; a further one leaves one
    /// to each forward that has none.
    pub(super) fn take(self: &Rc<Places>, index: usize) -> Option<Place> {
        let free = self.most.saturating_sub(self.open());
        let own = &self.open[index];
        let kept = match own.get() {
            0 => 0,
            _ => self.open.iter().filter(|open| open.get() == 0).count(),
        };
        if free <= kept {
            return None;
        }
        own.set(own.get() + 1);
        Some(Place {
            places: self.clone(),
            index,
        })
    }
}

/// One place; given back on drop.
pub(super) struct Place {
    places: Rc<Places>,
    index: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let own = &self.places.open[self.index];
        own.set(own.get() - 1);
    }
}
