//! Relays bytes in both directions. They are read into the shared buffer and written to the other side; only bytes that
//! it does not accept are stored, and nothing more is read until they are written.

use core::cell::Cell;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Poll, ready};

use rustix::io;
use smol::future::{Future, try_zip};

use super::connections::{ConnectionEntry, Sender};
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
    let blocked = Cell::new(0);
    let up = copy(reactor, client, app, Sender::Client, entry, &blocked);
    let down = copy(reactor, app, client, Sender::App, entry, &blocked);
    let expired = || PlainRelayEnd::Expired {
        is_flushed: blocked.get() == 0,
    };
    let mut both = pin!(try_zip(up, down));
    loop {
        let (was_half_closed, deadline) = (entry.is_half_closed(), entry.idle_deadline());
        let step = poll_fn(|cx| match both.as_mut().poll(cx) {
            // One side has sent EOF: wait again, with the shorter timeout.
            Poll::Pending if entry.is_closing() || entry.is_half_closed() != was_half_closed => {
                Poll::Ready(None)
            }
            poll => poll.map(Some),
        });
        match reactor.timeout_at(deadline, pin!(step)).await {
            Ok(Some(Ok(_))) => return PlainRelayEnd::Complete,
            Ok(Some(Err(_))) => return PlainRelayEnd::Broken,
            Ok(None) if entry.is_closing() => return expired(),
            Ok(None) => {}
            Err(_) if entry.idle_deadline() > deadline => {}
            Err(_) => return expired(),
        }
    }
}

/// Result of one read.
enum Copied {
    /// All of it was written.
    All,
    /// The other side accepted less: the rest.
    Partly(Box<[u8]>),
    /// The sender has sent EOF.
    Eof,
}

/// `blocked` counts the directions with bytes that the other side does not accept.
async fn copy(
    reactor: &Reactor,
    from: &Socket,
    to: &Socket,
    sender: Sender,
    entry: &ConnectionEntry,
    blocked: &Cell<usize>,
) -> io::Result<()> {
    for reads in 1_usize.. {
        let copied = poll_fn(|cx| {
            reactor.with_scratch(|buf| {
                let len = ready!(from.poll_read(cx, buf))?;
                if len == 0 {
                    return Poll::Ready(Ok(Copied::Eof));
                }
                let written = match to.poll_write(cx, &buf[..len]) {
                    Poll::Ready(written) => written?,
                    Poll::Pending => 0,
                };
                Poll::Ready(io::Result::Ok(match &buf[written..len] {
                    [] => Copied::All,
                    rest => Copied::Partly(rest.into()),
                }))
            })
        });
        match copied.await? {
            Copied::All => entry.record_bytes(sender),
            Copied::Partly(rest) => {
                blocked.update(|count| count + 1);
                write_rest(&rest, from, to, sender, entry).await?;
                blocked.update(|count| count - 1);
            }
            Copied::Eof => break,
        }
        if reads.is_multiple_of(BURST) {
            reactor.yield_low_priority().await;
        }
    }
    // The other direction stays open until its own sender ends it (RFC 9293 section 3.6).
    to.shutdown();
    entry.record_eof();
    Ok(())
}

/// Writes the rest as fast as the reader accepts it. Nothing is read meanwhile, so an error of the
/// sender has to be polled for.
async fn write_rest(
    mut rest: &[u8],
    from: &Socket,
    to: &Socket,
    sender: Sender,
    entry: &ConnectionEntry,
) -> io::Result<()> {
    loop {
        entry.record_bytes(sender);
        let written = poll_fn(|cx| match to.poll_write(cx, rest) {
            Poll::Pending => from.poll_broken(cx).map(Err),
            written => written,
        });
        rest = &rest[written.await?..];
        if rest.is_empty() {
            entry.record_bytes(sender);
            return Ok(());
        }
    }
}
