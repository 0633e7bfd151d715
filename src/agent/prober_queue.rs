//! The capacity of one prober: whose probes run, and which requests wait. Without I/O.
//!
//! A prober runs two probes at once, of different client addresses. So an app that hangs uses up the capacity of its own
//! probers, and one client cannot use up that of a prober. `turns` decides which waiting request is next.

use core::net::IpAddr;
use core::time::Duration;
use std::time::Instant;

use crate::limits;

mod turns;

/// Running probes and waiting requests of one prober. `R` is a waiting request.
pub struct ProberQueue<R> {
    running: [Option<RunningProbe>; limits::PROBES_PER_PROBER],
    /// In the order of arrival.
    waiters: Vec<Waiter<R>>,
    clients: Vec<Client>,
}

/// A probe that occupies a slot of the prober.
#[derive(Clone, Copy)]
struct RunningProbe {
    client: IpAddr,
    slot: usize,
}

/// A request that waits for its turn.
struct Waiter<R> {
    client: IpAddr,
    /// How long the client had no request before this one; zero if it hardly paused.
    pause: Duration,
    /// When it is too late to run the probe; a hook has no deadline.
    deadline: Option<Instant>,
    request: R,
}

/// The last requests of a client address.
struct Client {
    addr: IpAddr,
    /// When its last probe started.
    served_at: Option<Instant>,
    /// When its last request ended.
    idle_since: Instant,
}

impl<R> ProberQueue<R> {
    /// An empty queue.
    pub fn new() -> ProberQueue<R> {
        ProberQueue {
            running: [None; limits::PROBES_PER_PROBER],
            waiters: Vec::new(),
            clients: Vec::new(),
        }
    }

    /// Starts the probe of `client`, whose connection is in slot number `slot` of the status port. Returns false if both slots
    /// of the prober are occupied, or one by the same client, or if the free one is for a request that waits.
    pub fn try_start(&mut self, client: IpAddr, slot: usize, now: Instant) -> bool {
        if self.has_waiters() && self.next_waiter().is_some() {
            return false;
        }
        self.occupy(client, slot, now)
    }

    fn occupy(&mut self, client: IpAddr, slot: usize, now: Instant) -> bool {
        if self.is_running(client) {
            return false;
        }
        let Some(free) = self.running.iter_mut().find(|probe| probe.is_none()) else {
            return false;
        };
        *free = Some(RunningProbe { client, slot });
        self.client(client, now).served_at = Some(now);
        true
    }

    /// Ends the probe of the connection in slot number `slot`. Returns false if none runs, or no longer.
    pub fn finish(&mut self, slot: usize, now: Instant) -> bool {
        let mut running = self.running.iter_mut();
        let ended = running.find(|probe| probe.is_some_and(|probe| probe.slot == slot));
        let Some(probe) = ended.and_then(Option::take) else {
            return false;
        };
        self.client(probe.client, now).idle_since = now;
        true
    }

    /// Whether a request waits.
    pub fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    fn is_running(&self, client: IpAddr) -> bool {
        let mut running = self.running.iter().flatten();
        running.any(|probe| probe.client == client)
    }

    /// The entry of a client, which is added if it is missing.
    fn client(&mut self, addr: IpAddr, now: Instant) -> &mut Client {
        let known = self.clients.iter().position(|client| client.addr == addr);
        let index = known.unwrap_or_else(|| {
            let client = Client {
                addr,
                served_at: None,
                idle_since: now,
            };
            if self.clients.len() == limits::KNOWN_CLIENTS {
                return self.replace_client(client);
            }
            // One at a time: kubelet is usually the only one.
            self.clients.reserve_exact(1);
            self.clients.push(client);
            self.clients.len() - 1
        });
        &mut self.clients[index]
    }
}

#[cfg(test)]
mod tests;
