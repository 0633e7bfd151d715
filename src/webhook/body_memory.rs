//! The memory of request bodies while they arrive, and of responses while they are sent. It is charged in steps as bytes
//! arrive, so a length that is only announced holds nothing. Bodies of up to `limits::SMALL_BODY_BYTES`, as pods have,
//! share a budget that larger ones never take.
//!
//! While somebody waits for memory, the slowest holder is evicted: the one whose client has let us wait longest for its
//! bytes, in total. The API server sends a body at once, so it lets us wait for the network only; to hold memory a client
//! has to let us wait. Bytes per time would also blame a client for the time that we spent on others, which is no part of
//! a wait: the CPU time of other requests' turns, and the time since its bytes arrived.

mod holder;

use crate::limits;
use crate::net::{Candidate, FairShares, Permit, Semaphore, Share, select_victim, set_waker};
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use holder::{Holder, HolderState};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

/// The memory of all bodies and responses.
pub struct BodyMemory {
    small: Budget,
    large: Budget,
    evicted: Cell<u64>,
    /// CPU time of all turns so far.
    cpu_time: Rc<Cell<Duration>>,
    /// Wakes the evictor when somebody begins to wait.
    evictor: RefCell<Option<Waker>>,
}

/// The memory of one body or response. Dropping it releases the memory.
pub struct Allocation<'m> {
    memory: &'m BodyMemory,
    size: BodySize,
    id: HolderId,
    peer: IpAddr,
    permits: Vec<Permit<FairShares>>,
    bytes: usize,
}

/// Why a body is not received, or a response not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// There was no memory in time.
    Timeout,
    /// Its memory was taken for others: it was the slowest, or its address held most while all waited.
    Evicted,
}

/// Which budget a body is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodySize {
    /// At most `limits::SMALL_BODY_BYTES`.
    Small,
    /// Larger.
    Large,
}

type HolderId = u64;

struct Budget {
    bytes: usize,
    semaphore: Rc<Semaphore<FairShares>>,
    holders: RefCell<BTreeMap<HolderId, Holder>>,
    next_id: Cell<HolderId>,
}

impl BodySize {
    /// The budget for this number of bytes.
    pub fn of(bytes: usize) -> BodySize {
        match bytes <= limits::SMALL_BODY_BYTES {
            true => BodySize::Small,
            false => BodySize::Large,
        }
    }
}

impl BodyMemory {
    /// All memory is available. `cpu_time` is the CPU time of all turns so far.
    pub fn new(cpu_time: Rc<Cell<Duration>>) -> BodyMemory {
        BodyMemory {
            small: Budget::new(limits::SMALL_BODY_BYTES_TOTAL),
            large: Budget::new(limits::LARGE_BODY_BYTES_TOTAL),
            evicted: Cell::new(0),
            cpu_time,
            evictor: RefCell::default(),
        }
    }

    /// Memory for a body or a response of this client, none at first.
    pub fn allocation(&self, peer: IpAddr, size: BodySize) -> Allocation<'_> {
        Allocation {
            memory: self,
            size,
            id: self.budget(size).insert(peer),
            peer,
            permits: Vec::new(),
            bytes: 0,
        }
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> usize {
        let used = |budget: &Budget| {
            let rest = budget.semaphore.with_policy(FairShares::available);
            (budget.bytes.cast_signed() - rest).cast_unsigned()
        };
        used(&self.small) + used(&self.large)
    }

    /// Number of bodies and responses evicted so far.
    pub fn evicted_count(&self) -> u64 {
        self.evicted.get()
    }

    /// Evicts the slowest while somebody waits, until it is dropped. `pause` waits for the poll interval.
    pub async fn run_evictor<F: Future>(&self, pause: impl Fn() -> F) {
        loop {
            poll_fn(|cx| match self.small.is_short() || self.large.is_short() {
                true => Poll::Ready(()),
                false => {
                    set_waker(&mut self.evictor.borrow_mut(), cx);
                    Poll::Pending
                }
            })
            .await;
            self.evict_slowest(Instant::now());
            pause().await;
        }
    }

    fn evict_slowest(&self, now: Instant) {
        self.small.evict_slowest(now);
        self.large.evict_slowest(now);
    }

    fn count(&self, error: MemoryError) {
        if error == MemoryError::Evicted {
            self.evicted.set(self.evicted.get() + 1);
        }
    }

    fn wake_evictor(&self) {
        if let Some(waker) = self.evictor.borrow_mut().take() {
            waker.wake();
        }
    }

    fn budget(&self, size: BodySize) -> &Budget {
        match size {
            BodySize::Small => &self.small,
            BodySize::Large => &self.large,
        }
    }
}

impl Budget {
    fn new(bytes: usize) -> Budget {
        Budget {
            bytes,
            semaphore: Semaphore::new(FairShares::of(bytes)),
            holders: RefCell::default(),
            next_id: Cell::new(0),
        }
    }

    fn insert(&self, peer: IpAddr) -> HolderId {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        self.holders.borrow_mut().insert(id, Holder::new(peer));
        id
    }

    fn with<T>(&self, id: HolderId, f: impl FnOnce(&mut Holder) -> T) -> T {
        let mut holders = self.holders.borrow_mut();
        // A holder is in the table until its allocation is dropped.
        f(holders.get_mut(&id).expect("a holder of an allocation"))
    }

    /// Whether more memory is wanted than is available.
    fn is_short(&self) -> bool {
        self.missing_bytes() > 0
    }

    /// Bytes that the request that is granted next needs and are not available. Those of the requests after it are not
    /// added: otherwise many that wait would evict everybody.
    fn missing_bytes(&self) -> isize {
        let next = self.semaphore.next_waiting();
        let wanted = next.map_or(0, |share| share.amount);
        wanted.cast_signed() - self.semaphore.with_policy(FairShares::available)
    }

    /// Evicts slow holders until their memory suffices for the request that is granted next. If none is slow and all wait
    /// for memory themselves, evicts one of them, as it may be that request itself.
    fn evict_slowest(&self, now: Instant) {
        if !self.is_short() {
            return;
        }
        let mut holders = self.holders.borrow_mut();
        let evicted = holders.values().filter(|holder| holder.is_evicted);
        let freed: usize = evicted.map(|holder| holder.bytes).sum();
        let mut missing = self.missing_bytes() - freed.cast_signed();
        while missing > 0
            && let Some(holder) = slowest(&mut holders, now)
        {
            missing -= holder.bytes.cast_signed();
            holder.evict();
        }
        if let Some(victim) = self.select_blocked(&holders, now)
            && let Some(holder) = holders.get_mut(&victim)
        {
            holder.evict();
        }
    }

    /// If all holders wait for memory, the oldest one of the address that holds most.
    fn select_blocked(
        &self,
        holders: &BTreeMap<HolderId, Holder>,
        now: Instant,
    ) -> Option<HolderId> {
        let mut held = holders.iter().filter(|(_, holder)| holder.bytes > 0);
        let by_age = held.clone().map(|(id, holder)| {
            let age = now.saturating_duration_since(holder.began);
            Candidate {
                key: *id,
                peer: holder.peer,
                ground: (),
                age,
            }
        });
        let is_blocked =
            |holder: &Holder| holder.state == HolderState::AwaitsMemory && !holder.is_evicted;
        held.all(|(_, holder)| is_blocked(holder)).then_some(())?;
        select_victim(by_age, |peer| {
            self.semaphore.with_policy(|shares| shares.held_by(peer))
        })
    }
}

/// The slow holder whose client has let us wait longest.
fn slowest(holders: &mut BTreeMap<HolderId, Holder>, now: Instant) -> Option<&mut Holder> {
    let slow = holders.values_mut().filter(|holder| holder.is_slow(now));
    slow.max_by_key(|holder| holder.client_wait(now))
}

impl Allocation<'_> {
    fn with_holder<T>(&self, f: impl FnOnce(&mut Holder) -> T) -> T {
        self.memory.budget(self.size).with(self.id, f)
    }

    fn poll_evicted(&self, cx: &Context<'_>) -> Poll<MemoryError> {
        let evicted = self.with_holder(|holder| holder.poll_evicted(cx));
        evicted.map(|()| MemoryError::Evicted)
    }

    /// Bytes of memory that it has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn set_state(&self, state: HolderState) {
        let (now, cpu_time) = (Instant::now(), self.memory.cpu_time.get());
        self.with_holder(|holder| holder.set_state(state, now, cpu_time));
    }

    /// How long the client has let us wait until the end of the last read or write.
    pub fn client_wait(&self) -> Duration {
        self.with_holder(|holder| holder.client_wait)
    }

    /// Waits until there is memory for `bytes` in total.
    ///
    /// # Errors
    /// The deadline passed, or the memory was taken for others.
    pub async fn grow<T>(
        &mut self,
        bytes: usize,
        timeout: impl Future<Output = T>,
    ) -> Result<(), MemoryError> {
        let permit = self.acquire(bytes - self.bytes, timeout).await?;
        self.add(permit, bytes);
        Ok(())
    }

    /// Takes memory for `bytes` that exist already, even if there is none: the slowest are evicted for it.
    pub fn take(&mut self, bytes: usize) {
        let share = self.share(bytes);
        let budget = self.memory.budget(self.size);
        let permit = budget.semaphore.force_acquire(share);
        self.add(permit, self.bytes + bytes);
        if self.memory.budget(self.size).is_short() {
            self.memory.wake_evictor();
        }
    }

    /// Runs a read or a write that waits for the client, until the memory is taken for others.
    ///
    /// # Errors
    /// The memory was taken for others.
    pub async fn while_client<F: Future>(&self, future: F) -> Result<F::Output, MemoryError> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let waker = self.with_holder(|holder| holder.client_waker(cx));
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => {
                    self.set_state(HolderState::Running);
                    self.with_holder(Holder::spare_once);
                    Poll::Ready(Ok(output))
                }
                Poll::Pending => {
                    self.set_state(HolderState::AwaitsClient {
                        since: Instant::now(),
                        cpu_time: self.memory.cpu_time.get(),
                    });
                    self.poll_evicted(cx).map(Err)
                }
            }
        })
        .await
        .inspect_err(|error| self.memory.count(*error))
    }

    async fn acquire<T>(
        &self,
        bytes: usize,
        timeout: impl Future<Output = T>,
    ) -> Result<Permit<FairShares>, MemoryError> {
        let budget = self.memory.budget(self.size);
        if let Some(permit) = budget.semaphore.try_acquire(self.share(bytes)) {
            return Ok(permit);
        }
        self.set_state(HolderState::AwaitsMemory);
        self.memory.wake_evictor();
        let (mut acquiring, mut timeout) = (
            pin!(budget.semaphore.acquire(self.share(bytes))),
            pin!(timeout),
        );
        poll_fn(|cx| {
            let polled = acquiring.as_mut().poll(cx);
            if let Poll::Ready(permit) = polled {
                self.set_state(HolderState::Running);
                // It may have been granted before it was evicted.
                self.with_holder(|holder| holder.is_evicted = false);
                return Poll::Ready(Ok(permit));
            }
            if timeout.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(MemoryError::Timeout));
            }
            self.poll_evicted(cx).map(Err)
        })
        .await
        .inspect_err(|error| self.memory.count(*error))
    }

    fn share(&self, amount: usize) -> Share {
        Share {
            peer: self.peer,
            amount,
        }
    }

    fn add(&mut self, permit: Permit<FairShares>, bytes: usize) {
        self.permits.push(permit);
        self.bytes = bytes;
        self.with_holder(|holder| holder.bytes = bytes);
    }
}

impl Drop for Allocation<'_> {
    fn drop(&mut self) {
        let budget = self.memory.budget(self.size);
        budget.holders.borrow_mut().remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
