//! The open connections: their number, the phase of each, and which one is evicted for a new one. Connections are shared
//! fairly among peer addresses: none of an address is evicted for one of an address that has more.

use super::stream_io::SharedSocket;
use crate::limits;
use crate::net::{Candidate, select_victim, set_waker};
use core::cell::{Cell, RefCell};
use core::cmp::{Ordering, Reverse};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use smol::Task;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Receiving the body of a request, answering it, or computing a handshake.
    Busy,
    /// Between two requests.
    Idle,
    /// Receiving a request head.
    Head,
    /// The client's part of a TLS handshake.
    Handshake,
    /// No byte was received yet, or the connection waits for a handshake permit.
    Silent,
}

/// Identifies a connection.
pub type ConnectionId = u64;

/// A connection that was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// The address of its client.
    pub peer: IpAddr,
    /// What it was doing.
    pub phase: Phase,
}

/// The handshakes of an address. They decide which address's handshake is evicted.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerHandshakes {
    /// Handshake permits that it holds.
    pub permits: usize,
    /// Whether its last handshake has failed.
    pub has_failed: bool,
}

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    phase: Phase,
    since: Instant,
    /// How long its client has let the handshake wait, the current wait excluded.
    handshake_wait: Duration,
    /// Absent until its handshake begins.
    socket: Option<SharedSocket>,
    /// Serves the connection. Dropping it closes the connection.
    task: Option<Task<()>>,
}

/// The connections of one address in each phase, by their age in it.
#[derive(Debug, Default)]
struct PeerConnections([BTreeSet<(Instant, ConnectionId)>; Phase::ALL.len()]);

/// The open connections.
#[derive(Debug)]
pub struct ConnectionTable {
    capacity: usize,
    /// Connections that may be evicted and not closed yet, in addition to `capacity`.
    closing_capacity: usize,
    connections: RefCell<BTreeMap<ConnectionId, Connection>>,
    peers: RefCell<BTreeMap<IpAddr, PeerConnections>>,
    next_id: Cell<ConnectionId>,
    /// Connections whose sockets are open: those in the table, and evicted ones whose tasks were not dropped yet.
    sockets: Cell<usize>,
    evicted: [Cell<u64>; Phase::ALL.len()],
    /// Woken by each change. There is one waiter at a time: the accept loop, then the drain.
    waiter: RefCell<Option<Waker>>,
}

/// Counts an open socket until it is dropped.
#[derive(Debug)]
pub struct OpenSocket(Rc<ConnectionTable>);

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 5] = [
        Phase::Busy,
        Phase::Idle,
        Phase::Head,
        Phase::Handshake,
        Phase::Silent,
    ];

    /// The order of eviction among connections of one address, before busy ones. Heads go before idle connections because
    /// the API server's connection is idle between reviews.
    const EVICTION_ORDER: [Phase; 4] = [Phase::Silent, Phase::Handshake, Phase::Head, Phase::Idle];

    /// The value of the label and of the log field `phase`.
    pub fn label(self) -> &'static str {
        match self {
            Phase::Busy => "busy",
            Phase::Idle => "idle",
            Phase::Head => "head",
            Phase::Handshake => "handshake",
            Phase::Silent => "silent",
        }
    }
}

impl Connection {
    fn set_phase(&mut self, phase: Phase, now: Instant) {
        if self.phase == Phase::Handshake {
            self.handshake_wait = now.saturating_duration_since(self.since);
        }
        self.phase = phase;
        self.since = match phase {
            Phase::Handshake => now.checked_sub(self.handshake_wait).unwrap_or(now),
            Phase::Silent | Phase::Head | Phase::Idle | Phase::Busy => now,
        };
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.sockets.set(self.0.sockets.get() - 1);
        self.0.notify();
    }
}

impl PeerConnections {
    fn count(&self) -> usize {
        self.0.iter().map(BTreeSet::len).sum()
    }

    /// The start of the phase and the ID of each connection in it, the oldest first.
    fn in_phase(&self, phase: Phase) -> impl Iterator<Item = (Instant, ConnectionId)> {
        self.0[phase as usize].iter().copied()
    }

    /// The start of the phase and the ID of the connection to evict first. `share` is the number of these connections
    /// compared with that of the new one's address.
    fn weakest(&self, share: Ordering) -> Option<(Instant, ConnectionId)> {
        let oldest_in = |phase: Phase| self.in_phase(phase).next();
        let mut phases = Phase::EVICTION_ORDER.into_iter();
        match share {
            Ordering::Greater => phases.chain([Phase::Busy]).find_map(oldest_in),
            Ordering::Equal => phases.find_map(oldest_in),
            Ordering::Less => None,
        }
    }
}

impl ConnectionTable {
    /// An empty table for this number of sockets.
    pub fn new(sockets: usize) -> ConnectionTable {
        let closing_capacity = (sockets / 8).min(limits::WEBHOOK_CLOSING_CONNECTIONS);
        ConnectionTable {
            capacity: sockets - closing_capacity,
            closing_capacity,
            connections: RefCell::default(),
            peers: RefCell::default(),
            next_id: Cell::new(0),
            sockets: Cell::new(0),
            evicted: Default::default(),
            waiter: RefCell::default(),
        }
    }

    /// Counts a socket.
    pub fn open_socket(self: &Rc<Self>) -> OpenSocket {
        self.sockets.set(self.sockets.get() + 1);
        OpenSocket(self.clone())
    }

    /// Adds an accepted connection.
    pub fn insert(&self, peer: IpAddr) -> ConnectionId {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let connection = Connection {
            peer,
            phase: Phase::Silent,
            since: Instant::now(),
            handshake_wait: Duration::ZERO,
            socket: None,
            task: None,
        };
        self.index(&connection, id);
        self.connections.borrow_mut().insert(id, connection);
        id
    }

    /// Stores the task of a connection, unless it has ended already.
    pub fn set_task(&self, id: ConnectionId, task: Task<()>) {
        match self.connections.borrow_mut().get_mut(&id) {
            Some(connection) => connection.task = Some(task),
            None => task.detach(),
        }
    }

    /// Stores the socket of a connection whose handshake begins, for [`evict_handshake_for`](Self::evict_handshake_for).
    pub fn set_socket(&self, id: ConnectionId, socket: SharedSocket) {
        if let Some(connection) = self.connections.borrow_mut().get_mut(&id) {
            connection.socket = Some(socket);
        }
    }

    /// Removes a connection. Called by its own task, which must not be dropped while it runs.
    pub fn remove(&self, id: ConnectionId) {
        if let Some(task) = self.take(id).and_then(|connection| connection.task) {
            task.detach();
        }
        self.notify();
    }

    /// Sets the phase of a connection. All its waits in [`Phase::Handshake`] count as one: a byte from time to time makes
    /// it no younger.
    pub fn set_phase(&self, id: ConnectionId, phase: Phase) {
        if let Some(connection) = self.connections.borrow_mut().get_mut(&id) {
            self.unindex(connection, id);
            connection.set_phase(phase, Instant::now());
            self.index(connection, id);
        }
    }

    /// Number of connections.
    pub fn count(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Number of connections evicted so far in this phase.
    pub fn evicted_count(&self, phase: Phase) -> u64 {
        self.evicted[phase as usize].get()
    }

    /// Waits until the sockets of evicted connections are closed, except for a few.
    pub async fn wait_for_socket(&self) {
        while self.sockets.get() >= self.capacity + self.closing_capacity {
            self.wait_for_change().await;
        }
    }

    /// Whether another connection requires that one is evicted.
    pub fn is_full(&self) -> bool {
        self.count() >= self.capacity
    }

    /// Evicts a connection for one of `newcomer`, of the address that has most. Of its connections, one without a byte goes
    /// first, then a handshake, an unfinished head, an idle one, and of these the oldest. One that is busy is evicted only for
    /// an address that has fewer. `None` if there is none to evict.
    pub fn evict_for(&self, newcomer: IpAddr) -> Option<Evicted> {
        let peers = self.peers.borrow();
        let share_of = |peer: IpAddr| {
            let count = peers.get(&peer).map_or(0, PeerConnections::count);
            count + usize::from(peer == newcomer)
        };
        let newcomers = share_of(newcomer);
        let weakest = peers.iter().filter_map(|(peer, connections)| {
            let share = share_of(*peer).cmp(&newcomers);
            let (since, id) = connections.weakest(share)?;
            Some(Candidate {
                key: id,
                peer: *peer,
                ground: (),
                age: Reverse(since),
            })
        });
        let victim = select_victim(weakest, share_of)?;
        drop(peers);
        self.evict(victim)
    }

    /// Evicts the oldest handshake of the address that has most handshake permits, the one for a handshake of `newcomer`
    /// included; of addresses that have as many, of one whose last handshake has failed. It must have let us wait for longer
    /// than the API server does: for [`WEBHOOK_HANDSHAKE_STEP`](limits::WEBHOOK_HANDSHAKE_STEP) if its address has more
    /// permits, and for [`WEBHOOK_SLOW_HANDSHAKE`](limits::WEBHOOK_SLOW_HANDSHAKE) if it has as many. One whose next bytes
    /// have arrived waits for us. `None` if there is none to evict.
    pub fn evict_handshake_for(
        &self,
        newcomer: IpAddr,
        handshakes_of: impl Fn(IpAddr) -> PeerHandshakes,
        now: Instant,
    ) -> Option<Evicted> {
        let peers = self.peers.borrow();
        let share_of = |peer| handshakes_of(peer).permits + usize::from(peer == newcomer);
        let newcomers = share_of(newcomer);
        let oldest = peers.iter().filter_map(|(peer, connections)| {
            let mut handshakes = connections.in_phase(Phase::Handshake).peekable();
            handshakes.peek()?;
            let min_wait = match share_of(*peer).cmp(&newcomers) {
                Ordering::Greater => limits::WEBHOOK_HANDSHAKE_STEP,
                Ordering::Equal => limits::WEBHOOK_SLOW_HANDSHAKE,
                Ordering::Less => return None,
            };
            let (since, id) = handshakes
                .take_while(|(since, _)| now.saturating_duration_since(*since) >= min_wait)
                .find(|(_, id)| !self.has_input(*id))?;
            Some(Candidate {
                key: id,
                peer: *peer,
                ground: (),
                age: (handshakes_of(*peer).has_failed, Reverse(since)),
            })
        });
        let victim = select_victim(oldest, share_of)?;
        drop(peers);
        self.evict(victim)
    }

    fn has_input(&self, id: ConnectionId) -> bool {
        let connections = self.connections.borrow();
        let socket = connections.get(&id).and_then(|c| c.socket.as_ref());
        socket.is_some_and(SharedSocket::has_input)
    }

    /// The task of the connection, and with it its socket, is dropped when the executor gets to it.
    fn evict(&self, id: ConnectionId) -> Option<Evicted> {
        let connection = self.take(id)?;
        let evicted = &self.evicted[connection.phase as usize];
        evicted.set(evicted.get() + 1);
        Some(Evicted {
            peer: connection.peer,
            phase: connection.phase,
        })
    }

    fn take(&self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.borrow_mut().remove(&id)?;
        self.unindex(&connection, id);
        Some(connection)
    }

    fn index(&self, connection: &Connection, id: ConnectionId) {
        let mut peers = self.peers.borrow_mut();
        let peer = peers.entry(connection.peer).or_default();
        peer.0[connection.phase as usize].insert((connection.since, id));
    }

    fn unindex(&self, connection: &Connection, id: ConnectionId) {
        let mut peers = self.peers.borrow_mut();
        if let Some(peer) = peers.get_mut(&connection.peer) {
            peer.0[connection.phase as usize].remove(&(connection.since, id));
            if peer.count() == 0 {
                peers.remove(&connection.peer);
            }
        }
    }

    /// Closes every connection that has no request.
    pub fn close_without_request(&self) {
        let closed: Vec<ConnectionId> = {
            let connections = self.connections.borrow();
            let without_request = connections.iter().filter(|(_, c)| match c.phase {
                Phase::Head | Phase::Busy => false,
                Phase::Silent | Phase::Handshake | Phase::Idle => true,
            });
            without_request.map(|(id, _)| *id).collect()
        };
        // Dropping the connection drops its task.
        closed.into_iter().for_each(|id| drop(self.take(id)));
    }

    /// Waits until there is no connection.
    pub async fn wait_until_empty(&self) {
        while self.count() > 0 {
            self.wait_for_change().await;
        }
    }

    /// Waits until a connection ends.
    async fn wait_for_change(&self) {
        let mut is_first_poll = true;
        poll_fn(|cx| {
            if !core::mem::replace(&mut is_first_poll, false) {
                return Poll::Ready(());
            }
            set_waker(&mut self.waiter.borrow_mut(), cx);
            Poll::Pending
        })
        .await;
    }

    fn notify(&self) {
        if let Some(waker) = self.waiter.borrow_mut().take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests;
