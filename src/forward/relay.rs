//! Two pumps, one a direction. Bytes go straight from the shared buffer to the other side; only what
//! the other side does not take is kept, and nothing more is read until it has gone.

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

/// Reads in a row before the other tasks have their turn.
const BURST: usize = 16;

/// Passes bytes both ways until both sides have ended, one breaks, or nothing moves for too long. A
/// side that broke resets the other, so that neither takes a cut for an end.
pub async fn relay(reactor: &Reactor, client: Socket, app: Socket) {
    let idle = IdleTimer::new();
    let ended = {
        let up = pump(reactor, &client, &app, &idle);
        let down = pump(reactor, &app, &client, &idle);
        let mut both = pin!(try_zip(up, down));
        loop {
            let (timeout, deadline) = (idle.timeout.get(), idle.deadline());
            let step = poll_fn(|cx| match both.as_mut().poll(cx) {
                // One side has just ended, so the deadline is another.
                Poll::Pending if idle.timeout.get() != timeout => Poll::Ready(None),
                poll => poll.map(Some),
            });
            match reactor.before(deadline, pin!(step)).await {
                Ok(Some(result)) => break result.is_ok(),
                Ok(None) => {}
                Err(_) if idle.deadline() > deadline => {}
                Err(_) => break false,
            }
        }
    };
    if !ended {
        client.reset();
        app.reset();
    }
}

/// When the last byte moved, and the timeout until the next.
struct IdleTimer {
    moved: Cell<Instant>,
    timeout: Cell<Duration>,
}

impl IdleTimer {
    fn new() -> IdleTimer {
        IdleTimer {
            moved: Cell::new(Instant::now()),
            timeout: Cell::new(limits::FORWARD_IDLE_TIME),
        }
    }

    fn moved(&self) {
        self.moved.set(Instant::now());
    }

    fn side_ended(&self) {
        self.moved();
        self.timeout.set(limits::FORWARD_HALF_CLOSED_TIME);
    }

    fn deadline(&self) -> Instant {
        self.moved.get() + self.timeout.get()
    }
}

/// What one read came to.
enum Step {
    /// All of it was passed on.
    Passed,
    /// The other side took less: this is the rest.
    Stuck(Box<[u8]>),
    /// The end.
    End,
}

async fn pump(reactor: &Reactor, from: &Socket, to: &Socket, idle: &IdleTimer) -> io::Result<()> {
    for burst in 1_usize.. {
        let step = poll_fn(|cx| {
            reactor.with_scratch(|buf| {
                let len = ready!(from.poll_read(cx, buf))?;
                if len == 0 {
                    return Poll::Ready(Ok(Step::End));
                }
                let sent = match to.poll_write(cx, &buf[..len]) {
                    Poll::Ready(sent) => sent?,
                    Poll::Pending => 0,
                };
                Poll::Ready(io::Result::Ok(match &buf[sent..len] {
                    [] => Step::Passed,
                    rest => Step::Stuck(rest.into()),
                }))
            })
        });
        match step.await? {
            Step::Passed => idle.moved(),
            Step::Stuck(rest) => push(&rest, from, to, idle).await?,
            Step::End => break,
        }
        if burst.is_multiple_of(BURST) {
            yield_now().await;
        }
    }
    // The other direction goes on: a half-close is the peer's to make (RFC 9293 section 3.6).
    to.shutdown();
    idle.side_ended();
    Ok(())
}

/// Writes the rest piece by piece, as a slow reader takes it. Nothing is read meanwhile, so it has to
/// look by itself whether the side that the bytes came from is still there.
async fn push(mut rest: &[u8], from: &Socket, to: &Socket, idle: &IdleTimer) -> io::Result<()> {
    loop {
        idle.moved();
        let sent = poll_fn(|cx| match to.poll_write(cx, rest) {
            Poll::Pending => from.poll_broken(cx).map(Err),
            sent => sent,
        });
        rest = &rest[sent.await?..];
        if rest.is_empty() {
            idle.moved();
            return Ok(());
        }
    }
}
