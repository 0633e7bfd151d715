//! Two pumps, one a direction. Bytes go straight from the shared buffer to the other side; only what
//! the other side does not take is kept, and nothing more is read until it has gone.

use core::cell::Cell;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Poll, ready};
use std::time::Instant;

use rustix::io;
use smol::future::try_zip;

use crate::limits;
use crate::net::{Reactor, Socket, yield_now};

/// Reads in a row before the other tasks have their turn.
const BURST: usize = 16;

/// Passes bytes both ways until both sides have ended, one breaks, or nothing moves for too long. A
/// side that broke resets the other, so that neither takes a cut for an end.
pub async fn relay(reactor: &Reactor, client: Socket, app: Socket) {
    let moved = Cell::new(Instant::now());
    let ended = {
        let up = pump(reactor, &client, &app, &moved);
        let down = pump(reactor, &app, &client, &moved);
        let mut both = pin!(try_zip(up, down));
        loop {
            let idle_until = moved.get() + limits::FORWARD_IDLE_TIME;
            match reactor.before(idle_until, both.as_mut()).await {
                Ok(result) => break result.is_ok(),
                Err(_) if moved.get() + limits::FORWARD_IDLE_TIME > idle_until => {}
                Err(_) => break false,
            }
        }
    };
    if !ended {
        client.reset();
        app.reset();
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

async fn pump(
    reactor: &Reactor,
    from: &Socket,
    to: &Socket,
    moved: &Cell<Instant>,
) -> io::Result<()> {
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
            Step::Passed => {}
            Step::Stuck(rest) => to.write_all(&rest).await?,
            Step::End => break,
        }
        moved.set(Instant::now());
        if burst.is_multiple_of(BURST) {
            yield_now().await;
        }
    }
    // The other direction goes on: a half-close is the peer's to make (RFC 9293 section 3.6).
    to.shutdown();
    Ok(())
}
