//! The memory of request bodies while they arrive, and of responses while they are sent. It is charged in steps as bytes
//! arrive, so a length that is only announced holds nothing. Bodies of up to `limits::SMALL_BODY_BYTES`, as pods have,
//! share a budget that larger ones never take.
//!
//! While somebody waits for memory, the slowest holder is evicted: the one whose client has let us wait longest for its
//! bytes, in total. The API server sends a body at once, so it lets us wait for the network only; to hold memory a client
//! has to let us wait. Bytes per time would also blame a client for the time that we spent on others.

use crate::limits;
use crate::net::{FairShares, Permit, Semaphore, Share, select_victim, set_waker};
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

/// The memory of all bodies and responses.
pub struct BodyMemory {
    small: Budget,
    large: Budget,
    evicted: Cell<u64>,
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
    /// It was the slowest while others waited for memory.
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
    /// Bytes that holders wait for.
    wanted: Cell<usize>,
}

struct Holder {
    peer: IpAddr,
    began: Instant,
    bytes: usize,
    state: HolderState,
    /// How long its client has let us wait so far, the current wait excluded.
    client_wait: Duration,
    is_evicted: bool,
    /// Its bytes arrived when it was about to be evicted, which happens once.
    is_spared: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HolderState {
    /// It continues by itself.
    Running,
    AwaitsClient {
        since: Instant,
    },
    AwaitsMemory,
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
    /// All memory is available.
    pub fn new() -> BodyMemory {
        BodyMemory {
            small: Budget::new(limits::SMALL_BODY_BYTES_TOTAL),
            large: Budget::new(limits::LARGE_BODY_BYTES_TOTAL),
            evicted: Cell::new(0),
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

    /// Evicts the slowest while somebody waits, until it is dropped. `pause` is the time between two looks.
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
        let evicted = self.small.evict_slowest(now) + self.large.evict_slowest(now);
        self.evicted.set(self.evicted.get() + evicted);
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
            wanted: Cell::new(0),
        }
    }

    fn insert(&self, peer: IpAddr) -> HolderId {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let holder = Holder {
            peer,
            began: Instant::now(),
            bytes: 0,
            state: HolderState::Running,
            client_wait: Duration::ZERO,
            is_evicted: false,
            is_spared: false,
            waker: None,
        };
        self.holders.borrow_mut().insert(id, holder);
        id
    }

    fn with<T>(&self, id: HolderId, f: impl FnOnce(&mut Holder) -> T) -> T {
        let mut holders = self.holders.borrow_mut();
        // A holder is in the table until its allocation is dropped.
        f(holders.get_mut(&id).expect("a holder of an allocation"))
    }

    /// Whether more memory is wanted than is available.
    fn is_short(&self) -> bool {
        let available = self.semaphore.with_policy(FairShares::available);
        self.wanted.get() > 0 || available < 0
    }

    /// Evicts holders until their memory suffices for those that wait. Returns their number.
    fn evict_slowest(&self, now: Instant) -> u64 {
        if !self.is_short() {
            return 0;
        }
        let mut holders = self.holders.borrow_mut();
        let evicted = holders.values().filter(|holder| holder.is_evicted);
        let freed: usize = evicted.map(|holder| holder.bytes).sum();
        let available = self.semaphore.with_policy(FairShares::available);
        let mut missing = self.wanted.get().cast_signed() - available - freed.cast_signed();
        let mut count = 0;
        while missing > 0
            && let Some(victim) = self.select(&holders, now)
            && let Some(holder) = holders.get_mut(&victim)
        {
            holder.is_evicted = true;
            missing -= holder.bytes.cast_signed();
            count += 1;
            if let Some(waker) = holder.waker.take() {
                waker.wake();
            }
        }
        count
    }

    /// The slowest holder; or, if all of them wait for memory, the oldest one of the address that holds most.
    fn select(&self, holders: &BTreeMap<HolderId, Holder>, now: Instant) -> Option<HolderId> {
        let held = |(_, holder): &(&HolderId, &Holder)| holder.bytes > 0 && !holder.is_evicted;
        let held = holders.iter().filter(held);
        let slow = held.clone().filter(|(_, holder)| holder.is_slow(now));
        let slowest = slow.max_by_key(|(_, holder)| holder.client_wait(now));
        if let Some((id, _)) = slowest {
            return Some(*id);
        }
        let awaits_memory = |(_, holder): (_, &Holder)| holder.state == HolderState::AwaitsMemory;
        if !held.clone().all(awaits_memory) {
            return None;
        }
        let by_age = held.map(|(id, holder)| {
            let age = now.saturating_duration_since(holder.began);
            (*id, holder.peer, (), age)
        });
        select_victim(by_age, |peer| {
            self.semaphore.with_policy(|shares| shares.held_by(peer))
        })
    }
}

impl Holder {
    fn client_wait(&self, now: Instant) -> Duration {
        let current = match self.state {
            HolderState::AwaitsClient { since } => now.saturating_duration_since(since),
            HolderState::Running | HolderState::AwaitsMemory => Duration::ZERO,
        };
        self.client_wait + current
    }

    fn is_slow(&self, now: Instant) -> bool {
        let awaits_client = matches!(self.state, HolderState::AwaitsClient { .. });
        awaits_client && self.client_wait(now) >= limits::SLOW_BODY
    }

    fn set_state(&mut self, state: HolderState, now: Instant) {
        self.client_wait = self.client_wait(now);
        self.state = state;
    }

    /// Whether it stays evicted although its bytes have arrived: they may have arrived before it was evicted.
    fn spare_once(&mut self) {
        if self.is_evicted && !self.is_spared {
            (self.is_evicted, self.is_spared) = (false, true);
        }
    }

    fn poll_evicted(&mut self, cx: &Context<'_>) -> Poll<MemoryError> {
        if self.is_evicted {
            return Poll::Ready(MemoryError::Evicted);
        }
        set_waker(&mut self.waker, cx);
        Poll::Pending
    }
}

impl Allocation<'_> {
    fn with_holder<T>(&self, f: impl FnOnce(&mut Holder) -> T) -> T {
        self.memory.budget(self.size).with(self.id, f)
    }

    /// Bytes of memory that it has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How long the client has let us wait.
    pub fn client_wait(&self) -> Duration {
        self.with_holder(|holder| holder.client_wait(Instant::now()))
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
        if BodySize::of(bytes) != self.size && self.size == BodySize::Small {
            return self.move_to_large(bytes, timeout).await;
        }
        let permit = self.acquire(bytes - self.bytes, timeout).await?;
        self.add(permit, bytes);
        Ok(())
    }

    async fn move_to_large<T>(
        &mut self,
        bytes: usize,
        timeout: impl Future<Output = T>,
    ) -> Result<(), MemoryError> {
        let mut large = self.memory.allocation(self.peer, BodySize::Large);
        let client_wait = self.client_wait();
        large.with_holder(|holder| holder.client_wait = client_wait);
        let permit = large.acquire(bytes, timeout).await?;
        large.add(permit, bytes);
        *self = large;
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
            let polled = future.as_mut().poll(cx);
            self.with_holder(|holder| match polled {
                Poll::Ready(output) => {
                    holder.set_state(HolderState::Running, Instant::now());
                    holder.spare_once();
                    Poll::Ready(Ok(output))
                }
                Poll::Pending => {
                    let since = Instant::now();
                    holder.set_state(HolderState::AwaitsClient { since }, since);
                    holder.poll_evicted(cx).map(Err)
                }
            })
        })
        .await
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
        self.with_holder(|holder| holder.set_state(HolderState::AwaitsMemory, Instant::now()));
        let _wanted = Wanted::begin(&budget.wanted, bytes);
        self.memory.wake_evictor();
        let (mut acquiring, mut timeout) = (
            pin!(budget.semaphore.acquire(self.share(bytes))),
            pin!(timeout),
        );
        poll_fn(|cx| {
            let polled = acquiring.as_mut().poll(cx);
            self.with_holder(|holder| {
                if let Poll::Ready(permit) = polled {
                    holder.set_state(HolderState::Running, Instant::now());
                    return Poll::Ready(Ok(permit));
                }
                if timeout.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(MemoryError::Timeout));
                }
                holder.poll_evicted(cx).map(Err)
            })
        })
        .await
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

/// Bytes that somebody waits for, until it is dropped.
struct Wanted<'b> {
    total: &'b Cell<usize>,
    bytes: usize,
}

impl<'b> Wanted<'b> {
    fn begin(total: &'b Cell<usize>, bytes: usize) -> Wanted<'b> {
        total.set(total.get() + bytes);
        Wanted { total, bytes }
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.total.set(self.total.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests;
