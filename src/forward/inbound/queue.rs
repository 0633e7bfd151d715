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
    /// Has the handshakes, and counts the connections that wait at all ports.
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

    /// Whether no more should be accepted: the kernel has a queue, too.
    pub(super) fn is_full(&self) -> bool {
        !self.is_empty() && self.tables.waiting.get() >= limits::INBOUND_WAITING
    }

    /// Adds a connection. Returns the one that has to be reset for it: if the queue is full, the last one of a network that
    /// has more than half of it. Such a network does not keep the others waiting in the kernel's queue.
    pub(super) fn push(&mut self, accepted: Accepted) -> Option<Accepted> {
        self.waiting.push_back(accepted);
        self.count(1);
        if !self.is_full() {
            return None;
        }
        let peers = self.waiting.iter().map(|accepted| accepted.peer);
        let network = majority(peers.map(network_of))?;
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
        self.count(-1);
        Some(removed)
    }

    fn count(&self, change: isize) {
        let waiting = &self.tables.waiting;
        waiting.set(waiting.get().saturating_add_signed(change));
    }
}

impl Drop for HandshakeQueue {
    fn drop(&mut self) {
        self.count(-self.waiting.len().cast_signed());
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
