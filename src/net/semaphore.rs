//! A semaphore whose waiting tasks are served in the order of the [`Policy`]. The policy also decides what a permit is: an
//! amount that is shared fairly among peer addresses, or a TLS handshake with one of the app's ports. It uses only wakers
//! and no reactor, so it works under any executor.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::rc::Rc;

use super::task::set_waker;

/// The limited resource, and the rule that decides which requests fit.
pub trait Policy {
    /// What a permit is for.
    type Request: Copy;

    /// Whether a request that does not fit yet blocks the requests after it. If not, they may overtake it.
    const IS_STRICT: bool;

    /// Takes the resources of `request` if they are available. Returns whether they were.
    fn try_take(&mut self, request: Self::Request) -> bool;

    /// Makes the resources of `request` available again.
    fn release(&mut self, request: Self::Request);

    /// Whether no request fits now. Saves a search among the waiters.
    fn is_exhausted(&self) -> bool {
        false
    }

    /// Waiters of a lower rank get permits first; among equals, those that arrived first.
    fn rank(&self, _: Self::Request) -> usize {
        0
    }
}

/// Permits, and the queue of the tasks that wait for one.
#[derive(Debug)]
pub struct Semaphore<P: Policy> {
    pub(super) policy: RefCell<P>,
    pub(super) queue: RefCell<VecDeque<Waiter<P::Request>>>,
    /// Number of the next waiter.
    next: Cell<u32>,
    abandoned: Cell<usize>,
}

#[derive(Debug)]
pub(super) struct Waiter<R> {
    number: u32,
    request: R,
    waker: Option<Waker>,
    /// It has its permit and has not been polled since.
    is_granted: bool,
}

/// A permit. Dropping it releases its resources.
#[derive(Debug)]
pub struct Permit<P: Policy> {
    semaphore: Rc<Semaphore<P>>,
    request: P::Request,
}

/// A waiter's entry in the queue. Dropping it removes the entry; if its permit was granted but not yet used, the permit
/// goes to the next waiter.
struct WaiterGuard<P: Policy> {
    semaphore: Rc<Semaphore<P>>,
    number: u32,
}

impl<P: Policy> Semaphore<P> {
    /// A semaphore without waiters.
    pub fn new(policy: P) -> Rc<Semaphore<P>> {
        Rc::new(Semaphore {
            policy: RefCell::new(policy),
            queue: RefCell::default(),
            next: Cell::new(0),
            abandoned: Cell::new(0),
        })
    }

    /// Returns a permit if `request` fits now.
    pub fn try_acquire(self: &Rc<Self>, request: P::Request) -> Option<Permit<P>> {
        let is_blocked = P::IS_STRICT && self.has_waiter();
        let is_taken = !is_blocked && self.policy.borrow_mut().try_take(request);
        is_taken.then(|| self.permit(request))
    }

    /// Waits for a permit.
    pub async fn acquire(self: &Rc<Self>, request: P::Request) -> Permit<P> {
        if let Some(permit) = self.try_acquire(request) {
            return permit;
        }
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        self.queue.borrow_mut().push_back(Waiter {
            number,
            request,
            waker: None,
            is_granted: false,
        });
        let guard = WaiterGuard {
            semaphore: self.clone(),
            number,
        };
        if P::IS_STRICT {
            // It may go before those that block it.
            self.grant();
        }
        poll_fn(|cx| guard.poll(cx)).await;
        self.permit(request)
    }

    /// Calls `f` with the policy, to read its state.
    pub fn with_policy<T>(&self, f: impl FnOnce(&P) -> T) -> T {
        f(&self.policy.borrow())
    }

    /// The request that is granted next: the first one that waits and has no permit yet.
    pub fn next_waiting(&self) -> Option<P::Request> {
        let (queue, policy) = (self.queue.borrow(), self.policy.borrow());
        let waiting = queue.iter().filter(|waiter| !waiter.is_granted);
        let next = waiting.min_by_key(|waiter| policy.rank(waiter.request));
        next.map(|waiter| waiter.request)
    }

    /// Whether `f` is true for the request of a waiter that has no permit yet.
    #[cfg(feature = "tls")]
    pub(super) fn any_waiter(&self, f: impl Fn(&P, P::Request) -> bool) -> bool {
        let (queue, policy) = (self.queue.borrow(), self.policy.borrow());
        let mut waiting = queue.iter().filter(|waiter| !waiter.is_granted);
        waiting.any(|waiter| f(&policy, waiter.request))
    }

    /// Whether a task waits that has no permit yet.
    fn has_waiter(&self) -> bool {
        self.queue.borrow().iter().any(|waiter| !waiter.is_granted)
    }

    /// Number of waiters dropped before they had a permit, since the last call.
    pub fn take_abandoned(&self) -> usize {
        self.abandoned.take()
    }

    /// A permit for resources that were taken from the policy.
    pub(super) fn permit(self: &Rc<Self>, request: P::Request) -> Permit<P> {
        Permit {
            semaphore: self.clone(),
            request,
        }
    }

    fn release(&self, request: P::Request) {
        self.policy.borrow_mut().release(request);
        self.grant();
    }

    /// Grants permits to the waiters whose requests fit now, in order.
    fn grant(&self) {
        let mut wakers = Vec::new();
        match P::IS_STRICT {
            true => self.grant_until_one_does_not_fit(&mut wakers),
            false => self.grant_all_that_fit(&mut wakers),
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Does not sort the waiters: there may be a thousand, and few of them get a permit.
    fn grant_until_one_does_not_fit(&self, wakers: &mut Vec<Waker>) {
        let mut queue = self.queue.borrow_mut();
        let mut policy = self.policy.borrow_mut();
        while !policy.is_exhausted() {
            let waiting = queue.iter_mut().filter(|waiter| !waiter.is_granted);
            let Some(next) = waiting.min_by_key(|waiter| policy.rank(waiter.request)) else {
                return;
            };
            if !policy.try_take(next.request) {
                return;
            }
            next.is_granted = true;
            wakers.extend(next.waker.take());
        }
    }

    fn grant_all_that_fit(&self, wakers: &mut Vec<Waker>) {
        let mut queue = self.queue.borrow_mut();
        let mut policy = self.policy.borrow_mut();
        let mut order: Vec<(usize, &mut Waiter<_>)> = Vec::new();
        for waiter in queue.iter_mut().filter(|waiter| !waiter.is_granted) {
            let rank = policy.rank(waiter.request);
            let index = order.partition_point(|(other, _)| *other <= rank);
            order.insert(index, (rank, waiter));
        }
        for (_, waiter) in order {
            waiter.is_granted = policy.try_take(waiter.request);
            if waiter.is_granted {
                wakers.extend(waiter.waker.take());
            }
        }
    }

    fn remove(&self, number: u32) -> Option<Waiter<P::Request>> {
        let mut queue = self.queue.borrow_mut();
        let index = queue.iter().position(|waiter| waiter.number == number);
        index.and_then(|index| queue.remove(index))
    }
}

impl<P: Policy> WaiterGuard<P> {
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = self.semaphore.queue.borrow_mut();
        let mut waiters = queue.iter_mut();
        if let Some(waiter) = waiters.find(|waiter| waiter.number == self.number)
            && !waiter.is_granted
        {
            set_waker(&mut waiter.waker, cx);
            return Poll::Pending;
        }
        drop(queue);
        // Remove the entry, so that dropping this guard does not pass the permit on.
        self.semaphore.remove(self.number);
        Poll::Ready(())
    }
}

impl<P: Policy> Drop for WaiterGuard<P> {
    fn drop(&mut self) {
        match self.semaphore.remove(self.number) {
            Some(waiter) if waiter.is_granted => self.semaphore.release(waiter.request),
            Some(_) => {
                let abandoned = &self.semaphore.abandoned;
                abandoned.set(abandoned.get() + 1);
                // It may have blocked the waiters after it.
                self.semaphore.grant();
            }
            None => {}
        }
    }
}

impl<P: Policy> Permit<P> {
    /// Calls `f` with the policy.
    #[cfg(feature = "inject-library")]
    pub fn with_policy<T>(&self, f: impl FnOnce(&P) -> T) -> T {
        self.semaphore.with_policy(f)
    }

    /// Reduces the permit to `request`, which must need no more than the permit has.
    #[cfg(feature = "tls")]
    pub(super) fn reduce_to(&mut self, request: P::Request) {
        let released = core::mem::replace(&mut self.request, request);
        let mut policy = self.semaphore.policy.borrow_mut();
        policy.release(released);
        let fits = policy.try_take(request);
        debug_assert!(fits, "it needs more than the permit has");
        drop(policy);
        self.semaphore.grant();
    }
}

impl<P: Policy> Drop for Permit<P> {
    fn drop(&mut self) {
        self.semaphore.release(self.request);
    }
}

#[cfg(test)]
mod tests;
