//! Permits for long handshakes: those that receive so much that their memory has to be limited. Shared among the app's
//! ports.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::limits;
use crate::net::semaphore::{Permit, Policy, Semaphore};

/// Permits for long handshakes with the app's ports.
pub(super) type HandshakePermits = Semaphore<HandshakeShares>;

/// A permit for one long handshake, and for its certificate chain afterwards.
pub(super) type HandshakePermit = Permit<HandshakeShares>;

/// What a permit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeShare {
    /// A running handshake with this port of the app.
    Running(u16),
    /// The chain that a connection stores after its handshake, in bytes.
    Chain(usize),
}

/// The bytes of long handshakes, and the ports that they run with.
#[derive(Default)]
pub(super) struct HandshakeShares {
    /// Bytes in use.
    used: usize,
    /// The port of each running handshake: no port has two.
    running: Vec<u16>,
    /// The ports that had permits, the last one last.
    served: VecDeque<u16>,
}

impl HandshakeShares {
    /// Whether a handshake with the port `waiting` could run if the one with `running` ended.
    fn is_blocked(&self, waiting: u16, running: u16) -> bool {
        waiting == running || !self.running.contains(&waiting)
    }
}

impl HandshakeShare {
    fn bytes(self) -> usize {
        match self {
            HandshakeShare::Running(_) => limits::LONG_HANDSHAKE_BYTES,
            HandshakeShare::Chain(bytes) => bytes,
        }
    }
}

impl Policy for HandshakeShares {
    type Request = HandshakeShare;

    const IS_STRICT: bool = false;

    fn try_take(&mut self, share: HandshakeShare) -> bool {
        const TOTAL: usize = limits::LONG_HANDSHAKES * limits::LONG_HANDSHAKE_BYTES;
        if share.bytes() > TOTAL - self.used {
            return false;
        }
        if let HandshakeShare::Running(port) = share {
            if self.running.contains(&port) {
                return false;
            }
            self.running.push(port);
            self.served.retain(|served| *served != port);
            if self.served.len() == limits::PROBERS {
                self.served.pop_front();
            }
            self.served.push_back(port);
        }
        self.used += share.bytes();
        true
    }

    fn release(&mut self, share: HandshakeShare) {
        self.used -= share.bytes();
        if let HandshakeShare::Running(port) = share {
            self.running.retain(|running| *running != port);
        }
    }

    /// The port whose last permit is longest ago goes first: one that is probed all the time does not delay others.
    fn rank(&self, share: HandshakeShare) -> usize {
        let is_of = |served: &u16| share == HandshakeShare::Running(*served);
        self.served
            .iter()
            .position(is_of)
            .map_or(0, |index| index + 1)
    }
}

impl HandshakePermits {
    /// Waits for a permit for a handshake with this port.
    pub(super) async fn acquire_for(self: &Rc<Self>, port: u16) -> HandshakePermit {
        self.acquire(HandshakeShare::Running(port)).await
    }

    /// Whether a handshake waits for the end of the one with this port.
    pub(super) fn has_waiter_for(&self, running: u16) -> bool {
        self.any_waiter(|shares, waiting| match waiting {
            HandshakeShare::Running(waiting) => shares.is_blocked(waiting, running),
            HandshakeShare::Chain(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    /// Polls once, as a task would that nobody woke.
    macro_rules! poll {
        ($future:expr) => {
            $future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        };
    }

    const WEB: u16 = 8443;

    fn permits() -> Rc<HandshakePermits> {
        HandshakePermits::new(HandshakeShares::default())
    }

    fn try_acquire(permits: &Rc<HandshakePermits>, port: u16) -> Option<HandshakePermit> {
        permits.try_acquire(HandshakeShare::Running(port))
    }

    fn assert_all_free(permits: &HandshakePermits) {
        assert!(permits.queue.borrow().is_empty());
        assert!(permits.policy.borrow().running.is_empty());
        assert_eq!(permits.policy.borrow().used, 0);
    }

    #[test]
    fn waiting_handshakes_of_one_port_get_permits_in_order() {
        let permits = permits();
        let first = try_acquire(&permits, WEB).expect("one is free");
        assert!(try_acquire(&permits, WEB).is_none());
        let mut second = pin!(permits.acquire_for(WEB));
        let mut third = pin!(permits.acquire_for(WEB));
        assert!(poll!(second).is_pending() && poll!(third).is_pending());
        drop(first);
        assert!(poll!(third).is_pending() && try_acquire(&permits, WEB).is_none());
        let Poll::Ready(second) = poll!(second) else {
            panic!("the second one is next");
        };
        drop(second);
        assert!(poll!(third).is_ready());
        assert_all_free(&permits);
    }

    #[test]
    fn a_waiter_that_gives_up_passes_its_permit_on_once() {
        let permits = permits();
        let first = try_acquire(&permits, WEB).expect("one is free");
        let mut last = pin!(permits.acquire_for(WEB));
        {
            let mut granted = pin!(permits.acquire_for(WEB));
            let mut waiting = pin!(permits.acquire_for(WEB));
            assert!(poll!(granted).is_pending() && poll!(waiting).is_pending());
            assert!(poll!(last).is_pending());
            drop(first);
        }
        assert!(poll!(last).is_ready(), "the permit was passed on twice");
        assert_eq!(
            permits.take_abandoned(),
            1,
            "the other one had a permit when it was dropped"
        );
        assert_all_free(&permits);
    }

    #[test]
    fn each_port_gets_one_permit_until_all_are_taken() {
        let permits = permits();
        let ports = 1..100;
        let taken: Vec<_> = ports
            .map_while(|port| try_acquire(&permits, port))
            .collect();
        assert_eq!(taken.len(), limits::LONG_HANDSHAKES);
        drop(taken);
        assert_all_free(&permits);
    }

    #[test]
    fn the_port_whose_last_permit_is_longest_ago_goes_first() {
        let permits = permits();
        let busy: Vec<_> = (1..=8)
            .filter_map(|port| try_acquire(&permits, port))
            .collect();
        let mut again: Vec<_> = (1..=8)
            .map(|port| Box::pin(permits.acquire_for(port)))
            .collect();
        for future in &mut again {
            assert!(poll!(future).is_pending());
        }
        let mut other = pin!(permits.acquire_for(WEB));
        assert!(poll!(other).is_pending());
        let mut busy = busy.into_iter();
        // The waiter of this port arrived first.
        drop(busy.next());
        let Poll::Ready(other) = poll!(other) else {
            panic!("the other port had no permit yet");
        };
        assert!(poll!(again[0]).is_pending());
        drop((busy, other));
        assert!(again.iter_mut().all(|future| poll!(future).is_ready()));
        drop(again);
        assert_all_free(&permits);
    }

    #[test]
    fn a_chain_takes_its_bytes_only_and_its_port_can_have_the_next_handshake() {
        let permits = permits();
        let half = HandshakeShare::Chain(limits::LONG_HANDSHAKE_BYTES / 2);
        let mut held = Vec::new();
        while let Some(mut permit) = try_acquire(&permits, WEB) {
            permit.reduce_to(half);
            held.push(permit);
        }
        // The last handshake needed the bytes of two chains.
        assert_eq!(held.len(), 2 * limits::LONG_HANDSHAKES - 1);
        held.pop();
        assert!(try_acquire(&permits, WEB).is_some());
        drop(held);
        assert_all_free(&permits);
    }

    #[test]
    fn a_handshake_has_a_waiter_only_if_its_end_would_let_that_waiter_run() {
        let permits = permits();
        let first = try_acquire(&permits, 1);
        let second = try_acquire(&permits, 2);
        let mut waiter = pin!(permits.acquire_for(1));
        assert!(poll!(waiter).is_pending());
        assert!(permits.has_waiter_for(1) && !permits.has_waiter_for(2));
        let more: Vec<_> = (3..=8).map(|port| try_acquire(&permits, port)).collect();
        let mut other = pin!(permits.acquire_for(WEB));
        assert!(poll!(other).is_pending());
        assert!(permits.has_waiter_for(2));
        drop((first, second, more));
        assert!(!permits.has_waiter_for(2), "all have permits");
    }
}
