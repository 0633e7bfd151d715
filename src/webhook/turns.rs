//! Turns of the one thread. Signatures of TLS handshakes and reviews cost more CPU time than anything else, and no task
//! waits behind those of one address: addresses share the CPU time fairly (start-time fair queueing: Goyal, Vin and Cheng,
//! SIGCOMM 1996). An address that was idle has no advantage, and one that was alone no disadvantage.

use crate::limits;
use crate::net::{Policy, Semaphore, yield_now};
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

/// Grants one turn at a time.
#[derive(Debug)]
pub struct Turns {
    semaphore: Rc<Semaphore<CpuShares>>,
    cpu_time: Rc<Cell<Duration>>,
    /// The CPU time of all turns when the other tasks last ran.
    yielded_at: Cell<Duration>,
}

/// The CPU time of each address, in virtual microseconds.
#[derive(Debug)]
struct CpuShares {
    is_taken: Cell<bool>,
    /// The virtual time at which the current turn began.
    now: Cell<u64>,
    /// The virtual time until which an address had its share, if it is later than `now`.
    used_until: RefCell<BTreeMap<IpAddr, u64>>,
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
            yielded_at: Cell::default(),
        }
    }

    /// The CPU time of all turns so far.
    pub fn cpu_time(&self) -> Rc<Cell<Duration>> {
        self.cpu_time.clone()
    }

    /// Runs `work` for a client when it is its turn.
    pub async fn run<T>(&self, peer: IpAddr, work: impl FnOnce() -> T) -> T {
        let _turn = self.semaphore.acquire(peer).await;
        let output = self.measure(peer, work);
        self.let_others_run().await;
        output
    }

    /// Polls a future for a client when it is its turn. If it is pending, it has the waker of this task, so await nothing
    /// but [`wait_for_wake`] before the next poll.
    pub async fn poll<F: Future>(&self, peer: IpAddr, mut future: Pin<&mut F>) -> Poll<F::Output> {
        let _turn = self.semaphore.acquire(peer).await;
        // Before and not after the poll as in `run`: they would consume the wake of the future.
        self.let_others_run().await;
        poll_fn(|cx| Poll::Ready(self.measure(peer, || future.as_mut().poll(cx)))).await
    }

    /// Ends a turn when the tasks that became ready meanwhile have run: first the events of their sockets are read, then
    /// they wait for the next turn, so that the order of addresses decides and not that of the executor. With a thousand
    /// connections that takes longer than a signature, so some short turns follow each other at once.
    async fn let_others_run(&self) {
        let cpu_time = self.cpu_time.get();
        if cpu_time.saturating_sub(self.yielded_at.get()) >= limits::WEBHOOK_TURNS_TIME {
            self.yielded_at.set(cpu_time);
            yield_now().await;
            yield_now().await;
        }
    }

    /// Runs `work` and adds its CPU time to that of a client.
    fn measure<T>(&self, peer: IpAddr, work: impl FnOnce() -> T) -> T {
        let began = thread_cpu_time();
        let output = work();
        let used = thread_cpu_time().saturating_sub(began);
        self.cpu_time.set(self.cpu_time.get() + used);
        let micros = used.as_micros() as u64;
        self.semaphore
            .with_policy(|shares| shares.add(peer, micros));
        output
    }
}

/// CPU time of this thread. Not the time of day: a client does not pay for the time in which the node runs other processes.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Waits until this task is woken.
pub async fn wait_for_wake() {
    let mut is_first_poll = true;
    poll_fn(|_| match core::mem::replace(&mut is_first_poll, false) {
        true => Poll::Pending,
        false => Poll::Ready(()),
    })
    .await;
}

impl CpuShares {
    /// The virtual time at which the next turn of an address begins.
    fn start_of(&self, peer: IpAddr) -> u64 {
        let used_until = self.used_until.borrow().get(&peer).copied();
        used_until.unwrap_or_default().max(self.now.get())
    }

    fn add(&self, peer: IpAddr, micros: u64) {
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
        self.now.set(self.start_of(peer));
        true
    }

    fn release(&mut self, _: IpAddr) {
        self.is_taken.set(false);
    }

    fn is_exhausted(&self) -> bool {
        self.is_taken.get()
    }

    /// Relative to the current turn: virtual time exceeds 32 bits after an hour of CPU time.
    fn rank(&self, peer: IpAddr) -> usize {
        let wait = self.start_of(peer) - self.now.get();
        usize::try_from(wait).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::pin;
    use smol::LocalExecutor;
    use smol::future::{block_on, poll_once};

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 42, 0, n])
    }

    /// Not an elapsed time, which passes while a busy machine runs other threads.
    fn use_cpu_time(duration: Duration) {
        let began = thread_cpu_time();
        while thread_cpu_time() - began < duration {}
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
                        use_cpu_time(Duration::from_millis(1));
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
    fn short_turns_do_not_wait_for_other_tasks() {
        let turns = Turns::new();
        let mut short = pin!(async {
            for _ in 0..10 {
                turns.run(ip(1), || ()).await;
            }
        });
        assert!(block_on(poll_once(short.as_mut())).is_some());
        let sleep = || std::thread::sleep(limits::WEBHOOK_TURNS_TIME);
        let mut sleeping = pin!(turns.run(ip(1), sleep));
        assert!(block_on(poll_once(sleeping.as_mut())).is_some());
        let work = || use_cpu_time(limits::WEBHOOK_TURNS_TIME);
        let mut long = pin!(turns.run(ip(1), work));
        assert!(block_on(poll_once(long.as_mut())).is_none());
    }

    #[test]
    fn each_poll_of_a_future_has_its_turn() {
        let (turns, order) = (Rc::new(Turns::new()), Rc::new(RefCell::new(Vec::new())));
        let executor = LocalExecutor::new();
        let spawn = |n: u8| {
            let (turns, order) = (turns.clone(), order.clone());
            executor.spawn(async move {
                let mut polls = 0;
                let mut future = pin!(poll_fn(|cx| {
                    use_cpu_time(Duration::from_millis(1));
                    order.borrow_mut().push(n);
                    polls += 1;
                    cx.waker().wake_by_ref();
                    match polls {
                        3 => Poll::Ready(n),
                        _ => Poll::Pending,
                    }
                }));
                loop {
                    if let Poll::Ready(output) = turns.poll(ip(n), future.as_mut()).await {
                        return output;
                    }
                    wait_for_wake().await;
                }
            })
        };
        let tasks: Vec<_> = [1, 1, 1, 1, 2].into_iter().map(spawn).collect();
        block_on(executor.run(async {
            for (task, n) in tasks.into_iter().zip([1, 1, 1, 1, 2]) {
                assert_eq!(task.await, n);
            }
        }));
        let order = order.borrow();
        assert_eq!(order.len(), 15);
        // One address has four tasks, and no more polls than the other.
        let first = order[..6].iter().filter(|n| **n == 2).count();
        assert!(first >= 2, "{order:?}");
    }

    #[test]
    fn an_address_that_was_alone_does_not_wait_longer_than_new_ones() {
        let mut shares = CpuShares {
            is_taken: Cell::new(false),
            // More than 32 bits.
            now: Cell::new(1 << 33),
            used_until: RefCell::default(),
        };
        for _ in 0..100 {
            assert!(shares.try_take(ip(1)));
            shares.add(ip(1), 1000);
            shares.release(ip(1));
        }
        assert_eq!([1, 2].map(|n| shares.rank(ip(n))), [1000, 0]);
        assert!(shares.try_take(ip(2)));
        shares.add(ip(2), 1001);
        shares.release(ip(2));
        assert!(shares.rank(ip(1)) < shares.rank(ip(2)));
    }
}
