//! Turns of the one thread. Signatures of TLS handshakes and reviews cost more CPU time than anything else, and no task
//! waits behind those of one address: addresses share the CPU time fairly (start-time fair queueing: Goyal, Vin and Cheng,
//! SIGCOMM 1996). An address that was idle has no advantage, and one that was alone no disadvantage.

use crate::limits;
use crate::net::{Policy, Semaphore, yield_now};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

/// Grants one turn at a time.
#[derive(Debug)]
pub struct Turns {
    semaphore: Rc<Semaphore<CpuShares>>,
    cpu_time: Rc<Cell<Duration>>,
}

/// The CPU time of each address, in virtual microseconds.
#[derive(Debug)]
struct CpuShares {
    is_taken: Cell<bool>,
    /// The virtual time at which the current turn began.
    now: Cell<usize>,
    /// The virtual time until which an address had its share, if it is later than `now`.
    used_until: RefCell<BTreeMap<IpAddr, usize>>,
}

impl Turns {
    /// No turn is taken.
    pub fn new() -> Turns {
        Turns {
            semaphore: Semaphore::new(CpuShares {
                is_taken: Cell::new(false),
                now: Cell::new(0),
                used_until: RefCell::default(),
            }),
            cpu_time: Rc::default(),
        }
    }

    /// The CPU time of all turns so far.
    pub fn cpu_time(&self) -> Rc<Cell<Duration>> {
        self.cpu_time.clone()
    }

    /// Runs `work` for a client when it is its turn.
    pub async fn run<T>(&self, peer: IpAddr, work: impl FnOnce() -> T) -> T {
        let _turn = self.semaphore.acquire(peer).await;
        let began = Instant::now();
        let output = work();
        let elapsed = began.elapsed();
        self.cpu_time.set(self.cpu_time.get() + elapsed);
        let micros = elapsed.as_micros() as usize;
        self.semaphore
            .with_policy(|shares| shares.add(peer, micros));
        // The turn ends when the tasks that became ready meanwhile have run: first the events of their sockets are read,
        // then they wait for the next turn, so that the order of addresses decides and not that of the executor.
        yield_now().await;
        yield_now().await;
        output
    }
}

impl CpuShares {
    fn add(&self, peer: IpAddr, micros: usize) {
        let now = self.now.get();
        let mut used_until = self.used_until.borrow_mut();
        used_until.insert(peer, now + micros);
        if used_until.len() > limits::WEBHOOK_CONNECTIONS {
            used_until.retain(|_, until| *until > now);
        }
    }
}

impl Policy for CpuShares {
    type Request = IpAddr;

    const IS_STRICT: bool = true;

    fn try_take(&mut self, peer: IpAddr) -> bool {
        if self.is_taken.replace(true) {
            return false;
        }
        self.now.set(self.rank(peer));
        true
    }

    fn release(&mut self, _: IpAddr) {
        self.is_taken.set(false);
    }

    fn rank(&self, peer: IpAddr) -> usize {
        let used_until = self.used_until.borrow().get(&peer).copied();
        used_until.unwrap_or_default().max(self.now.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::LocalExecutor;
    use smol::future::block_on;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 42, 0, n])
    }

    #[test]
    fn an_address_that_used_less_cpu_time_does_not_wait_behind_many_turns_of_another() {
        let (turns, order) = (Rc::new(Turns::new()), Rc::new(RefCell::new(Vec::new())));
        let executor = LocalExecutor::new();
        let tasks: Vec<_> = [1, 1, 1, 1, 2]
            .into_iter()
            .map(|n| {
                let (turns, order) = (turns.clone(), order.clone());
                executor.spawn(async move {
                    let work = || {
                        let began = Instant::now();
                        while began.elapsed() < Duration::from_millis(1) {}
                        order.borrow_mut().push(n);
                    };
                    turns.run(ip(n), work).await;
                })
            })
            .collect();
        block_on(executor.run(async {
            for task in tasks {
                task.await;
            }
        }));
        assert_eq!(*order.borrow(), [1, 2, 1, 1, 1]);
    }

    #[test]
    fn an_address_that_was_alone_does_not_wait_longer_than_new_ones() {
        let mut shares = CpuShares {
            is_taken: Cell::new(false),
            now: Cell::new(0),
            used_until: RefCell::default(),
        };
        for _ in 0..100 {
            assert!(shares.try_take(ip(1)));
            shares.add(ip(1), 1000);
            shares.release(ip(1));
        }
        assert_eq!(shares.rank(ip(1)) - shares.rank(ip(2)), 1000);
        assert!(shares.try_take(ip(2)));
        shares.add(ip(2), 1001);
        shares.release(ip(2));
        assert!(shares.rank(ip(1)) < shares.rank(ip(2)));
    }
}
