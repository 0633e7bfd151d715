//! Relays bytes in both directions. They are read into the shared buffer and written to the other side; only bytes that
//! it does not accept are stored, and nothing more is read until they are written.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::time::Instant;

use rustix::io::{self, Errno};
use smol::future::{Future, try_zip};

use super::connections::{ConnectionEntry, Sender};
use crate::limits;
use crate::net::{Reactor, Socket};

/// Consecutive reads before the task waits for its turn: the bytes of a probe are passed on at once, bulk data at low
/// priority.
const BURST: usize = 4;

/// How a relay ended. Unless it is complete, a reset of both sides shows them that it is not EOF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainRelayEnd {
    /// Both sides have sent EOF.
    Complete,
    /// It has to end: it was idle for too long, or the agent stops.
    Expired {
        /// All bytes that were received were passed on.
        is_flushed: bool,
    },
    /// One side broke.
    Broken,
}

/// Relays until both sides have sent EOF, or one of them breaks, or the connection has to end.
pub async fn relay(
    reactor: &Reactor,
    client: &Socket,
    app: &Socket,
    entry: &ConnectionEntry,
) -> PlainRelayEnd {
    let mut up = Direction::new(reactor, [client, app], Sender::Client, entry);
    let mut down = Direction::new(reactor, [app, client], Sender::App, entry);
    let failure = {
        let mut both = pin!(try_zip(up.copy(), down.copy()));
        loop {
            let (was_half_closed, deadline) = (entry.is_half_closed(), entry.idle_deadline());
            let step = poll_fn(|cx| match both.as_mut().poll(cx) {
                // One side has sent EOF: wait again, with the shorter timeout.
                Poll::Pending
                    if entry.is_closing() || entry.is_half_closed() != was_half_closed =>
                {
                    Poll::Ready(None)
                }
                poll => poll.map(Some),
            });
            match reactor.timeout_at(deadline, pin!(step)).await {
                Ok(Some(Ok(_))) => return PlainRelayEnd::Complete,
                Ok(Some(Err(failure))) => break Some(failure),
                Ok(None) if entry.is_closing() => break None,
                Ok(None) => {}
                Err(_) if entry.idle_deadline() > deadline => {}
                Err(_) => break None,
            }
        }
    };
    let Some(RelayFailure { side, broken }) = failure else {
        return PlainRelayEnd::Expired {
            is_flushed: up.rest.is_empty() && down.rest.is_empty(),
        };
    };
    // The app may have answered before it read all, and closed.
    match side == Sender::App && down.deliver_last(broken).await {
        true => PlainRelayEnd::Complete,
        false => PlainRelayEnd::Broken,
    }
}

/// One direction.
struct Direction<'a> {
    reactor: &'a Reactor,
    from: &'a Socket,
    to: &'a Socket,
    sender: Sender,
    entry: &'a ConnectionEntry,
    /// Bytes that were read, and not accepted yet.
    rest: Vec<u8>,
    /// The sender has sent bytes.
    has_moved: bool,
    /// The sender has sent EOF, and the reader has our FIN.
    is_done: bool,
}

/// A side whose connection has broken.
struct RelayFailure {
    side: Sender,
    broken: BrokenBy,
}

/// How a connection has broken. The kernel reports that only once, to a read or a write; later reads return the bytes
/// that were received before, and then 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokenBy {
    /// A reset without a FIN before it.
    Reset,
    /// A reset, perhaps after a FIN. Reads have not reported it yet: 0 is EOF.
    Unknown,
}

impl BrokenBy {
    /// Linux returns EPIPE if a FIN came before the reset (`tcp_reset`).
    pub(super) fn write_error(error: Errno) -> BrokenBy {
        match error {
            Errno::PIPE => BrokenBy::Unknown,
            _ => BrokenBy::Reset,
        }
    }
}

/// Result of one read.
enum Copied {
    /// All of it was written.
    All,
    /// The other side accepted less: the rest.
    Partly(Vec<u8>),
    /// The sender has sent EOF.
    Eof,
    /// The other side accepts no more.
    Failed(Errno),
}

impl<'a> Direction<'a> {
    fn new(
        reactor: &'a Reactor,
        [from, to]: [&'a Socket; 2],
        sender: Sender,
        entry: &'a ConnectionEntry,
    ) -> Direction<'a> {
        Direction {
            reactor,
            from,
            to,
            sender,
            entry,
            rest: Vec::new(),
            has_moved: false,
            is_done: false,
        }
    }

    async fn copy(&mut self) -> Result<(), RelayFailure> {
        for reads in 1_usize.. {
            let copied = poll_fn(|cx| self.poll_copy(cx)).await;
            match copied.map_err(|_| self.sender_failed(BrokenBy::Reset))? {
                Copied::All => self.record_bytes(),
                Copied::Partly(rest) => {
                    self.rest = rest;
                    self.record_bytes();
                    self.write_rest().await?;
                }
                Copied::Eof => break,
                Copied::Failed(error) => return Err(self.reader_failed(error)),
            }
            if reads.is_multiple_of(BURST) {
                self.reactor.yield_low_priority().await;
            }
        }
        // The other direction stays open until its own sender ends it (RFC 9293 section 3.6).
        self.to.shutdown();
        self.is_done = true;
        self.entry.record_eof();
        Ok(())
    }

    fn poll_copy(&self, cx: &Context<'_>) -> Poll<io::Result<Copied>> {
        self.reactor.with_scratch(|buf| {
            let len = ready!(self.from.poll_read(cx, buf))?;
            if len == 0 {
                return Poll::Ready(Ok(Copied::Eof));
            }
            let written = match self.to.poll_write(cx, &buf[..len]) {
                Poll::Ready(Err(error)) => return Poll::Ready(Ok(Copied::Failed(error))),
                Poll::Ready(Ok(written)) => written,
                Poll::Pending => 0,
            };
            Poll::Ready(Ok(match &buf[written..len] {
                [] => Copied::All,
                rest => Copied::Partly(rest.into()),
            }))
        })
    }

    /// Writes the rest as fast as the reader accepts it. Nothing is read meanwhile, so an error of the
    /// sender has to be polled for.
    async fn write_rest(&mut self) -> Result<(), RelayFailure> {
        while !self.rest.is_empty() {
            let written = poll_fn(|cx| match self.to.poll_write(cx, &self.rest) {
                Poll::Pending => self.from.poll_broken(cx).map(|_| None),
                written => written.map(Some),
            });
            match written.await {
                Some(Ok(written)) => drop(self.rest.drain(..written)),
                Some(Err(error)) => return Err(self.reader_failed(error)),
                None => return Err(self.sender_failed(BrokenBy::Unknown)),
            }
            self.record_bytes();
        }
        self.rest = Vec::new();
        Ok(())
    }

    fn record_bytes(&mut self) {
        self.has_moved = true;
        self.entry.record_bytes(self.sender);
    }

    fn sender_failed(&self, broken: BrokenBy) -> RelayFailure {
        RelayFailure {
            side: self.sender,
            broken,
        }
    }

    fn reader_failed(&self, error: Errno) -> RelayFailure {
        RelayFailure {
            side: match self.sender {
                Sender::Client => Sender::App,
                Sender::App => Sender::Client,
            },
            broken: BrokenBy::write_error(error),
        }
    }

    /// Passes on the bytes that the sender sent before its connection broke. Meanwhile, and for a short time after them, the
    /// reader's bytes are discarded: a reset at once could overtake the last ones. Returns whether the sender had sent EOF.
    async fn deliver_last(&mut self, broken: BrokenBy) -> bool {
        let (reactor, entry, to) = (self.reactor, self.entry, self.to);
        let mut discarded = 0;
        let delivering = pin!(poll_fn(|cx| {
            let delivered = self.poll_deliver(cx, broken);
            while delivered.is_pending() && discarded < limits::LINGER_BYTES {
                match reactor.with_scratch(|buf| to.poll_read(cx, buf)) {
                    Poll::Ready(Ok(len @ 1..)) => discarded += len,
                    _ => break,
                }
            }
            delivered
        }));
        let Some(Some(is_done)) = unless_stuck(reactor, entry, delivering).await else {
            return false;
        };
        if is_done {
            to.shutdown();
        } else if !self.has_moved {
            return false;
        }
        let discarding = pin!(async {
            while discarded < limits::LINGER_BYTES {
                match to.read_with(<[u8]>::len).await {
                    Ok(len @ 1..) => discarded += len,
                    Ok(0) | Err(_) => return,
                }
            }
        });
        let deadline = Instant::now() + limits::LINGER_TIMEOUT;
        let _ = reactor.timeout_at(deadline, discarding).await;
        is_done
    }

    /// Ready once all is written, with whether the sender had sent EOF; `None` if the reader's connection has broken.
    fn poll_deliver(&mut self, cx: &Context<'_>, broken: BrokenBy) -> Poll<Option<bool>> {
        loop {
            while !self.rest.is_empty() {
                match ready!(self.to.poll_write(cx, &self.rest)) {
                    Ok(written) => drop(self.rest.drain(..written)),
                    Err(_) => return Poll::Ready(None),
                }
                self.record_bytes();
            }
            if self.is_done {
                return Poll::Ready(Some(true));
            }
            match self.poll_copy(cx) {
                Poll::Ready(Ok(Copied::All)) => self.record_bytes(),
                Poll::Ready(Ok(Copied::Partly(rest))) => self.rest = rest,
                Poll::Ready(Ok(Copied::Eof)) => {
                    return Poll::Ready(Some(broken == BrokenBy::Unknown));
                }
                Poll::Ready(Ok(Copied::Failed(_))) => return Poll::Ready(None),
                Poll::Ready(Err(_)) | Poll::Pending => return Poll::Ready(Some(false)),
            }
        }
    }
}

/// Waits for a future that records the bytes that it moves. `None` if it has moved none for the time in which a client has
/// to receive a response.
pub(super) async fn unless_stuck<T>(
    reactor: &Reactor,
    entry: &ConnectionEntry,
    mut moving: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let mut since = Instant::now();
    loop {
        let deadline = since + limits::RESPONSE_WRITE_TIMEOUT;
        match reactor.timeout_at(deadline, moving.as_mut()).await {
            Ok(value) => return Some(value),
            Err(_) if entry.last_active() > since => since = entry.last_active(),
            Err(_) => return None,
        }
    }
}
