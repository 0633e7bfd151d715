//! Which waiting request is next. Clients that pause between their requests, as kubelet does, go before clients that
//! send one after the other; among the latter, the client served longest ago is next. Not in `prober_queue`, because its
//! code is in the cold section (`.cargo/layout.ld`).

use core::cmp::Reverse;
use core::net::IpAddr;
use core::time::Duration;
use std::time::Instant;

use super::{Client, ProberQueue, Waiter};
use crate::limits;

/// The position of a request in the order of turns: the smallest is next. A client that was never served goes before one
/// that was.
type Turn = (Reverse<Duration>, Option<Instant>);

impl<R> ProberQueue<R> {
    /// Adds a request to the queue. Returns the request that has to be refused, if any: this one if its client has another
    /// one waiting, or the one that would be last in a queue of more than `limit`. Drops requests that are gone.
    #[inline(never)]
    pub fn enqueue(
        &mut self,
        client: IpAddr,
        deadline: Option<Instant>,
        request: R,
        limit: usize,
        now: Instant,
        is_gone: impl Fn(&R) -> bool,
    ) -> Option<R> {
        let gone = |waiter: &mut Waiter<R>| is_gone(&waiter.request);
        for waiter in self.waiters.extract_if(.., gone) {
            set_idle(&mut self.clients, waiter.client, now);
        }
        let pause = self.pause_before(client, deadline.is_none(), now);
        self.client(client, now);
        if self.is_waiting(client) {
            return Some(request);
        }
        self.waiters.push(Waiter {
            client,
            pause,
            deadline,
            request,
        });
        if self.waiters.len() <= limit {
            return None;
        }
        let waiters = self.waiters.iter().enumerate();
        let (last, _) = waiters.max_by_key(|(_, waiter)| self.turn(waiter))?;
        Some(self.remove(last, now).request)
    }

    /// Starts the next request in slot number `slot`, if one waits that a slot of the prober is free for. Drops requests
    /// that are gone.
    #[inline(never)]
    pub fn start_next(
        &mut self,
        slot: usize,
        now: Instant,
        is_gone: impl Fn(&R) -> bool,
    ) -> Option<R> {
        while let Some(next) = self.next_waiter() {
            let Waiter {
                client, request, ..
            } = self.remove(next, now);
            if !is_gone(&request) && self.occupy(client, slot, now) {
                return Some(request);
            }
        }
        None
    }

    /// Removes a request whose deadline has passed.
    pub fn take_expired(&mut self, now: Instant) -> Option<R> {
        let is_expired = |waiter: &Waiter<R>| waiter.deadline.is_some_and(|at| at <= now);
        let expired = self.waiters.iter().position(is_expired)?;
        Some(self.remove(expired, now).request)
    }

    /// The earliest deadline of a waiting request.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiters
            .iter()
            .filter_map(|waiter| waiter.deadline)
            .min()
    }

    /// Number of waiting requests.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// The slot numbers of the running probes.
    pub fn running_slots(&self) -> impl Iterator<Item = usize> {
        self.running.iter().flatten().map(|probe| probe.slot)
    }

    /// Replaces the idle client that had a request last, so that many addresses do not replace one that pauses, as kubelet
    /// does. Returns its index.
    #[inline(never)]
    pub(super) fn replace_client(&mut self, client: Client) -> usize {
        let known = self.clients.iter().enumerate();
        let idle =
            known.filter(|(_, known)| !self.is_running(known.addr) && !self.is_waiting(known.addr));
        let newest = idle.max_by_key(|(_, known)| known.idle_since);
        // More clients are known than can run and wait, so one is idle.
        let index = newest.map_or(0, |(index, _)| index);
        self.clients[index] = client;
        index
    }

    /// The request that is next, if a slot is free for it.
    #[inline(never)]
    pub(super) fn next_waiter(&self) -> Option<usize> {
        if self.running.iter().all(Option::is_some) {
            return None;
        }
        let waiters = self.waiters.iter().enumerate();
        let waiters = waiters.filter(|(_, waiter)| !self.is_running(waiter.client));
        let next = waiters.min_by_key(|(_, waiter)| self.turn(waiter));
        next.map(|(index, _)| index)
    }

    fn turn(&self, waiter: &Waiter<R>) -> Turn {
        let known = self
            .clients
            .iter()
            .find(|client| client.addr == waiter.client);
        let served_at = known.and_then(|client| client.served_at);
        (Reverse(waiter.pause), served_at)
    }

    /// The time since the client's last request; zero if it has one, or if it paused less than a client that probes
    /// periodically does. A client that is not known may be such a client. kubelet runs a hook once, so for a hook a client
    /// that is not known goes first.
    fn pause_before(&self, addr: IpAddr, is_hook: bool, now: Instant) -> Duration {
        if self.is_running(addr) || self.is_waiting(addr) {
            return Duration::ZERO;
        }
        match self.clients.iter().find(|client| client.addr == addr) {
            None if is_hook => Duration::MAX,
            None => limits::CLIENT_PAUSE,
            Some(client) => {
                let pause = now.saturating_duration_since(client.idle_since);
                match pause >= limits::CLIENT_PAUSE {
                    true => pause,
                    false => Duration::ZERO,
                }
            }
        }
    }

    fn is_waiting(&self, client: IpAddr) -> bool {
        self.waiters.iter().any(|waiter| waiter.client == client)
    }

    fn remove(&mut self, index: usize, now: Instant) -> Waiter<R> {
        let waiter = self.waiters.remove(index);
        set_idle(&mut self.clients, waiter.client, now);
        waiter
    }
}

fn set_idle(clients: &mut [Client], addr: IpAddr, now: Instant) {
    if let Some(client) = clients.iter_mut().find(|client| client.addr == addr) {
        client.idle_since = now;
    }
}
