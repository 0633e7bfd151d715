//! Relays bytes in both directions. They are read into the shared buffer and written to the other side; only bytes that
//! it does not accept are stored, and nothing more is read until they are written.

use core::cell::Cell;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Poll, ready};
use core::time::Duration;
use std::time::Instant;

use rustix::io;
use smol::future::{Future, try_zip};

use crate::limits;
use crate::net::{Reactor, Socket, yield_now};

/// Consecutive reads before the task yields to the others.
const BURST: usize = 16;

/// Relays until both sides have sent EOF. On an I/O error or the idle timeout it resets both sides, so that neither
/// mistakes that for EOF.
pub async fn relay(reactor: &Reactor, client: Socket, app: Socket) {
    let timer = IdleTimer::new();
    let is_complete = {
        let up = copy(reactor, &client, &app, &timer);
        let down = copy(reactor, &app, &client, &timer);
        let mut both = pin!(try_zip(up, down));
        loop {
            let (timeout, deadline) = (timer.timeout.get(), timer.deadline());
            let step = poll_fn(|cx| match both.as_mut().poll(cx) {
                // One side has sent EOF: wait again, with the shorter timeout.
                Poll::Pending if timer.timeout.get() != timeout => Poll::Ready(None),
                poll => poll.map(Some),
            });
            match reactor.timeout_at(deadline, pin!(step)).await {
                Ok(Some(result)) => break result.is_ok(),
                Ok(None) => {}
                Err(_) if timer.deadline() > deadline => {}
                Err(_) => break false,
            }
        }
    };
    if !is_complete {
        client.reset();
        app.reset();
    }
}

/// The time of the last byte in either direction, and how long the relay may be idle after it.
struct IdleTimer {
    last_byte: Cell<Instant>,
    timeout: Cell<Duration>,
}

impl IdleTimer {
    fn new() -> IdleTimer {
        IdleTimer {
            last_byte: Cell::new(Instant::now()),
            timeout: Cell::new(limits::FORWARD_IDLE_TIMEOUT),
        }
    }

    fn restart(&self) {
        self.last_byte.set(Instant::now());
    }

    /// Restarts with the shorter timeout of a half-closed connection.
    fn restart_half_closed(&self) {
        self.restart();
        self.timeout.set(limits::FORWARD_HALF_CLOSED_TIMEOUT);
    }

    fn deadline(&self) -> Instant {
        self.last_byte.get() + self.timeout.get()
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

async fn copy(reactor: &Reactor, from: &Socket, to: &Socket, timer: &IdleTimer) -> io::Result<()> {
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
            Copied::All => timer.restart(),
            Copied::Partly(rest) => write_rest(&rest, from, to, timer).await?,
            Copied::Eof => break,
        }
        if reads.is_multiple_of(BURST) {
            yield_now().await;
        }
    }
    // The other direction stays open until its own sender ends it (RFC 9293 section 3.6).
    to.shutdown();
    timer.restart_half_closed();
    Ok(())
}

/// Writes the rest as fast as the reader accepts it. Nothing is read meanwhile, so an error of the
/// sender has to be polled for.
async fn write_rest(
    mut rest: &[u8],
    from: &Socket,
    to: &Socket,
    timer: &IdleTimer,
) -> io::Result<()> {
    loop {
        timer.restart();
        let written = poll_fn(|cx| match to.poll_write(cx, rest) {
            Poll::Pending => from.poll_broken(cx).map(Err),
            written => written,
        });
        rest = &rest[written.await?..];
        if rest.is_empty() {
            timer.restart();
            return Ok(());
        }
    }
}
