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

    /// Whether a handshake is not evicted on this ground: its client has had little time, or it is in the smaller group and
    /// another address has as many. `is_other` is whether the new connection is of another address.
    fn protect(
        &self,
        connection: &Connection,
        ground: Ground,
        is_other: bool,
        now: Instant,
    ) -> bool {
        let waits_less_than = |time| connection.idle_time(now) < time;
        match connection.is_answered() {
            // A burst of one address: its client is busy with the others.
            Some(_) if !is_other => waits_less_than(limits::INBOUND_SLOW_HANDSHAKE),
            Some(is_answered) if ground == Ground::EqualShare => {
                let is_in_larger = is_answered == (self.answered >= self.silent);
                !is_in_larger || waits_less_than(limits::INBOUND_HANDSHAKE_STEP)
            }
            Some(_) | None => false,
        }
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
        if handshakes.protect(connection, ground, is_other, now) {
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
mod tests;
