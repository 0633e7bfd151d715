//! Accepted connections that wait until they are admitted for their handshakes: a burst of one address is served one after
//! the other, and delays no other address.

use core::net::IpAddr;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::rc::Rc;

use super::port::InboundTables;
use crate::forward::connections::{Admission, ConnectionEntry, ConnectionTable};
use crate::limits;
use crate::net::{Accepted, network_of};

/// The connections of a port that wait, the oldest first.
pub(super) struct HandshakeQueue {
    /// Has the handshakes, and the addresses of the connections that wait at all ports.
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

    /// Adds a connection. Returns the one that has to be reset for it: if as many wait as may, one of a network that has more
    /// than half of them. Such a network does not keep the others waiting in the kernel's queue.
    pub(super) fn push(&mut self, accepted: Accepted) -> Option<Accepted> {
        let mut peers = self.tables.waiting.borrow_mut();
        peers.push(accepted.peer);
        self.waiting.push_back(accepted);
        if peers.len() < limits::INBOUND_WAITING {
            return None;
        }
        let rejected = select_rejected(self.waiting.iter().map(|one| one.peer), &peers)?;
        drop(peers);
        self.remove(rejected)
    }

    /// Ready with the next connection once it is admitted.
    pub(super) fn poll_admission(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Option<(Accepted, ConnectionEntry)>> {
        let handshakes = &self.tables.handshakes;
        let Some((index, peer)) = select_next(self.waiting.iter().map(|one| one.peer), handshakes)
        else {
            return Poll::Ready(None);
        };
        handshakes
            .poll_admission(peer, cx)
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
        let mut peers = self.tables.waiting.borrow_mut();
        if let Some(index) = peers.iter().position(|other| *other == peer) {
            peers.swap_remove(index);
        }
    }
}

impl Drop for HandshakeQueue {
    fn drop(&mut self) {
        self.waiting.iter().for_each(|one| self.forget(one.peer));
    }
}

/// Selects the connection that is next, the oldest of the network with the fewest handshakes, and of its addresses of the one
/// with the fewest: all pods of a node may be in one IPv6 network.
fn select_next(
    waiting: impl Iterator<Item = IpAddr>,
    handshakes: &ConnectionTable,
) -> Option<(usize, IpAddr)> {
    waiting
        .enumerate()
        .min_by_key(|(_, peer)| handshakes.counts_of_network_and_address(*peer))
}

/// Selects the connection of a port to reset if as many wait as may, those of `peers` at all ports: of the network that more
/// than half of them are of, the last one of the address with most.
fn select_rejected(waiting: impl Iterator<Item = IpAddr>, peers: &[IpAddr]) -> Option<usize> {
    let network = majority(peers.iter().copied().map(network_of))?;
    let count = |peer| peers.iter().filter(|other| **other == peer).count();
    let of_network = waiting
        .enumerate()
        .filter(|(_, peer)| network_of(*peer) == network);
    let of_largest = of_network.max_by_key(|(_, peer)| count(*peer));
    of_largest.map(|(index, _)| index)
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
    use std::time::Instant;

    use super::*;

    /// Addresses of one IPv6 network.
    fn address(number: u16) -> IpAddr {
        [0xfd00, 0, 0, 0, 0, 0, 0, number].into()
    }

    #[test]
    fn of_a_network_the_address_with_the_fewest_handshakes_is_next() {
        let handshakes = ConnectionTable::for_handshakes(limits::INBOUND_HANDSHAKES);
        let other_network = IpAddr::from([10, 42, 0, 1]);
        let peers = [1, 1, 2, 1].map(address);
        let admissions = peers.into_iter().chain([other_network; 5]);
        let _entries: Vec<_> = admissions
            .map(|peer| handshakes.admit(peer, Instant::now()))
            .collect();
        let next = |waiting: &[IpAddr]| {
            let next = select_next(waiting.iter().copied(), &handshakes);
            next.map(|(index, _)| index)
        };
        assert_eq!(next(&[]), None);
        assert_eq!(next(&[1, 1].map(address)), Some(0), "the oldest");
        assert_eq!(next(&[1, 2, 2].map(address)), Some(1));
        assert_eq!(next(&[1, 2, 3, 3].map(address)), Some(2));
        assert_eq!(next(&[other_network, address(1)]), Some(1));
    }

    #[test]
    fn of_a_network_with_more_than_half_the_address_with_most_loses() {
        let other_network = IpAddr::from([10, 42, 0, 1]);
        let rejected = |peers: &[IpAddr]| select_rejected(peers.iter().copied(), peers);
        assert_eq!(rejected(&[1, 1, 1, 2].map(address)), Some(2), "the last");
        assert_eq!(rejected(&[2, 1, 2, 1, 2, 3].map(address)), Some(4));
        assert_eq!(rejected(&[1, 2, 3].map(address)), Some(2), "the new one");
        let [a, b] = [1, 2].map(address);
        assert_eq!(rejected(&[a, a, b, other_network]), Some(1));
        assert_eq!(rejected(&[a, b, other_network, other_network]), None);
        // Those of other ports count, and do not lose.
        let peers = [1, 1, 1, 2, 2].map(address);
        let rejected = |here: &[IpAddr]| select_rejected(here.iter().copied(), &peers);
        assert_eq!(rejected(&[b, a, b]), Some(1));
        assert_eq!(rejected(&[b, b]), Some(1));
        assert_eq!(rejected(&[other_network]), None);
    }

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
