//! One connection of the status port: reads the request, passes it to the handler, closes.

use core::cell::Cell;
use core::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use rustix::io;

use super::metrics::Rejection;
use super::slots::Connected;
use super::state::Agent;
use crate::limits;
use crate::net::Socket;
use crate::probe::PROBE_BYTES;
use crate::wire::request::{RequestError, RequestHead, RequestParser};
use crate::wire::response_writer::ResponseBody;

/// Memory of a slot in bytes: a request head and the buffers of a probe.
pub const SLOT_BYTES: usize = limits::REQUEST_HEAD_BYTES + PROBE_BYTES;

/// A connection in its slot.
pub struct Connection<'a> {
    pub agent: &'a Agent,
    /// The slot's number.
    pub slot: usize,
    pub connected: Connected,
    /// The number of the prober that the request selects, once it is known.
    pub prober: Cell<Option<usize>>,
    /// Bytes of the request, if it has waited for its turn: its probe occupies a slot of the prober already.
    pub waited: Option<usize>,
}

/// A complete request.
pub struct Request {
    pub head: RequestHead,
    /// Whether bytes followed the head.
    pub has_surplus: bool,
}

/// A request head and the bytes that it refers to.
#[derive(Clone, Copy)]
pub struct HeadBytes<'b> {
    pub head: &'b RequestHead,
    pub bytes: &'b [u8],
}

/// How a connection is closed.
pub enum Closing {
    /// The client reads the response and then EOF.
    Close,
    /// The same, after reading the client's remaining bytes: closing with unread bytes would reset the
    /// connection and lose the response (RFC 9112 section 9.6).
    Linger,
    /// With a reset, so that the client does not mistake it for a complete response.
    Reset,
    /// Not yet: the request waits for its turn.
    Wait {
        /// Bytes of the request.
        bytes: usize,
    },
}

/// Result of reading a request.
enum ReadResult {
    Complete(Request),
    Invalid(RequestError),
    ClientDisconnected,
}

impl Agent {
    /// Serves the connections of slot number `slot`, one after the other, until the task is dropped. A slot whose probe has
    /// ended continues with a request that waits for the same prober.
    pub async fn run_slot(self: Rc<Self>, slot: usize, memory: &'static mut [u8]) {
        loop {
            let mut connected = self.slots.next_connection(slot).await;
            let mut waited = None;
            loop {
                let connection = Connection {
                    agent: &self,
                    slot,
                    connected,
                    prober: Cell::new(None),
                    waited,
                };
                let closing = connection.serve(memory).await;
                let prober = connection.prober.get();
                match (closing, prober) {
                    (Closing::Reset, _) => connection.connected.socket.reset(),
                    (Closing::Wait { bytes }, Some(prober)) => {
                        self.enqueue(prober, connection.connected, &memory[..bytes]);
                    }
                    (Closing::Close | Closing::Linger | Closing::Wait { .. }, _) => {
                        drop(connection);
                    }
                }
                let next = match prober {
                    Some(prober) if self.queues.borrow()[prober].has_waiters() => {
                        self.start_next(prober, slot, memory)
                    }
                    _ => None,
                };
                let Some(next) = next else { break };
                waited = Some(next.bytes);
                connected = next.connected;
            }
            self.slots.release(slot);
        }
    }
}

impl Connection<'_> {
    /// The connection's socket.
    pub fn socket(&self) -> &Socket {
        &self.connected.socket
    }

    async fn serve(&self, memory: &mut [u8]) -> Closing {
        let (buf, probe_memory) = memory.split_at_mut(limits::REQUEST_HEAD_BYTES);
        let closing = match self.read(buf).await {
            Ok(ReadResult::Complete(request)) => {
                self.handle_request(&request, buf, probe_memory).await
            }
            Ok(ReadResult::Invalid(error)) => self.reject_invalid(error).await,
            Ok(ReadResult::ClientDisconnected) => Closing::Close,
            Err(rejection) => {
                self.agent.log.connection_reset(rejection, self.socket());
                self.agent.metrics.count_rejection(rejection);
                Closing::Reset
            }
        };
        let has_waiters = self.end_probe();
        if let Closing::Linger = closing {
            self.linger(has_waiters).await;
        }
        closing
    }

    /// Releases the slot of the prober, if the connection has one. Returns whether requests wait for it.
    fn end_probe(&self) -> bool {
        let Some(prober) = self.prober.get() else {
            return false;
        };
        let queue = &mut self.agent.queues.borrow_mut()[prober];
        if queue.finish(self.slot, Instant::now()) {
            self.agent.slots.stop_probing(self.slot);
        }
        queue.has_waiters()
    }

    /// Reads until the head is complete or invalid.
    ///
    /// # Errors
    /// The head was not complete in time, or the connection was evicted.
    async fn read(&self, buf: &mut [u8]) -> Result<ReadResult, Rejection> {
        let deadline = self.connected.accepted_at + limits::REQUEST_HEAD_TIMEOUT;
        let reading = pin!(read_head(self.socket(), buf, self.waited.unwrap_or(0)));
        let reading = pin!(self.agent.reactor.timeout_at(deadline, reading));
        match self.agent.slots.unless_evicted(self.slot, reading).await {
            Some(Ok(Ok(result))) => Ok(result),
            Some(Ok(Err(_))) => Ok(ReadResult::ClientDisconnected),
            Some(Err(_)) => Err(Rejection::HeadTimeout),
            None => Err(Rejection::Evicted),
        }
    }

    async fn reject_invalid(&self, error: RequestError) -> Closing {
        let (rejection, status) = match error.is_too_large() {
            true => (Rejection::HeadTooLarge, 431),
            false => (Rejection::Malformed, 400),
        };
        let detail = error.as_str();
        self.agent.log.bad_request(rejection, detail, self.socket());
        self.agent.metrics.count_rejection(rejection);
        self.respond(status, ResponseBody::Empty, Closing::Linger)
            .await
    }

    /// Discards the client's remaining bytes, within limits, so that it reads the response. If other requests wait for this
    /// slot, only the bytes that have arrived.
    async fn linger(&self, has_waiters: bool) {
        self.socket().shutdown();
        let discarding = pin!(discard(self.socket()));
        let deadline = match has_waiters {
            true => Instant::now(),
            false => Instant::now() + limits::LINGER_TIMEOUT,
        };
        let discarding = pin!(self.agent.reactor.timeout_at(deadline, discarding));
        // The connection is closed in any case.
        let _ = self.agent.slots.unless_evicted(self.slot, discarding).await;
    }
}

/// Reads a head of which `len` bytes are in `buf` already: all of it, or none.
async fn read_head(socket: &Socket, buf: &mut [u8], mut len: usize) -> io::Result<ReadResult> {
    let mut parser = RequestParser::new();
    let mut must_read = len == 0;
    loop {
        if must_read {
            match socket.read(&mut buf[len..]).await? {
                0 => return Ok(ReadResult::ClientDisconnected),
                more => len += more,
            }
        }
        must_read = true;
        match parser.parse(&buf[..len]) {
            Ok(None) => {}
            Ok(Some(head)) => {
                let has_surplus = len > head.len();
                return Ok(ReadResult::Complete(Request { head, has_surplus }));
            }
            Err(error) => return Ok(ReadResult::Invalid(error)),
        }
    }
}

async fn discard(socket: &Socket) {
    let mut left = limits::LINGER_BYTES;
    while left > 0 {
        match socket.read_with(<[u8]>::len).await {
            Ok(len @ 1..) => left = left.saturating_sub(len),
            _ => return,
        }
    }
}
