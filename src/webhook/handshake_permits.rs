//! Permits of TLS handshakes, shared fairly among client addresses. While one waits for a permit, handshakes that let the
//! webhook wait are evicted: those of the address that has most first.

use super::connection_table::{ConnectionTable, Evicted};
use crate::limits;
use crate::net::{FairShares, Permit, Semaphore, Share};
use async_io::Timer;
use smol::channel::{Receiver, Sender};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

/// The permits.
pub struct HandshakePermits {
    semaphore: Rc<Semaphore<FairShares>>,
    /// Has a message after a connection has begun to wait.
    waiting: (Sender<()>, Receiver<()>),
}

impl HandshakePermits {
    /// All are available.
    pub fn new() -> HandshakePermits {
        HandshakePermits {
            semaphore: Semaphore::new(FairShares::of(limits::WEBHOOK_HANDSHAKES)),
            waiting: smol::channel::bounded(1),
        }
    }

    /// Waits for a permit. Calls `on_eviction` for a handshake that is evicted for it at once.
    pub async fn acquire(
        &self,
        client: IpAddr,
        connections: &ConnectionTable,
        on_eviction: impl FnOnce(Evicted),
    ) -> Permit<FairShares> {
        let share = Share {
            peer: client,
            amount: 1,
        };
        if let Some(permit) = self.semaphore.try_acquire(share) {
            return permit;
        }
        if let Some(evicted) = self.evict_for(client, connections) {
            on_eviction(evicted);
        }
        // A full channel has a message that has not been received yet.
        let _ = self.waiting.0.try_send(());
        self.semaphore.acquire(share).await
    }

    /// While connections wait for permits, evicts slow handshakes for the next of them: all may have been busy when it
    /// began to wait. Calls `on_eviction` for each.
    pub async fn run_evictor(&self, connections: &ConnectionTable, on_eviction: impl Fn(Evicted)) {
        // Both ends are in this value, so the channel is never closed.
        while let Ok(()) = self.waiting.1.recv().await {
            Timer::after(limits::WEBHOOK_HANDSHAKE_EVICTION_INTERVAL).await;
            while let Some(next) = self.semaphore.next_waiting() {
                if let Some(evicted) = self.evict_for(next.peer, connections) {
                    on_eviction(evicted);
                }
                Timer::after(limits::WEBHOOK_HANDSHAKE_EVICTION_INTERVAL).await;
            }
        }
    }

    fn evict_for(&self, client: IpAddr, connections: &ConnectionTable) -> Option<Evicted> {
        let permits_of = |peer| self.semaphore.with_policy(|shares| shares.held_by(peer));
        connections.evict_handshake_for(client, permits_of, Instant::now())
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
