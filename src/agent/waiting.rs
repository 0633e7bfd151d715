//! Requests that wait for a slot of their prober: what happens when their turn comes, their deadline passes, or the queue
//! is full. Not in `handler`, because a pod whose slots suffice never runs it (`.cargo/layout.ld`).

use std::time::Instant;

use super::metrics::Rejection;
use super::slots::{Connected, WaitingRequest};
use super::state::Agent;
use crate::config::Prober;
use crate::wire::response_writer::{RESPONSE_BUFFER_BYTES, ResponseBody, write_response_head};

/// A request that has waited.
pub struct NextRequest {
    pub connected: Connected,
    /// Number of its bytes, which are at the start of the slot's memory.
    pub bytes: usize,
}

impl Agent {
    /// Makes the running probes of the prober check their clients: a client that is gone must not keep its slot. Their
    /// tasks run before this one if it yields.
    #[inline(never)]
    pub fn check_clients(&self, prober: usize) {
        for slot in self.queues.borrow()[prober].running_slots() {
            self.slots.check_client(slot);
        }
    }

    /// Adds a request to the queue of its prober. `bytes` is its head.
    #[inline(never)]
    pub fn enqueue(&self, prober: usize, connected: Connected, bytes: &[u8]) {
        let entry = self.config.probers.get(prober);
        let client = connected.client;
        let due = self.due(entry, connected.accepted_at);
        let deadline = (!entry.is_hook).then_some(due);
        let request = WaitingRequest {
            connected,
            head: bytes.into(),
        };
        let refused = self.queues.borrow_mut()[prober].enqueue(
            client,
            deadline,
            request,
            self.slot_capacity.waiting,
            Instant::now(),
            |waiting| self.is_gone(entry, waiting),
        );
        if let Some(refused) = refused {
            self.refuse(entry, refused);
        }
        self.update_expiry();
    }

    /// Starts the next request of the prober in slot number `slot`, if one waits and a slot of the prober is free.
    #[inline(never)]
    pub fn start_next(&self, prober: usize, slot: usize, memory: &mut [u8]) -> Option<NextRequest> {
        let entry = self.config.probers.get(prober);
        let is_gone = |waiting: &WaitingRequest| self.is_gone(entry, waiting);
        let next = self.queues.borrow_mut()[prober].start_next(slot, Instant::now(), is_gone)?;
        let WaitingRequest { connected, head } = next;
        memory[..head.len()].copy_from_slice(&head);
        // From now on the slot cannot be evicted. It may have been, for its previous connection.
        self.slots.start_probing(slot, connected.client);
        let bytes = head.len();
        Some(NextRequest { connected, bytes })
    }

    /// Responds to the requests whose deadline has passed.
    #[inline(never)]
    pub fn expire_waiting(&self) {
        let now = Instant::now();
        for (prober, entry) in self.config.probers.iter().enumerate() {
            loop {
                let expired = self.queues.borrow_mut()[prober].take_expired(now);
                let Some(expired) = expired else { break };
                self.refuse(entry, expired);
            }
        }
        self.update_expiry();
    }

    fn update_expiry(&self) {
        let queues = self.queues.borrow();
        let next = queues
            .iter()
            .filter_map(|queue| queue.next_deadline())
            .min();
        self.next_expiry.set(next);
    }

    /// Whether the client has disconnected, which is then logged and counted.
    fn is_gone(&self, prober: &Prober, request: &WaitingRequest) -> bool {
        let is_gone = request.connected.socket.is_hung_up();
        if is_gone {
            self.log.canceled(prober);
            self.metrics.count_rejection(Rejection::ClientDisconnected);
        }
        is_gone
    }

    /// Responds 503, or resets the connection of a hook: kubelet counts any response as a hook that ran.
    fn refuse(&self, prober: &Prober, request: WaitingRequest) {
        if self.is_gone(prober, &request) {
            return;
        }
        self.record_no_slot(prober);
        let socket = request.connected.socket;
        if prober.is_hook {
            socket.reset();
            return;
        }
        let mut response = [0; RESPONSE_BUFFER_BYTES];
        let len = write_response_head(&mut response, 503, ResponseBody::Empty);
        // Nothing was sent before, so the kernel has room for it.
        if socket.try_write(&response[..len]) != Ok(len) {
            socket.reset();
        }
    }

    /// Logs and counts a probe or hook for which no slot is free.
    pub fn record_no_slot(&self, prober: &Prober) {
        let rejection = match prober.is_hook {
            true => Rejection::HookSlotsFull,
            false => Rejection::Busy,
        };
        self.log.no_slot(prober, rejection);
        self.metrics.count_rejection(rejection);
    }
}
