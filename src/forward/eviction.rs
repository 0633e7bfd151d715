//! Which connection of a full table is evicted for a new one. Connections are shared fairly among the peer addresses,
//! so that nobody can block the forward for the probes through it. No I/O and no clock.

use core::cmp::Ordering;
use core::net::IpAddr;
use core::time::Duration;
#[cfg(feature = "tls")]
use std::collections::BTreeMap;
use std::time::Instant;

use crate::limits;
#[cfg(feature = "tls")]
use crate::net::network_of;
use crate::net::{Candidate, select_victim as fair_victim};

/// An open connection of a forward.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The client's address.
    pub peer: IpAddr,
    /// What it waits for.
    pub phase: Phase,
    /// Time of the last byte in either direction, or of the last change of the phase. In a handshake, time of our first
    /// answer, or of the connection: single bytes must not protect it.
    pub last_active: Instant,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The client sends the first message of a handshake.
    #[cfg(feature = "tls")]
    AwaitingHello,
    /// Bytes of a handshake are processed in turn: it waits for us.
    #[cfg(feature = "tls")]
    AwaitingTurn {
        /// We have answered the first message.
        is_answered: bool,
    },
    /// The app accepts. Nothing is read from the client until then.
    Connecting,
    /// We have answered the first message of a handshake, and the client sends the next one.
    #[cfg(feature = "tls")]
    Answered,
    /// The client sends bytes: it has sent none yet, or the app has answered.
    AwaitingClient,
    /// The app answers bytes of the client.
    AwaitingApp,
    /// One side has sent EOF, the other has not. A client that gave up looks like one that has sent its whole request.
    HalfClosed,
}

impl Connection {
    fn idle_time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_active)
    }

    /// Without a byte for longer than a probe would be.
    fn is_stale(&self, now: Instant) -> bool {
        self.idle_time(now) >= limits::FORWARD_STALE
    }

    /// Its client waits for the app, or for us: a probe may be waiting for its response.
    fn is_client_waiting(&self, now: Instant) -> bool {
        let is_waiting = match self.phase {
            Phase::Connecting | Phase::AwaitingApp => true,
            #[cfg(feature = "tls")]
            Phase::AwaitingTurn { .. } => true,
            #[cfg(feature = "tls")]
            Phase::AwaitingHello | Phase::Answered => false,
            Phase::AwaitingClient | Phase::HalfClosed => false,
        };
        is_waiting && !self.is_stale(now)
    }

    /// Whether it has a handshake whose client we wait for, and have answered.
    fn is_answered(&self) -> Option<bool> {
        match self.phase {
            #[cfg(feature = "tls")]
            Phase::AwaitingHello => Some(false),
            #[cfg(feature = "tls")]
            Phase::Answered => Some(true),
            _ => None,
        }
    }
}

/// The peers among which connections are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fairness {
    /// The addresses.
    Addresses,
    /// The networks, then the addresses of a network: one host may have all IPv6 addresses of a network, and in Kubernetes
    /// all pods of a node may be in one.
    #[cfg(feature = "tls")]
    Networks,
}

/// The reason why a connection may be evicted, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ground {
    /// Its address has fewer connections than the new client's, but it is stale.
    Stale,
    /// Its address has as many, and its client is not waiting.
    EqualShare,
    /// Its address has more. Its client is waiting, but one byte per connection must not protect them all.
    LargerShareWaiting,
    /// Its address has more, and its client is not waiting.
    LargerShare,
}

impl Ground {
    /// `share` is the number of its address' connections compared with that of the new client's address.
    fn of(connection: &Connection, share: Ordering, now: Instant) -> Option<Ground> {
        match (share, connection.is_client_waiting(now)) {
            (Ordering::Greater, false) => Some(Ground::LargerShare),
            (Ordering::Greater, true) => Some(Ground::LargerShareWaiting),
            (Ordering::Equal, false) => Some(Ground::EqualShare),
            (Ordering::Less, false) if connection.is_stale(now) => Some(Ground::Stale),
            (Ordering::Less | Ordering::Equal, _) => None,
        }
    }
}

/// The handshakes whose clients we wait for, by whether we have answered. The larger group loses for the smaller one: a
/// flood of silent connections does not evict handshakes in progress, and a flood of first messages no client that is
/// about to send its own.
#[derive(Default)]
struct Handshakes {
    silent: usize,
    answered: usize,
}

impl Handshakes {
    fn of<'a, K>(connections: impl Iterator<Item = (K, &'a Connection)>) -> Handshakes {
        let mut handshakes = Handshakes::default();
        for (_, connection) in connections {
            match connection.is_answered() {
                Some(false) => handshakes.silent += 1,
                Some(true) => handshakes.answered += 1,
                None => {}
            }
        }
        handshakes
    }

    /// Whether a handshake is not evicted for another address with as many: it is in the smaller group, or its client has
    /// had little time.
    fn protect(&self, connection: &Connection, now: Instant) -> bool {
        connection.is_answered().is_some_and(|is_answered| {
            let is_in_larger = is_answered == (self.answered >= self.silent);
            !is_in_larger || connection.idle_time(now) < limits::INBOUND_HANDSHAKE_STEP
        })
    }
}

/// The number of connections of each network and of each address; the new one counts.
#[cfg(feature = "tls")]
struct Shares {
    fairness: Fairness,
    networks: BTreeMap<IpAddr, usize>,
    addresses: BTreeMap<IpAddr, usize>,
}

#[cfg(feature = "tls")]
impl Shares {
    fn of<'a, K>(
        connections: impl Iterator<Item = (K, &'a Connection)>,
        fairness: Fairness,
        new_peer: IpAddr,
    ) -> Shares {
        let mut shares = Shares {
            fairness,
            networks: BTreeMap::new(),
            addresses: BTreeMap::new(),
        };
        shares.count(new_peer);
        connections.for_each(|(_, connection)| shares.count(connection.peer));
        shares
    }

    fn count(&mut self, peer: IpAddr) {
        let network = self.network(peer);
        *self.networks.entry(network).or_default() += 1;
        *self.addresses.entry(peer).or_default() += 1;
    }

    fn network(&self, peer: IpAddr) -> IpAddr {
        match self.fairness {
            Fairness::Addresses => peer,
            Fairness::Networks => network_of(peer),
        }
    }

    /// The share of the peer's network, then that of its address.
    fn share(&self, peer: IpAddr) -> (usize, usize) {
        let network = self.networks.get(&self.network(peer));
        let address = self.addresses.get(&peer);
        let share = |counted: Option<&usize>| counted.copied().unwrap_or_default();
        (share(network), share(address))
    }

    /// Compares the shares of two peers. Only within a network those of their addresses count: across networks, a host that
    /// uses many addresses would be preferred.
    fn compare(&self, peer: IpAddr, other: IpAddr) -> Ordering {
        let (network, address) = self.share(peer);
        let (other_network, other_address) = self.share(other);
        match self.network(peer) == self.network(other) {
            true => address.cmp(&other_address),
            false => network.cmp(&other_network),
        }
    }
}

/// Selects the connection to evict for a new one from `new_peer`: the one on the strongest ground, then of the address
/// that has most connections (the new one counts), then of another address than `new_peer`, then the one idle longest. With
/// `Fairness::Networks`, the share of its network goes before that of its address. Returns its key, or `None` if none may be
/// evicted.
///
/// An address' only connection is never evicted while its client is waiting.
pub fn select_victim<'a, K: Ord>(
    connections: impl Iterator<Item = (K, &'a Connection)> + Clone,
    fairness: Fairness,
    new_peer: IpAddr,
    now: Instant,
) -> Option<K> {
    // Counted once: `--max-inbound` permits a thousand connections.
    #[cfg(feature = "tls")]
    let shares = Shares::of(connections.clone(), fairness, new_peer);
    #[cfg(feature = "tls")]
    let (share_of, compare) = (
        |peer| shares.share(peer),
        |peer| shares.compare(peer, new_peer),
    );
    // A forward has few, and this is less code.
    #[cfg(not(feature = "tls"))]
    let Fairness::Addresses = fairness;
    #[cfg(not(feature = "tls"))]
    let share_of = |peer: IpAddr| {
        let open = connections.clone().filter(|(_, c)| c.peer == peer).count();
        open + usize::from(peer == new_peer)
    };
    #[cfg(not(feature = "tls"))]
    let new_share = share_of(new_peer);
    #[cfg(not(feature = "tls"))]
    let compare = |peer: IpAddr| share_of(peer).cmp(&new_share);
    let handshakes = Handshakes::of(connections.clone());
    let candidates = connections.clone().filter_map(|(key, connection)| {
        let ground = Ground::of(connection, compare(connection.peer), now)?;
        let is_other = connection.peer != new_peer;
        if is_other && ground == Ground::EqualShare && handshakes.protect(connection, now) {
            return None;
        }
        let age = (is_other, connection.idle_time(now));
        Some(Candidate {
            key,
            peer: connection.peer,
            ground,
            age,
        })
    });
    fair_victim(candidates, share_of)
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "tls")]
    use super::Phase::{Answered, AwaitingHello};
    use super::Phase::{AwaitingApp, AwaitingClient, Connecting, HalfClosed};
    use super::*;

    const NEW: u8 = 1;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 42, 0, n])
    }

    /// The index of the connection that is evicted for one from `NEW`. Each connection has an address, a phase and an
    /// idle time in milliseconds.
    fn victim(connections: &[(u8, Phase, u64)]) -> Option<usize> {
        let peers = connections.iter().map(|(peer, ..)| ip(*peer));
        let waits = connections.iter().map(|(_, phase, idle)| (*phase, *idle));
        select(Fairness::Addresses, peers.zip(waits), ip(NEW))
    }

    fn select(
        fairness: Fairness,
        connections: impl Iterator<Item = (IpAddr, (Phase, u64))>,
        new_peer: IpAddr,
    ) -> Option<usize> {
        let start = Instant::now();
        let now = start + Duration::from_secs(3600);
        let connections = connections.map(|(peer, (phase, idle))| Connection {
            peer,
            phase,
            last_active: now - Duration::from_millis(idle),
        });
        let connections: Vec<_> = connections.collect();
        select_victim(connections.iter().enumerate(), fairness, new_peer, now)
    }

    /// Like [`victim`], with addresses in two networks of IPv6: the first digit is the network.
    #[cfg(feature = "tls")]
    fn victim_in_networks(connections: &[(u16, Phase, u64)], new_peer: u16) -> Option<usize> {
        let ip = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, n / 10, 0, 0, 0, n % 10]);
        let peers = connections.iter().map(|(peer, ..)| ip(*peer));
        let waits = connections.iter().map(|(_, phase, idle)| (*phase, *idle));
        select(Fairness::Networks, peers.zip(waits), ip(new_peer))
    }

    const STALE: u64 = limits::FORWARD_STALE.as_millis() as u64;

    #[test]
    fn the_address_with_most_connections_loses_the_one_idle_longest() {
        let connections = [
            (2, AwaitingClient, 900),
            (3, AwaitingClient, 10),
            (3, AwaitingClient, 30),
            (3, HalfClosed, 20),
            (NEW, AwaitingClient, 800),
        ];
        assert_eq!(victim(&connections), Some(2));
    }

    #[test]
    fn the_new_connection_counts_for_its_address() {
        let connections = [
            (2, AwaitingClient, 900),
            (NEW, AwaitingClient, 20),
            (NEW, AwaitingClient, 10),
        ];
        assert_eq!(victim(&connections), Some(1));
    }

    #[test]
    fn among_equal_addresses_another_one_than_the_new_clients_loses() {
        let connections = [
            (NEW, AwaitingClient, 900),
            (2, AwaitingClient, 10),
            (2, AwaitingClient, 20),
        ];
        assert_eq!(victim(&connections), Some(2));
    }

    #[test]
    fn a_connection_that_awaits_the_app_is_evicted_only_for_an_address_with_fewer() {
        for phase in [Connecting, AwaitingApp] {
            assert_eq!(victim(&[(2, phase, 10)]), None);
            assert_eq!(victim(&[(2, phase, 10), (2, phase, 20)]), Some(1));
            let two_each = [(2, phase, 10), (2, phase, 20), (NEW, phase, 30)];
            assert_eq!(victim(&two_each), None);
        }
    }

    #[test]
    fn an_idle_connection_is_evicted_before_one_that_awaits_the_app() {
        let connections = [
            (2, AwaitingApp, 30),
            (2, AwaitingApp, 20),
            (2, AwaitingApp, 10),
            (3, AwaitingClient, 2),
            (3, HalfClosed, 1),
        ];
        assert_eq!(victim(&connections), Some(3));
    }

    #[test]
    fn a_response_in_progress_is_not_evicted_for_one_of_many() {
        let connections = [
            (2, AwaitingClient, STALE - 1),
            (NEW, AwaitingApp, 10),
            (NEW, AwaitingApp, 20),
        ];
        assert_eq!(victim(&connections), None);
    }

    #[test]
    fn the_app_is_awaited_for_a_limited_time() {
        for phase in [Connecting, AwaitingApp] {
            assert_eq!(victim(&[(2, phase, STALE - 1)]), None);
            assert_eq!(victim(&[(2, phase, STALE)]), Some(0));
            assert_eq!(victim(&[(NEW, phase, STALE - 1)]), None);
            assert_eq!(victim(&[(NEW, phase, STALE)]), Some(0));
        }
    }

    #[test]
    fn a_stale_connection_is_evicted_even_of_an_address_with_fewer() {
        let connections = [
            (2, AwaitingClient, STALE),
            (NEW, AwaitingApp, 10),
            (NEW, AwaitingApp, 20),
        ];
        assert_eq!(victim(&connections), Some(0));
    }

    #[test]
    fn the_only_connection_of_an_address_that_awaits_the_app_is_never_evicted() {
        // All forwards of three connections from three addresses, in all phases.
        let phases = [Connecting, AwaitingClient, AwaitingApp, HalfClosed];
        let options = (1..=3).flat_map(|peer| phases.map(|phase| (peer, phase)));
        let options: Vec<_> = options.collect();
        for (first, second) in options
            .iter()
            .flat_map(|a| options.iter().map(move |b| (a, b)))
        {
            let probe = (4, AwaitingApp, STALE - 1);
            let others = [first, second].map(|(peer, phase)| (*peer, *phase, 10));
            assert_ne!(victim(&[probe, others[0], others[1]]), Some(0));
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn of_silent_connections_and_answered_handshakes_the_larger_group_loses_its_oldest() {
        let silent = [
            (2, Answered, 900),
            (3, AwaitingHello, 30),
            (4, AwaitingHello, 40),
        ];
        assert_eq!(victim(&silent), Some(2));
        let answered = [
            (2, AwaitingHello, 900),
            (3, Answered, 40),
            (4, Answered, 30),
        ];
        assert_eq!(victim(&answered), Some(1));
        // The address with most of them goes first.
        let two = [
            (3, AwaitingHello, 30),
            (2, Answered, 900),
            (2, Answered, 800),
        ];
        assert_eq!(victim(&two), Some(1));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_handshake_whose_client_has_had_little_time_is_evicted_only_for_an_address_with_fewer() {
        let fresh = limits::INBOUND_HANDSHAKE_STEP.as_millis() as u64 - 1;
        for phase in [AwaitingHello, Answered] {
            assert_eq!(victim(&[(2, phase, fresh), (3, phase, fresh)]), None);
            assert_eq!(victim(&[(2, phase, fresh), (3, phase, fresh + 1)]), Some(1));
            assert_eq!(victim(&[(2, phase, 1), (2, phase, 2)]), Some(1));
            assert_eq!(victim(&[(NEW, phase, 1), (3, phase, 2)]), Some(0));
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_handshake_that_waits_for_us_is_evicted_only_for_an_address_with_fewer() {
        for is_answered in [false, true] {
            let turn = Phase::AwaitingTurn { is_answered };
            assert_eq!(victim(&[(2, turn, 10), (3, turn, 20)]), None);
            assert_eq!(victim(&[(2, turn, 40), (3, Answered, 30)]), Some(1));
            assert_eq!(victim(&[(2, turn, 10), (2, turn, 20)]), Some(1));
        }
    }

    /// In Kubernetes, the pods of a node may be one network: none of them locks the others out.
    #[cfg(feature = "tls")]
    #[test]
    fn within_a_network_the_address_with_most_loses() {
        let turn = Phase::AwaitingTurn { is_answered: false };
        for phase in [AwaitingHello, Answered, turn] {
            let flood = [(11, phase, 1), (11, phase, 2)];
            assert_eq!(victim_in_networks(&flood, 12), Some(1));
            // An address evicts no handshake of one that has fewer, nor a new one of one that has as many.
            let both = [(11, AwaitingHello, 1), (11, Answered, 2), (12, phase, 9)];
            assert_eq!(victim_in_networks(&both, 11), Some(1));
            assert_eq!(victim_in_networks(&[(11, phase, 1)], 12), None);
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn the_addresses_of_a_network_have_one_share_among_networks() {
        let turn = Phase::AwaitingTurn { is_answered: false };
        for phase in [AwaitingHello, Answered, turn] {
            let many = [(11, phase, 1), (12, phase, 2), (21, phase, 3)];
            assert_eq!(victim_in_networks(&many, 22), None);
            assert_eq!(victim_in_networks(&many, 31), Some(1));
            // As many in two networks: that these are of one address does not count.
            let one = [(21, phase, 1), (21, phase, 2), (11, phase, 3)];
            assert_eq!(victim_in_networks(&one, 12), None);
            // Of the network with most, the address with most.
            let most = [
                (11, phase, 9),
                (12, phase, 1),
                (12, phase, 2),
                (21, phase, 9),
            ];
            assert_eq!(victim_in_networks(&most, 22), Some(2));
        }
    }
}
