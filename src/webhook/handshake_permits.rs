//! Permits of TLS handshakes, shared fairly among client addresses. While one waits for a permit, handshakes that let the
//! webhook wait are evicted: those of the address that has most first. Of addresses that have as many, one whose last
//! handshake failed gets its next permit last, and is evicted first: attackers hold permits by not completing handshakes.

use super::connection_table::{ConnectionTable, Evicted, PeerHandshakes};
use crate::limits;
use crate::net::{FairShares, Permit, Policy, Semaphore, Share};
use async_io::Timer;
use core::cell::RefCell;
use smol::channel::{Receiver, Sender};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

/// The permits.
pub struct HandshakePermits {
    semaphore: Rc<Semaphore<HandshakeShares>>,
    /// Has a message after a connection has begun to wait.
    waiting: (Sender<()>, Receiver<()>),
}

/// A permit of one handshake. If it is dropped before [`complete`](Self::complete), the handshake has failed.
pub struct HandshakePermit {
    permit: Permit<HandshakeShares>,
    peer: IpAddr,
    is_completed: bool,
}

/// The permits that addresses share. Of those that hold as many, the address whose last permit is oldest is next: if there
/// are more attackers than permits, each of them holds none from time to time.
#[derive(Debug)]
pub struct HandshakeShares {
    shares: FairShares,
    histories: RefCell<BTreeMap<IpAddr, History>>,
    /// The number of the next permit, from 1.
    next_permit: usize,
}

/// The handshakes of an address.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    /// The number of its last permit.
    last_permit: usize,
    /// Whether its last handshake that ended has failed.
    has_failed: bool,
}

/// Bits of a permit's number. The rank of an address has its permits and a flag above them, in 32 bits on small machines.
const NUMBER_BITS: u32 = 20;

impl HandshakeShares {
    fn new() -> HandshakeShares {
        HandshakeShares {
            shares: FairShares::of(limits::WEBHOOK_HANDSHAKES),
            histories: RefCell::default(),
            next_permit: 1,
        }
    }

    fn record_permit(&mut self, peer: IpAddr) {
        let histories = self.histories.get_mut();
        if self.next_permit >> NUMBER_BITS > 0 {
            histories.clear();
            self.next_permit = 1;
        }
        histories.entry(peer).or_default().last_permit = self.next_permit;
        self.next_permit += 1;
        if histories.len() > limits::WEBHOOK_CONNECTIONS {
            let first = self.next_permit - limits::WEBHOOK_CONNECTIONS / 2;
            histories.retain(|_, history| history.last_permit >= first);
        }
    }

    fn record_result(&self, peer: IpAddr, has_failed: bool) {
        // It was forgotten if many addresses had permits since.
        if let Some(history) = self.histories.borrow_mut().get_mut(&peer) {
            history.has_failed = has_failed;
        }
    }

    fn history_of(&self, peer: IpAddr) -> History {
        let histories = self.histories.borrow();
        histories.get(&peer).copied().unwrap_or_default()
    }
}

impl Policy for HandshakeShares {
    type Request = IpAddr;

    const IS_STRICT: bool = true;

    fn try_take(&mut self, peer: IpAddr) -> bool {
        let is_taken = self.shares.try_take(one(peer));
        if is_taken {
            self.record_permit(peer);
        }
        is_taken
    }

    fn release(&mut self, peer: IpAddr) {
        self.shares.release(one(peer));
    }

    fn is_exhausted(&self) -> bool {
        self.shares.available() <= 0
    }

    /// By the permits that the address holds, then the result of its last handshake, then the age of its last permit.
    fn rank(&self, peer: IpAddr) -> usize {
        let history = self.history_of(peer);
        let class = (self.shares.held_by(peer) << 1) | usize::from(history.has_failed);
        (class << NUMBER_BITS) | history.last_permit
    }
}

fn one(peer: IpAddr) -> Share {
    Share { peer, amount: 1 }
}

impl HandshakePermits {
    /// All are available.
    pub fn new() -> HandshakePermits {
        HandshakePermits {
            semaphore: Semaphore::new(HandshakeShares::new()),
            waiting: smol::channel::bounded(1),
        }
    }

    /// Waits for a permit. Calls `on_eviction` for a handshake that is evicted for it at once.
    pub async fn acquire(
        &self,
        client: IpAddr,
        connections: &ConnectionTable,
        on_eviction: impl FnOnce(Evicted),
    ) -> HandshakePermit {
        let wrap = |permit| HandshakePermit {
            permit,
            peer: client,
            is_completed: false,
        };
        if let Some(acquired) = self.semaphore.try_acquire(client) {
            return wrap(acquired);
        }
        if let Some(evicted) = self.evict_for(client, connections) {
            on_eviction(evicted);
        }
        // A full channel has a message that has not been received yet.
        let _ = self.waiting.0.try_send(());
        wrap(self.semaphore.acquire(client).await)
    }

    /// While connections wait for permits, evicts slow handshakes for the next of them: all may have been busy when it
    /// began to wait. Calls `on_eviction` for each.
    pub async fn run_evictor(&self, connections: &ConnectionTable, on_eviction: impl Fn(Evicted)) {
        // Both ends are in this value, so the channel is never closed.
        while let Ok(()) = self.waiting.1.recv().await {
            Timer::after(limits::WEBHOOK_HANDSHAKE_EVICTION_INTERVAL).await;
            while let Some(next) = self.semaphore.next_waiting() {
                if let Some(evicted) = self.evict_for(next, connections) {
                    on_eviction(evicted);
                }
                Timer::after(limits::WEBHOOK_HANDSHAKE_EVICTION_INTERVAL).await;
            }
        }
    }

    fn evict_for(&self, client: IpAddr, connections: &ConnectionTable) -> Option<Evicted> {
        let handshakes_of = |peer| {
            self.semaphore.with_policy(|policy| PeerHandshakes {
                permits: policy.shares.held_by(peer),
                has_failed: policy.history_of(peer).has_failed,
            })
        };
        connections.evict_handshake_for(client, handshakes_of, Instant::now())
    }
}

impl HandshakePermit {
    /// Releases the permit of a handshake that has completed.
    pub fn complete(mut self) {
        self.is_completed = true;
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        let has_failed = !self.is_completed;
        self.permit
            .with_policy(|policy| policy.record_result(self.peer, has_failed));
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection_table::Phase;
    use super::*;
    use smol::future::{block_on, or, zip};

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 42, 0, n])
    }

    #[test]
    fn of_addresses_with_as_many_permits_the_one_whose_last_permit_is_oldest_is_next() {
        let mut shares = HandshakeShares::new();
        for n in [1, 2, 3] {
            assert!(shares.try_take(ip(n)));
        }
        shares.release(ip(2));
        shares.release(ip(1));
        let ranks = [4, 1, 2, 3].map(|n| shares.rank(ip(n)));
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert_eq!(shares.rank(ip(4)), shares.rank(ip(5)));
    }

    #[test]
    fn of_addresses_with_as_many_permits_one_whose_last_handshake_failed_is_last() {
        let (permits, connections) = (HandshakePermits::new(), ConnectionTable::new(1024));
        block_on(async {
            let acquire = |n| permits.acquire(ip(n), &connections, |_| ());
            // Held until the end, so that the results of addresses 1 and 2 are of handshakes that have ended.
            let _held = acquire(3).await;
            drop(acquire(1).await);
            acquire(2).await.complete();
            let rank = |n| permits.semaphore.with_policy(|shares| shares.rank(ip(n)));
            let ranks = [4, 2, 1, 3].map(rank);
            assert!(ranks.is_sorted(), "{ranks:?}");
            acquire(1).await.complete();
            drop(acquire(2).await);
            let ranks = [4, 1, 2, 3].map(rank);
            assert!(ranks.is_sorted(), "{ranks:?}");
        });
    }

    #[test]
    fn permits_of_more_addresses_than_there_are_connections_are_forgotten() {
        let mut shares = HandshakeShares::new();
        let peer = |n: u32| IpAddr::from(n.to_be_bytes());
        let count = limits::WEBHOOK_CONNECTIONS as u32 + 1;
        for n in 0..count {
            assert!(shares.try_take(peer(n)));
            shares.release(peer(n));
        }
        assert_eq!(shares.rank(peer(0)), 0);
        assert!(shares.rank(peer(count - 1)) > 0);
        shares.next_permit = 1 << NUMBER_BITS;
        assert!(shares.try_take(peer(1)));
        assert_eq!(shares.rank(peer(1)), (2 << NUMBER_BITS) | 1);
        assert_eq!(shares.rank(peer(count - 1)), 0);
    }

    #[test]
    fn a_handshake_that_becomes_slow_after_others_wait_is_evicted() {
        let (permits, connections) = (HandshakePermits::new(), ConnectionTable::new(1024));
        block_on(async {
            let mut held = Vec::new();
            for _ in 0..limits::WEBHOOK_HANDSHAKES {
                let id = connections.insert(ip(1));
                connections.set_phase(id, Phase::Busy);
                held.push((id, permits.acquire(ip(1), &connections, |_| ()).await));
            }
            let slow = held[7].0;
            let (is_evicted, evicted) = smol::channel::unbounded();
            let waiting = permits.acquire(ip(2), &connections, |_| ());
            let evictor = permits.run_evictor(&connections, |evicted| {
                let _ = is_evicted.try_send(evicted);
            });
            let others = async {
                // It waits by now, and none waited for its client when it began to.
                connections.set_phase(slow, Phase::Handshake);
                let evicted = evicted.recv().await.expect("open");
                assert_eq!(evicted.peer, ip(1));
                held.remove(7);
            };
            let is_granted = async {
                zip(waiting, others).await;
            };
            or(is_granted, evictor).await;
        });
        assert_eq!(connections.evicted_count(Phase::Handshake), 1);
    }
}
