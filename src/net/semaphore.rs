//! A semaphore: waiting tasks are served in the order of arrival, unless the [`Policy`] lets a request that fits
//! overtake one that does not. The policy also decides what a permit is: a number of bytes, or a TLS handshake with one of
//! the app's ports. It uses only wakers and no reactor, so it works under any executor.

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
    const IS_FIFO: bool;

    /// Takes the resources of `request` if they are available. Returns whether they were.
    fn try_take(&mut self, request: Self::Request) -> bool;

    /// Makes the resources of `request` available again.
    fn release(&mut self, request: Self::Request);

    /// Waiters of a lower rank get permits first; among equals, those that arrived first. Ignored if `IS_FIFO`.
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
        let is_blocked = P::IS_FIFO && !self.queue.borrow().is_empty();
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
        poll_fn(|cx| guard.poll(cx)).await;
        self.permit(request)
    }

    /// Calls `f` with the policy, to read its state.
    pub fn with_policy<T>(&self, f: impl FnOnce(&P) -> T) -> T {
        f(&self.policy.borrow())
    }

    /// Whether `f` is true for the request of a waiter that has no permit yet.
    #[cfg(feature = "tls")]
    pub(super) fn any_waiter(&self, f: impl Fn(&P, P::Request) -> bool) -> bool {
        let (queue, policy) = (self.queue.borrow(), self.policy.borrow());
        let mut waiting = queue.iter().filter(|waiter| !waiter.is_granted);
        waiting.any(|waiter| f(&policy, waiter.request))
    }

    /// Number of waiters dropped before they had a permit, since the last call.
    pub fn take_abandoned(&self) -> usize {
        self.abandoned.take()
    }

    fn permit(self: &Rc<Self>, request: P::Request) -> Permit<P> {
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
        let mut queue = self.queue.borrow_mut();
        let mut policy = self.policy.borrow_mut();
        let mut order: Vec<(usize, &mut Waiter<_>)> = Vec::new();
        for waiter in queue.iter_mut().filter(|waiter| !waiter.is_granted) {
            let rank = match P::IS_FIFO {
                true => 0,
                false => policy.rank(waiter.request),
            };
            let index = order.partition_point(|(other, _)| *other <= rank);
            order.insert(index, (rank, waiter));
        }
        for (_, waiter) in order {
            waiter.is_granted = policy.try_take(waiter.request);
            if waiter.is_granted {
                wakers.extend(waiter.waker.take());
            } else if P::IS_FIFO {
                break;
            }
        }
        drop((queue, policy));
        wakers.into_iter().for_each(Waker::wake);
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

/// A number of bytes, of which each permit takes some. A large request is not overtaken by small ones.
#[derive(Debug)]
pub struct ByteBudget {
    available: usize,
}

/// Permits for numbers of bytes.
pub type ByteSemaphore = Semaphore<ByteBudget>;

/// A permit for a number of bytes.
pub type BytePermit = Permit<ByteBudget>;

impl Policy for ByteBudget {
    type Request = usize;

    const IS_FIFO: bool = true;

    fn try_take(&mut self, bytes: usize) -> bool {
        let rest = self.available.checked_sub(bytes);
        self.available = rest.unwrap_or(self.available);
        rest.is_some()
    }

    fn release(&mut self, bytes: usize) {
        self.available += bytes;
    }
}

impl ByteSemaphore {
    /// A semaphore of `bytes` bytes, all of them available.
    pub fn of_bytes(bytes: usize) -> Rc<ByteSemaphore> {
        Semaphore::new(ByteBudget { available: bytes })
    }

    /// Number of available bytes.
    pub fn available_bytes(&self) -> usize {
        self.with_policy(|budget| budget.available)
    }
}

impl BytePermit {
    /// Releases the bytes above `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.request.saturating_sub(bytes);
        self.request -= surplus;
        self.semaphore.release(surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{block_on, poll_once};
    use std::pin::pin;

    #[test]
    fn requests_that_do_not_fit_wait_in_order() {
        block_on(async {
            let semaphore = ByteSemaphore::of_bytes(10);
            let first = semaphore.acquire(8).await;
            let mut large = pin!(semaphore.acquire(5));
            assert!(poll_once(&mut large).await.is_none());
            let mut small = pin!(semaphore.acquire(1));
            // It would fit, but the large one is first.
            assert!(poll_once(&mut small).await.is_none());
            drop(first);
            let large = poll_once(large).await.expect("a permit");
            let small = poll_once(small).await.expect("a permit");
            assert_eq!(semaphore.available_bytes(), 4);
            drop((large, small));
            assert_eq!(semaphore.available_bytes(), 10);
        });
    }

    #[test]
    fn a_waiter_that_gives_up_no_longer_blocks_the_next_one() {
        block_on(async {
            let semaphore = ByteSemaphore::of_bytes(10);
            let _first = semaphore.acquire(8).await;
            let mut next = pin!(semaphore.acquire(2));
            {
                let mut large = pin!(semaphore.acquire(5));
                assert!(poll_once(&mut large).await.is_none());
                assert!(poll_once(&mut next).await.is_none());
            }
            assert!(poll_once(next).await.is_some());
        });
    }

    #[test]
    fn surplus_bytes_are_released_immediately() {
        block_on(async {
            let semaphore = ByteSemaphore::of_bytes(10);
            let mut permit = semaphore.acquire(10).await;
            let mut next = pin!(semaphore.acquire(6));
            assert!(poll_once(&mut next).await.is_none());
            permit.shrink_to(4);
            let _next = poll_once(next).await.expect("a permit");
            assert_eq!(semaphore.available_bytes(), 0);
        });
    }
}
