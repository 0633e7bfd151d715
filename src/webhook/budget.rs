//! Bytes of bodies at once. Whoever finds no room waits in line, with nothing read.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::collections::VecDeque;
use std::rc::Rc;

/// Room for so many bytes.
#[derive(Debug)]
pub struct Budget {
    free: Cell<usize>,
    next: Cell<u64>,
    line: RefCell<VecDeque<(u64, Option<Waker>)>>,
}

/// Room that is taken; it is given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Rc<Budget>,
    bytes: usize,
}

/// A place in the line, which ends with it.
struct Turn<'b> {
    budget: &'b Budget,
    number: u64,
}

impl Budget {
    /// All of it free.
    pub fn new(bytes: usize) -> Rc<Budget> {
        Rc::new(Budget {
            free: Cell::new(bytes),
            next: Cell::new(0),
            line: RefCell::default(),
        })
    }

    /// How much is free.
    pub fn free(&self) -> usize {
        self.free.get()
    }

    /// Takes room, in the order in which it was asked for: many small bodies do not keep a large one waiting.
    pub async fn take(self: &Rc<Self>, bytes: usize) -> Share {
        let number = self.next.get();
        self.next.set(number + 1);
        self.line.borrow_mut().push_back((number, None));
        let _turn = Turn {
            budget: self,
            number,
        };
        poll_fn(|cx| {
            let mut line = self.line.borrow_mut();
            let is_first = line.front().is_some_and(|(first, _)| *first == number);
            if is_first && self.free.get() >= bytes {
                return Poll::Ready(());
            }
            if let Some((_, waker)) = line.iter_mut().find(|(other, _)| *other == number) {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
        self.free.set(self.free.get() - bytes);
        Share {
            budget: self.clone(),
            bytes,
        }
    }

    fn wake_first(&self) {
        if let Some((_, waker)) = self.line.borrow_mut().front_mut()
            && let Some(waker) = waker.take()
        {
            waker.wake();
        }
    }
}

impl Share {
    /// Gives back what is over.
    pub fn shrink(&mut self, bytes: usize) {
        let over = self.bytes.saturating_sub(bytes);
        self.bytes -= over;
        self.budget.free.set(self.budget.free.get() + over);
        self.budget.wake_first();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut line = self.budget.line.borrow_mut();
        line.retain(|(number, _)| *number != self.number);
        drop(line);
        self.budget.wake_first();
    }
}

#[cfg(test)]
mod tests;
