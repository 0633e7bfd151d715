//! Accepted connections that wait until they are admitted for their handshakes: a burst of one address is served one after
//! the other, and delays no other address.

use core::net::IpAddr;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::rc::Rc;

use super::port::InboundTables;
use crate::forward::connections::{Admission, ConnectionEntry};
use crate::limits;
use crate::net::{Accepted, network_of};

/// The connections of a port that wait, the oldest first.
pub(super) struct HandshakeQueue {
    /// Has the handshakes, and the networks of the connections that wait at all ports.
    tables: Rc<InboundTables>,
    waiting: VecDeque<Accepted>,
}

impl HandshakeQueue {
    pub(super) fn new(tables: Rc<InboundTables>) -> HandshakeQueue {
        HandshakeQueue {
            tables,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether no more should be accepted until one of these is admitted: the kernel has a queue, too.
    pub(super) fn is_full(&self) -> bool {
        !self.is_empty() && self.tables.waiting.borrow().len() >= limits::INBOUND_WAITING
    }

    /// Adds a connection. Returns the one that has to be reset for it: if as many wait as may, the last one of a network that
    /// has more than half of them. Such a network does not keep the others waiting in the kernel's queue.
    pub(super) fn push(&mut self, accepted: Accepted) -> Option<Accepted> {
        let mut networks = self.tables.waiting.borrow_mut();
        networks.push(network_of(accepted.peer));
        self.waiting.push_back(accepted);
        if networks.len() < limits::INBOUND_WAITING {
            return None;
        }
        let network = majority(networks.iter().copied())?;
        drop(networks);
        let is_of_it = |accepted: &Accepted| network_of(accepted.peer) == network;
        let last = self.waiting.iter().rposition(is_of_it)?;
        self.remove(last)
    }

    /// Ready with the next connection once it is admitted. The network with the fewest handshakes is next.
    pub(super) fn poll_admission(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Option<(Accepted, ConnectionEntry)>> {
        let handshakes = &self.tables.handshakes;
        let waiting = self.waiting.iter().enumerate();
        let next = waiting.min_by_key(|(_, accepted)| handshakes.count_of_network(accepted.peer));
        let Some((index, accepted)) = next else {
            return Poll::Ready(None);
        };
        handshakes
            .poll_admission(accepted.peer, cx)
            .map(|Admission { entry, .. }| {
                let accepted = self.remove(index)?;
                Some((accepted, entry))
            })
    }

    fn remove(&mut self, index: usize) -> Option<Accepted> {
        let removed = self.waiting.remove(index)?;
        self.forget(removed.peer);
        Some(removed)
    }

    fn forget(&self, peer: IpAddr) {
        let mut networks = self.tables.waiting.borrow_mut();
        let network = network_of(peer);
        if let Some(index) = networks.iter().position(|other| *other == network) {
            networks.swap_remove(index);
        }
    }
}

impl Drop for HandshakeQueue {
    fn drop(&mut self) {
        self.waiting.iter().for_each(|one| self.forget(one.peer));
    }
}

/// The network that more than half of these are, if there is one (Boyer and Moore, 1981).
fn majority(networks: impl Iterator<Item = IpAddr> + Clone) -> Option<IpAddr> {
    let mut candidate = None;
    let mut lead = 0;
    for network in networks.clone() {
        if lead == 0 {
            candidate = Some(network);
        }
        match candidate == Some(network) {
            true => lead += 1,
            false => lead -= 1,
        }
    }
    let others = networks.clone().filter(|n| Some(*n) != candidate).count();
    let all = networks.count();
    candidate.filter(|_| 2 * others < all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_network_with_more_than_half_is_the_majority() {
        let majority = |networks: &[u8]| {
            let networks = networks.iter().map(|n| IpAddr::from([10, 42, 0, *n]));
            majority(networks).map(|ip| ip.to_string())
        };
        assert_eq!(majority(&[]), None);
        assert_eq!(majority(&[1, 2]), None);
        assert_eq!(majority(&[1, 1, 2, 3]), None);
        for most in [[1, 1, 1, 2, 3], [1, 2, 1, 3, 1], [2, 3, 1, 1, 1]] {
            assert_eq!(majority(&most), Some("10.42.0.1".to_owned()));
        }
    }
}
