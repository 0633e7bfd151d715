//! Which connection is evicted, by phases and addresses.

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
const STEP: u64 = limits::INBOUND_HANDSHAKE_STEP.as_millis() as u64;
#[cfg(feature = "tls")]
const SLOW: u64 = limits::INBOUND_SLOW_HANDSHAKE.as_millis() as u64;

#[cfg(feature = "tls")]
#[test]
fn a_handshake_whose_client_has_had_little_time_is_evicted_only_for_an_address_with_fewer() {
    for phase in [AwaitingHello, Answered] {
        assert_eq!(victim(&[(2, phase, STEP - 1), (3, phase, STEP - 1)]), None);
        assert_eq!(victim(&[(2, phase, STEP - 1), (3, phase, STEP)]), Some(1));
        assert_eq!(victim(&[(2, phase, 1), (2, phase, 2)]), Some(1));
    }
}

/// A proxy connects again with all its connections, and answers one after the other.
#[cfg(feature = "tls")]
#[test]
fn a_burst_of_one_address_evicts_none_of_its_own_before_they_are_slow() {
    for phase in [AwaitingHello, Answered] {
        let burst = [(NEW, phase, SLOW - 1), (NEW, phase, 1)];
        assert_eq!(victim(&burst), None);
        assert_eq!(victim(&[burst[0], (NEW, phase, SLOW)]), Some(1));
        // One that others may evict stays, too.
        assert_eq!(victim(&[burst[0], (3, phase, STEP - 1)]), None);
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_handshake_that_waits_for_us_is_evicted_only_for_an_address_with_fewer() {
    for is_answered in [false, true] {
        let turn = Phase::AwaitingTurn { is_answered };
        assert_eq!(victim(&[(2, turn, SLOW), (3, turn, SLOW)]), None);
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
        let flood = [(11, phase, SLOW), (11, phase, SLOW + 1)];
        assert_eq!(victim_in_networks(&flood, 12), Some(1));
        // An address evicts no handshake of one that has fewer, nor a new one of one that has as many.
        let both = [
            (11, AwaitingHello, SLOW),
            (11, Answered, SLOW + 1),
            (12, phase, SLOW + 2),
        ];
        assert_eq!(victim_in_networks(&both, 11), Some(1));
        assert_eq!(victim_in_networks(&[(11, phase, 1)], 12), None);
    }
}

#[cfg(feature = "tls")]
#[test]
fn the_addresses_of_a_network_have_one_share_among_networks() {
    let turn = Phase::AwaitingTurn { is_answered: false };
    for phase in [AwaitingHello, Answered, turn] {
        let of = |n, time| (n, phase, SLOW + time);
        let equal = [(11, phase, 1), (12, phase, 2), (21, phase, 3)];
        assert_eq!(victim_in_networks(&equal, 22), None);
        assert_eq!(
            victim_in_networks(&[of(11, 1), of(12, 2), of(21, 3)], 31),
            Some(1)
        );
        // As many in two networks: that these are of one address does not count.
        let one = [(21, phase, 1), (21, phase, 2), (11, phase, 3)];
        assert_eq!(victim_in_networks(&one, 12), None);
        // Of the network with most, the address with most.
        let most = [of(11, 9), of(12, 1), of(12, 2), of(21, 9)];
        assert_eq!(victim_in_networks(&most, 22), Some(2));
    }
}
