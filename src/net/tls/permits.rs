//! Permits for concurrent handshakes, shared among the app's ports.

use crate::net::semaphore::{Permit, Policy, Semaphore};

/// Permits for handshakes with the app's ports.
pub(super) type HandshakePermits = Semaphore<PortShares>;

/// A permit for one handshake.
pub(super) type HandshakePermit = Permit<PortShares>;

/// How many handshakes run, and with which ports.
pub(super) struct PortShares {
    limit: usize,
    /// The port of each handshake.
    ports: Vec<u16>,
}

impl PortShares {
    pub(super) fn new(limit: usize) -> PortShares {
        PortShares {
            limit,
            ports: Vec::new(),
        }
    }
}

impl Policy for PortShares {
    type Request = u16;

    const IS_FIFO: bool = false;

    /// The more permits a port has, the more others must be free: an app that hangs in its handshakes gets half
    /// of them, the next one half of the rest, and so on.
    fn try_take(&mut self, port: u16) -> bool {
        let own = self.ports.iter().filter(|other| **other == port).count();
        let fits = self.limit - self.ports.len() > own;
        if fits {
            self.ports.push(port);
        }
        fits
    }

    fn release(&mut self, port: u16) {
        if let Some(index) = self.ports.iter().position(|other| *other == port) {
            self.ports.swap_remove(index);
        }
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

    fn assert_all_free(permits: &HandshakePermits) {
        assert!(permits.queue.borrow().is_empty());
        assert!(permits.policy.borrow().ports.is_empty());
    }

    #[test]
    fn waiting_handshakes_of_one_port_get_permits_in_order() {
        let permits = HandshakePermits::new(PortShares::new(1));
        let first = permits.try_acquire(WEB).expect("one is free");
        assert!(permits.try_acquire(WEB).is_none());
        let (mut second, mut third) = (pin!(permits.acquire(WEB)), pin!(permits.acquire(WEB)));
        assert!(poll!(second).is_pending() && poll!(third).is_pending());
        drop(first);
        assert!(poll!(third).is_pending() && permits.try_acquire(WEB).is_none());
        let Poll::Ready(second) = poll!(second) else {
            panic!("the second one is next");
        };
        drop(second);
        assert!(poll!(third).is_ready());
        assert_all_free(&permits);
    }

    #[test]
    fn a_waiter_that_gives_up_passes_its_permit_on_once() {
        let permits = HandshakePermits::new(PortShares::new(1));
        let first = permits.try_acquire(WEB).expect("one is free");
        let mut last = pin!(permits.acquire(WEB));
        {
            let (mut granted, mut waiting) =
                (pin!(permits.acquire(WEB)), pin!(permits.acquire(WEB)));
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
    fn a_port_gets_half_of_the_free_permits_and_the_next_port_half_of_the_rest() {
        let permits = HandshakePermits::new(PortShares::new(8));
        let shares: Vec<Vec<_>> = (1..6)
            .map(|port| Vec::from_iter(core::iter::from_fn(|| permits.try_acquire(port))))
            .collect();
        let counts = shares.iter().map(Vec::len);
        assert_eq!(counts.collect::<Vec<_>>(), [4, 2, 1, 1, 0]);
        drop(shares);
        assert_all_free(&permits);
    }

    #[test]
    fn a_port_that_has_its_share_does_not_block_other_ports() {
        let permits = HandshakePermits::new(PortShares::new(4));
        let mut hung: Vec<_> = core::iter::from_fn(|| permits.try_acquire(1)).collect();
        assert_eq!(hung.len(), 2);
        let mut more = pin!(permits.acquire(1));
        assert!(poll!(more).is_pending());
        let other = permits.try_acquire(2).expect("it has none yet");
        drop(other);
        assert!(poll!(more).is_pending());
        hung.pop();
        assert!(poll!(more).is_ready());
        drop(hung);
        assert_all_free(&permits);
    }
}
