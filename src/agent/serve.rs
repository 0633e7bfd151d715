//! One connection of the status port: read the request, have it answered, close as it should be.

use core::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use rustix::io;

use super::Agent;
use super::metrics::Rejection;
use super::slots::Accepted;
use crate::limits;
use crate::net::Socket;
use crate::probe::PROBE_BYTES;
use crate::wire::answer::AnswerBody;
use crate::wire::request::{RequestError, RequestHead, RequestParser};

/// Memory of a slot: a request head, and what a probe needs.
pub const SLOT_BYTES: usize = limits::REQUEST_HEAD_BYTES + PROBE_BYTES;

/// A connection in its slot.
pub struct Connection<'a> {
    pub agent: &'a Agent,
    /// The slot's number.
    pub slot: usize,
    pub socket: Socket,
    /// When it was accepted.
    pub at: Instant,
}

/// A request that is complete, and whether something came behind it.
pub struct Request {
    pub head: RequestHead,
    pub surplus: bool,
}

/// How a connection is to end.
pub enum End {
    /// The client may take what was written and then reads the end.
    Close,
    /// The same, but more may come in, and a close on unread bytes would reset the connection and
    /// lose the answer (RFC 9112 section 9.6).
    Linger,
    /// No answer, and no orderly end that could be taken for one.
    Reset,
}

/// What came of reading a request.
enum Read {
    Complete(Request),
    Wrong(RequestError),
    /// The client went away.
    Gone,
}

impl Agent {
    /// Serves the connections that come to slot number `slot`, for good.
    pub async fn serve(self: Rc<Self>, slot: usize, memory: &'static mut [u8]) {
        loop {
            let Accepted { socket, at } = self.slots.next(slot).await;
            let connection = Connection {
                agent: &self,
                slot,
                socket,
                at,
            };
            if let End::Reset = connection.serve(memory).await {
                connection.socket.reset();
            }
            self.slots.free(slot);
        }
    }
}

impl Connection<'_> {
    async fn serve(&self, memory: &mut [u8]) -> End {
        let (buf, space) = memory.split_at_mut(limits::REQUEST_HEAD_BYTES);
        let end = match self.read(buf).await {
            Ok(Read::Complete(request)) => self.answer(&request, buf, space).await,
            Ok(Read::Wrong(error)) => self.refuse(error).await,
            Ok(Read::Gone) => End::Close,
            Err(rejection) => {
                self.agent.note_unread(rejection);
                self.reject(rejection, End::Reset)
            }
        };
        if let End::Linger = end {
            self.linger().await;
        }
        end
    }

    /// Reads until the head is complete or wrong, unless it takes too long or another connection
    /// needs the place: then there is nobody to answer.
    async fn read(&self, buf: &mut [u8]) -> Result<Read, Rejection> {
        let deadline = self.at + limits::REQUEST_HEAD_TIME;
        let reading = pin!(read_head(&self.socket, buf));
        let reading = pin!(self.agent.reactor.before(deadline, reading));
        match self.agent.slots.unless_evicted(self.slot, reading).await {
            Some(Ok(Ok(read))) => Ok(read),
            Some(Ok(Err(_))) => Ok(Read::Gone),
            Some(Err(_)) => Err(Rejection::HeadTimeout),
            None => Err(Rejection::Evicted),
        }
    }

    async fn refuse(&self, error: RequestError) -> End {
        let (rejection, status) = if error.is_too_large() {
            (Rejection::HeadTooLarge, 431)
        } else {
            (Rejection::Malformed, 400)
        };
        self.agent.note_bad_request(rejection, error.as_str());
        let end = self.reject(rejection, End::Linger);
        self.say(status, AnswerBody::Empty, end).await
    }

    /// Reads what the client still sends, within bounds, so that it gets to read the answer.
    async fn linger(&self) {
        self.socket.shutdown();
        let drain = pin!(drain(&self.socket));
        let deadline = Instant::now() + limits::LINGER_TIME;
        let drain = pin!(self.agent.reactor.before(deadline, drain));
        // However it ends, it has ended.
        let _ = self.agent.slots.unless_evicted(self.slot, drain).await;
    }

    /// Counts a request that is not probed for.
    pub fn reject<T>(&self, rejection: Rejection, then: T) -> T {
        self.agent.metrics.count_rejection(rejection);
        then
    }
}

async fn read_head(socket: &Socket, buf: &mut [u8]) -> io::Result<Read> {
    let mut parser = RequestParser::new();
    let mut len = 0;
    loop {
        match socket.read(&mut buf[len..]).await? {
            0 => return Ok(Read::Gone),
            more => len += more,
        }
        match parser.parse(&buf[..len]) {
            Ok(None) => {}
            Ok(Some(head)) => {
                let surplus = len > head.len();
                return Ok(Read::Complete(Request { head, surplus }));
            }
            Err(error) => return Ok(Read::Wrong(error)),
        }
    }
}

async fn drain(socket: &Socket) {
    let mut left = limits::LINGER_BYTES;
    while left > 0 {
        match socket.read_with(<[u8]>::len).await {
            Ok(len @ 1..) => left = left.saturating_sub(len),
            _ => return,
        }
    }
}
