//! The open connections of one forward or of all inbound ports, at most so many as there may be. A full table evicts one
//! for a new one.

use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::net::IpAddr;
use core::pin::Pin;
#[cfg(feature = "tls")]
use core::task::Context;
use core::task::{Poll, Waker};
use std::rc::Rc;
use std::time::Instant;

use super::eviction::{Connection, Fairness, Phase, select_victim};
use crate::limits;
use crate::net::set_waker;
#[cfg(feature = "tls")]
use crate::net::{network_of, tls::HandshakeWait};

/// The open connections of one forward, or of all inbound ports.
pub struct ConnectionTable {
    limit: usize,
    fairness: Fairness,
    entries: RefCell<Vec<Option<Entry>>>,
    /// The tasks that wait until another connection can be admitted.
    #[cfg(feature = "tls")]
    waiting: RefCell<Vec<Waker>>,
}

struct Entry {
    connection: Connection,
    /// Its task has not run since.
    is_evicted: bool,
    /// The agent stops.
    is_closing: bool,
    /// The connection's task.
    waker: Option<Waker>,
}

/// The entry of an open connection. Dropping it removes the entry.
pub struct ConnectionEntry {
    connections: Rc<ConnectionTable>,
    index: usize,
}

/// Result of [`ConnectionTable::admit`].
pub struct Admission {
    /// The new connection.
    pub entry: ConnectionEntry,
    /// The client that was evicted for it.
    pub evicted: Option<IpAddr>,
}

/// The side of a connection that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The peer that connected to us.
    Client,
    /// The target.
    App,
}

impl ConnectionTable {
    /// No connections, and at most `limit` of them later.
    pub fn new(limit: usize) -> Rc<ConnectionTable> {
        ConnectionTable::with_fairness(limit, Fairness::Addresses)
    }

    /// The same for handshakes. Their clients have not shown a certificate yet, so they share by networks.
    #[cfg(feature = "tls")]
    pub fn for_handshakes(limit: usize) -> Rc<ConnectionTable> {
        ConnectionTable::with_fairness(limit, Fairness::Networks)
    }

    fn with_fairness(limit: usize, fairness: Fairness) -> Rc<ConnectionTable> {
        Rc::new(ConnectionTable {
            limit,
            fairness,
            entries: RefCell::default(),
            #[cfg(feature = "tls")]
            waiting: RefCell::default(),
        })
    }

    /// Number of open connections.
    pub fn open_connections(&self) -> usize {
        open(&self.entries.borrow()).count()
    }

    /// Number of open connections of the network of `peer`, then of its address.
    #[cfg(feature = "tls")]
    pub fn counts_of_network_and_address(&self, peer: IpAddr) -> (usize, usize) {
        let network = network_of(peer);
        let entries = self.entries.borrow();
        let of_network = open(&entries).filter(|(_, c)| network_of(c.peer) == network);
        of_network.fold((0, 0), |(of_network, of_address), (_, c)| {
            (of_network + 1, of_address + usize::from(c.peer == peer))
        })
    }

    /// Requests that all connections close, because the agent stops.
    #[cfg(feature = "tls")]
    pub fn close_all(&self) {
        let mut wakers = Vec::new();
        for entry in self.entries.borrow_mut().iter_mut().flatten() {
            entry.is_closing = true;
            wakers.extend(entry.waker.take());
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ready once a connection from `peer` is admitted.
    #[cfg(feature = "tls")]
    pub fn poll_admission(self: &Rc<Self>, peer: IpAddr, cx: &Context<'_>) -> Poll<Admission> {
        if let Some(admission) = self.admit(peer, Instant::now()) {
            return Poll::Ready(admission);
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Another connection may be admitted now.
    #[cfg(feature = "tls")]
    fn wake_waiting(&self) {
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Admits a connection from `peer`, which connects to the app next. If the table is full, evicts another one.
    /// Returns `None` if none may be evicted.
    pub fn admit(self: &Rc<Self>, peer: IpAddr, now: Instant) -> Option<Admission> {
        let mut entries = self.entries.borrow_mut();
        let mut victim = None;
        if open(&entries).count() >= self.limit {
            let index = select_victim(open(&entries), self.fairness, peer, now)?;
            victim = entries[index].as_mut();
        }
        let evicted = victim.map(|entry| {
            entry.is_evicted = true;
            (entry.connection.peer, entry.waker.take())
        });
        let entry = Some(Entry {
            connection: Connection {
                peer,
                phase: Phase::Connecting,
                last_active: now,
            },
            is_evicted: false,
            is_closing: false,
            waker: None,
        });
        let free = entries.iter().position(Option::is_none);
        let index = free.unwrap_or(entries.len());
        match free {
            Some(index) => entries[index] = entry,
            None => entries.push(entry),
        }
        drop(entries);
        let evicted = evicted.map(|(peer, task)| {
            task.into_iter().for_each(Waker::wake);
            peer
        });
        let connections = self.clone();
        Some(Admission {
            entry: ConnectionEntry { connections, index },
            evicted,
        })
    }
}

/// The connections that are not evicted, with their indices.
fn open(entries: &[Option<Entry>]) -> impl Iterator<Item = (usize, &Connection)> + Clone {
    entries.iter().enumerate().filter_map(|(index, entry)| {
        let entry = entry.as_ref().filter(|entry| !entry.is_evicted)?;
        Some((index, &entry.connection))
    })
}

impl ConnectionEntry {
    /// Runs `future` until it ends or the connection is evicted; then there is no result.
    pub async fn unless_evicted<T>(
        &self,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        poll_fn(|cx| {
            if self.with_entry(|entry| entry.is_evicted) {
                return Poll::Ready(None);
            }
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            self.with_entry(|entry| set_waker(&mut entry.waker, cx));
            Poll::Pending
        })
        .await
    }

    /// The handshake waits for this.
    #[cfg(feature = "tls")]
    pub fn record_handshake(&self, wait: HandshakeWait) {
        self.with_entry(|Entry { connection, .. }| {
            let is_answered = match connection.phase {
                Phase::AwaitingTurn { is_answered } => is_answered,
                phase => phase == Phase::Answered,
            };
            connection.phase = match wait {
                HandshakeWait::Hello => Phase::AwaitingHello,
                HandshakeWait::Client => Phase::Answered,
                HandshakeWait::Turn => Phase::AwaitingTurn { is_answered },
            };
            if wait == HandshakeWait::Client && !is_answered {
                connection.last_active = Instant::now();
            }
        });
        if wait != HandshakeWait::Turn {
            self.connections.wake_waiting();
        }
    }

    /// The handshake is done. The others of its address get time again: their client may be busy with one after the other.
    #[cfg(feature = "tls")]
    pub fn record_handshake_done(&self) {
        let (peer, now) = (
            self.with_entry(|entry| entry.connection.peer),
            Instant::now(),
        );
        let mut entries = self.connections.entries.borrow_mut();
        let open = entries.iter_mut().flatten();
        for entry in open.filter(|entry| entry.connection.peer == peer) {
            entry.connection.last_active = now;
        }
    }

    /// The app has accepted.
    pub fn record_connected(&self) {
        self.set_phase(Phase::AwaitingClient);
    }

    /// Bytes from `sender` have moved.
    pub fn record_bytes(&self, sender: Sender) {
        self.set_phase(match (self.is_half_closed(), sender) {
            (true, _) => Phase::HalfClosed,
            (false, Sender::Client) => Phase::AwaitingApp,
            (false, Sender::App) => Phase::AwaitingClient,
        });
    }

    /// One side has sent EOF.
    pub fn record_eof(&self) {
        self.set_phase(Phase::HalfClosed);
    }

    /// Whether one side has sent EOF.
    pub fn is_half_closed(&self) -> bool {
        self.with_entry(|entry| entry.connection.phase == Phase::HalfClosed)
    }

    /// Whether neither side has sent anything for a while, so that an end now is not taken for that of a message.
    #[cfg(feature = "tls")]
    pub fn is_quiet(&self) -> bool {
        let last_active = self.with_entry(|entry| entry.connection.last_active);
        last_active.elapsed() >= limits::INBOUND_QUIET_TIME
    }

    /// Whether the agent stops.
    pub fn is_closing(&self) -> bool {
        self.with_entry(|entry| entry.is_closing)
    }

    /// When the last byte moved.
    pub fn last_active(&self) -> Instant {
        self.with_entry(|entry| entry.connection.last_active)
    }

    /// When the connection has been idle for too long.
    pub fn idle_deadline(&self) -> Instant {
        let timeout = match self.is_half_closed() {
            true => limits::FORWARD_HALF_CLOSED_TIMEOUT,
            false => limits::FORWARD_IDLE_TIMEOUT,
        };
        self.with_entry(|entry| entry.connection.last_active + timeout)
    }

    fn set_phase(&self, phase: Phase) {
        self.with_entry(|entry| {
            entry.connection.phase = phase;
            entry.connection.last_active = Instant::now();
        });
    }

    fn with_entry<T>(&self, f: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entries = self.connections.entries.borrow_mut();
        f(entries[self.index].as_mut().expect("removed by drop alone"))
    }
}

impl Drop for ConnectionEntry {
    fn drop(&mut self) {
        self.connections.entries.borrow_mut()[self.index] = None;
        #[cfg(feature = "tls")]
        self.connections.wake_waiting();
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_that_is_done_gives_the_others_of_its_address_time() {
        let table = ConnectionTable::for_handshakes(3);
        let [burst, other] = [1, 2].map(|n| IpAddr::from([10, 42, 0, n]));
        let start = Instant::now();
        let admit = |peer, now| table.admit(peer, now).map(|admission| admission.entry);
        let admit_at_start = |peer| {
            let entry = admit(peer, start).expect("a free entry");
            entry.record_handshake(HandshakeWait::Hello);
            entry
        };
        let [done, waiting, of_other] = [burst, burst, other].map(admit_at_start);
        done.record_handshake_done();
        let next = waiting.last_active() + limits::INBOUND_SLOW_HANDSHAKE;
        assert!(waiting.last_active() > start && of_other.last_active() == start);
        let just_before = next - limits::INBOUND_HANDSHAKE_STEP;
        let evicted = table
            .admit(burst, just_before)
            .map(|admission| admission.evicted);
        assert_eq!(
            evicted, None,
            "neither its own nor one of an address with fewer"
        );
        let evicted = table.admit(burst, next).map(|admission| admission.evicted);
        assert_eq!(evicted, Some(Some(burst)));
    }
}
