//! Which connection is evicted.

use super::*;
use async_io::Async;
use smol::LocalExecutor;
use smol::future::{block_on, pending, poll_once};
use smol::io::AsyncReadExt;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::pin::pin;

const CAPACITY: usize = limits::WEBHOOK_CONNECTIONS;

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 42, 0, n])
}

fn table() -> Rc<ConnectionTable> {
    let table = ConnectionTable::new(CAPACITY + limits::WEBHOOK_CLOSING_CONNECTIONS);
    assert_eq!(table.capacity, CAPACITY);
    Rc::new(table)
}

fn add(table: &ConnectionTable, peer: u8, count: usize, phase: Phase) -> Vec<ConnectionId> {
    let add_one = |_| {
        let id = table.insert(ip(peer));
        table.set_phase(id, phase);
        id
    };
    (0..count).map(add_one).collect()
}

fn is_open(table: &ConnectionTable, id: ConnectionId) -> bool {
    table.connections.borrow().contains_key(&id)
}

/// Makes the phase of a connection begin this much earlier.
fn let_wait(table: &ConnectionTable, id: ConnectionId, time: Duration) {
    let mut connections = table.connections.borrow_mut();
    let connection = connections.get_mut(&id).expect("open");
    table.unindex(connection, id);
    connection.since -= time;
    table.index(connection, id);
}

/// Handshake permits of the addresses in these tests.
fn peer_handshakes(peer: IpAddr) -> PeerHandshakes {
    let permits = match peer {
        peer if peer == ip(1) => 1,
        peer if peer == ip(2) => 5,
        _ => 0,
    };
    PeerHandshakes {
        permits,
        has_failed: false,
    }
}

fn evicted_for(table: &ConnectionTable, peer: u8) -> Option<(IpAddr, Phase)> {
    let evicted = table.evict_for(ip(peer))?;
    Some((evicted.peer, evicted.phase))
}

#[test]
fn the_connection_that_is_idle_longest_is_evicted() {
    let table = table();
    let ids = add(&table, 1, CAPACITY, Phase::Idle);
    table.set_phase(ids[0], Phase::Busy);
    assert!(table.is_full());
    assert_eq!(evicted_for(&table, 1), Some((ip(1), Phase::Idle)));
    assert!(!table.is_full());
    assert_eq!(table.evicted_count(Phase::Idle), 1);
    let open = [0, 1, 2].map(|n| is_open(&table, ids[n]));
    assert_eq!(open, [true, false, true]);
}

#[test]
fn connections_of_one_address_are_evicted_in_the_order_of_phases() {
    let table = table();
    let order = [Phase::Silent, Phase::Handshake, Phase::Head, Phase::Idle];
    for phase in [
        Phase::Idle,
        Phase::Busy,
        Phase::Silent,
        Phase::Head,
        Phase::Handshake,
    ] {
        add(&table, 1, 2, phase);
    }
    for phase in order {
        for _ in 0..2 {
            assert_eq!(evicted_for(&table, 1), Some((ip(1), phase)));
        }
    }
    assert_eq!(evicted_for(&table, 1), None, "a request is in progress");
    assert_eq!(table.count(), 2);
}

#[test]
fn an_address_with_many_evicts_its_own_connections_alone() {
    for phase in Phase::ALL {
        for flood in Phase::ALL {
            let table = table();
            let few = add(&table, 1, 10, phase);
            add(&table, 2, 500, flood);
            add(&table, 3, 500, flood);
            for _ in 0..300 {
                if let Some((peer, _)) = evicted_for(&table, 2) {
                    assert_ne!(peer, ip(1));
                }
                add(&table, 2, 1, flood);
            }
            assert!(few.iter().all(|id| is_open(&table, *id)));
        }
    }
}

#[test]
fn an_address_with_few_evicts_even_a_busy_connection_of_one_with_many() {
    let table = table();
    add(&table, 1, 1, Phase::Idle);
    let flood = add(&table, 2, CAPACITY - 1, Phase::Busy);
    assert_eq!(evicted_for(&table, 1), Some((ip(2), Phase::Busy)));
    assert!(!is_open(&table, flood[0]));
    assert_eq!(evicted_for(&table, 2), None);
}

#[test]
fn a_connection_is_not_evicted_for_one_of_an_address_with_more_however_long_it_takes() {
    for phase in [Phase::Silent, Phase::Handshake, Phase::Head] {
        let table = table();
        let few = add(&table, 1, 1, phase);
        add(&table, 2, 10, Phase::Silent);
        let_wait(&table, few[0], limits::WEBHOOK_HANDSHAKE_TIMEOUT);
        assert_eq!(evicted_for(&table, 2), Some((ip(2), Phase::Silent)));
        assert!(is_open(&table, few[0]));
    }
}

#[test]
fn silent_connections_are_evicted_of_the_address_that_has_most() {
    let table = table();
    add(&table, 1, 10, Phase::Silent);
    let most = add(&table, 2, 20, Phase::Silent);
    add(&table, 3, 15, Phase::Idle);
    assert_eq!(evicted_for(&table, 4), Some((ip(2), Phase::Silent)));
    assert!(!is_open(&table, most[0]));
}

#[test]
fn the_share_of_an_address_decides_before_the_phase() {
    for phase in [Phase::Idle, Phase::Head, Phase::Busy] {
        let table = table();
        let few = [Phase::Idle, Phase::Idle, Phase::Handshake];
        let few = few.map(|phase| add(&table, 1, 1, phase)[0]);
        add(&table, 2, CAPACITY - few.len(), phase);
        for _ in 0..100 {
            let evicted = evicted_for(&table, 3);
            assert_eq!(evicted, Some((ip(2), phase)));
        }
        assert!(few.iter().all(|id| is_open(&table, *id)));
    }
}

#[test]
fn a_slow_handshake_is_evicted_of_the_address_that_has_most() {
    let table = table();
    let few = add(&table, 1, 1, Phase::Handshake);
    let many = add(&table, 2, 5, Phase::Handshake);
    let now = Instant::now() + limits::WEBHOOK_SLOW_HANDSHAKE;
    let expected = Some(Evicted {
        peer: ip(2),
        phase: Phase::Handshake,
    });
    for newcomer in [1, 2, 3] {
        let evicted = table.evict_handshake_for(ip(newcomer), peer_handshakes, now);
        assert_eq!(evicted, expected);
    }
    assert!(is_open(&table, few[0]));
    assert!(many[..3].iter().all(|id| !is_open(&table, *id)));
    // None of the address with most waits for its client.
    table.set_phase(many[3], Phase::Busy);
    table.set_phase(many[4], Phase::Busy);
    assert_eq!(table.evict_handshake_for(ip(2), peer_handshakes, now), None);
}

#[test]
fn a_handshake_has_less_time_while_an_address_with_fewer_waits_for_a_permit() {
    let table = table();
    let first = add(&table, 2, 5, Phase::Handshake)[0];
    let since = table.connections.borrow()[&first].since;
    let evict = |newcomer, time| {
        let evicted = table.evict_handshake_for(ip(newcomer), peer_handshakes, since + time);
        evicted.is_some()
    };
    // A burst of one address evicts none of its own.
    let just_before = |time: Duration| time - Duration::from_nanos(1);
    assert!(!evict(2, just_before(limits::WEBHOOK_SLOW_HANDSHAKE)));
    assert!(!evict(3, just_before(limits::WEBHOOK_HANDSHAKE_STEP)));
    assert!(evict(3, limits::WEBHOOK_HANDSHAKE_STEP));
    assert!(!is_open(&table, first));
}

#[test]
fn a_handshake_that_continues_does_not_become_younger() {
    let table = table();
    let id = add(&table, 2, 1, Phase::Handshake)[0];
    let_wait(&table, id, limits::WEBHOOK_SLOW_HANDSHAKE);
    let evict = || table.evict_handshake_for(ip(2), peer_handshakes, Instant::now());
    table.set_phase(id, Phase::Busy);
    assert_eq!(evict(), None);
    table.set_phase(id, Phase::Handshake);
    assert!(evict().is_some());
}

#[test]
fn of_addresses_with_as_many_permits_one_whose_last_handshake_has_failed_is_evicted_first() {
    let table = table();
    let oldest = add(&table, 1, 1, Phase::Handshake)[0];
    let failed = add(&table, 2, 1, Phase::Handshake)[0];
    let handshakes_of = |peer| PeerHandshakes {
        permits: usize::from(peer != ip(3)),
        has_failed: peer == ip(2),
    };
    let now = Instant::now() + limits::WEBHOOK_SLOW_HANDSHAKE;
    let evict = || table.evict_handshake_for(ip(3), handshakes_of, now);
    for (peer, id) in [(2, failed), (1, oldest)] {
        let evicted = evict().expect("slow");
        assert_eq!(evicted.peer, ip(peer));
        assert!(!is_open(&table, id));
    }
}

#[test]
fn a_handshake_whose_bytes_have_arrived_is_not_evicted() {
    let table = table();
    let ids = add(&table, 2, 2, Phase::Handshake);
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
    let connect = |id: ConnectionId| {
        let addr = listener.local_addr().expect("an address");
        let client = TcpStream::connect(addr).expect("a connection");
        let (socket, _) = listener.accept().expect("a connection");
        let socket = Async::new(socket).expect("a socket");
        table.set_socket(id, SharedSocket::new(socket));
        client
    };
    let (mut answered, _silent) = (connect(ids[0]), connect(ids[1]));
    answered.write_all(b"x").expect("sent");
    let now = Instant::now() + limits::WEBHOOK_SLOW_HANDSHAKE;
    let evict = || table.evict_handshake_for(ip(2), peer_handshakes, now);
    assert!(evict().is_some());
    assert_eq!([0, 1].map(|n| is_open(&table, ids[n])), [true, false]);
    assert_eq!(evict(), None);
    // A client that sends its bytes one by one always has one that was not read.
    let mut socket = table.connections.borrow()[&ids[0]]
        .socket
        .clone()
        .expect("set");
    for _ in 0..limits::WEBHOOK_HANDSHAKE_READS {
        assert_eq!(evict(), None);
        block_on(socket.read_exact(&mut [0])).expect("a byte");
        answered.write_all(b"x").expect("sent");
    }
    assert!(evict().is_some());
}

#[test]
fn a_socket_counts_until_its_task_is_dropped() {
    let executor = LocalExecutor::new();
    let table = table();
    for _ in 0..CAPACITY + limits::WEBHOOK_CLOSING_CONNECTIONS {
        if table.is_full() {
            table.evict_for(ip(1));
        }
        let (id, socket) = (table.insert(ip(1)), table.open_socket());
        let task = executor.spawn(async move {
            let _socket = socket;
            pending::<()>().await;
        });
        table.set_task(id, task);
    }
    block_on(async {
        let mut socket = pin!(table.wait_for_socket());
        assert!(poll_once(&mut socket).await.is_none());
        while executor.try_tick() {}
        socket.await;
    });
    assert_eq!(table.sockets.get(), CAPACITY);
}

#[test]
fn only_connections_with_a_request_stay_open_while_draining() {
    let table = table();
    for phase in Phase::ALL {
        add(&table, 1, 1, phase);
    }
    let busy = add(&table, 1, 1, Phase::Busy);
    let head = add(&table, 1, 1, Phase::Head);
    table.close_without_request();
    assert_eq!(table.count(), 4);
    assert!(is_open(&table, busy[0]) && is_open(&table, head[0]));
}

#[test]
fn the_drain_ends_with_the_last_connection() {
    let table = table();
    let ids = add(&table, 1, 2, Phase::Busy);
    block_on(async {
        let mut empty = pin!(table.wait_until_empty());
        for id in ids {
            assert!(poll_once(&mut empty).await.is_none());
            table.remove(id);
        }
        empty.await;
    });
}
