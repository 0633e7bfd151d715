//! `httpGet`: asks the app as kubelet's prober would, and follows the redirects it would follow.

use core::pin::pin;
use std::time::Instant;

use rustix::io;

use super::hop::{Hop, Next};
use super::reply::Reply;
use super::{Dialled, Dialler, Event, Failure, Outcome};
use crate::config::{HttpGet, Protocol, Scheme};
use crate::limits;
use crate::net::{Elapsed, Socket, yield_now};
use crate::wire::request::RequestHead;
use crate::wire::response::{Framing, Location};
use crate::wire::window::Window;

/// What kubelet sent, and what is to be asked of the app.
pub struct HttpProbe<'a> {
    /// The head kubelet sent.
    pub head: &'a RequestHead,
    /// The bytes it stands in.
    pub bytes: &'a [u8],
    /// The prober.
    pub get: &'a HttpGet,
    /// What it dialled.
    pub dialled: Dialled<'a>,
}

/// Memory for redirects: what one request leaves behind for the next.
pub struct RedirectSpace<'a> {
    /// The request-target of this request.
    pub target: &'a mut [u8],
    /// The request-target of the next.
    pub next_target: &'a mut [u8],
    /// The URL of the request before.
    pub referer: &'a mut [u8],
    /// Name and password of this request's URL.
    pub credentials: &'a mut [u8],
}

/// Bytes that [`Dialler::probe_http`] needs for a `Location` and what follows from it. It is memory only
/// once it is used; a slot stays a multiple of every page size.
pub const REDIRECT_BYTES: usize = 6 * limits::LOCATION_BYTES;

impl<'a> RedirectSpace<'a> {
    /// Parts what a slot has: a place for the `Location` as it comes, and the rest.
    fn of(bytes: &'a mut [u8]) -> (&'a mut [u8], RedirectSpace<'a>) {
        let (referer, bytes) = bytes.split_at_mut(2 * limits::LOCATION_BYTES);
        let mut parts = bytes.chunks_mut(limits::LOCATION_BYTES);
        let mut part = || parts.next().unwrap_or_default();
        let location = part();
        let space = RedirectSpace {
            target: part(),
            next_target: part(),
            referer,
            credentials: part(),
        };
        (location, space)
    }
}

impl Dialler {
    /// Probes until the app has answered or `deadline` has come; a hook has none. `space` is
    /// [`REDIRECT_BYTES`] long.
    pub async fn probe_http(
        &self,
        probe: &HttpProbe<'_>,
        deadline: Option<Instant>,
        space: &mut [u8],
    ) -> Outcome {
        if probe.get.scheme == Scheme::Https || probe.get.protocol == Protocol::Http2 {
            return Outcome::Failed(Failure::NotBuilt);
        }
        let (location, space) = RedirectSpace::of(space);
        let mut hop = Hop::first(probe, self.target, space);
        for _ in 0..limits::REDIRECT_REQUESTS {
            let mut reply = Reply::new(location);
            if let Some(outcome) = self.request(&mut hop, &mut reply, deadline).await {
                return outcome;
            }
        }
        Outcome::Failed(Failure::RedirectLoop)
    }

    /// One request and its answer; without an outcome, `hop` has gone on to the next request.
    async fn request(
        &self,
        hop: &mut Hop<'_>,
        reply: &mut Reply<'_>,
        deadline: Option<Instant>,
    ) -> Option<Outcome> {
        let asked = self.until(deadline, pin!(self.ask(hop, reply))).await;
        let socket = match asked {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Some(reply.fail(error.into())),
            Err(Elapsed) => return Some(reply.fail(Failure::Deadline)),
        };
        let next = match reply.head() {
            Some(head) => hop.after(head, reply.location(), &self.own_ports),
            None => Next::Stay,
        };
        let enough = match next {
            Next::Stay => limits::RESPONSE_BODY_BYTES,
            Next::Follow(..) => slurp(reply),
            Next::Fail(failure) => return Some(Outcome::Failed(failure)),
        };
        let rest = self
            .until(deadline, pin!(read_body(&socket, reply, enough)))
            .await;
        match next {
            Next::Follow(redirect) => match rest {
                // A body that breaks does not keep Go from following, one that stalls does.
                Ok(_) => {
                    self.tell(|| redirected(reply));
                    hop.advance(redirect);
                    None
                }
                Err(Elapsed) => Some(Outcome::Failed(Failure::Deadline)),
            },
            _ => Some(match rest {
                Ok(Ok(())) => reply.fail(Failure::ClosedEarly),
                Ok(Err(error)) => reply.fail(error.into()),
                Err(Elapsed) => reply.fail(Failure::Deadline),
            }),
        }
    }

    /// Sends the request and reads until the head of the answer is complete, or can no longer be.
    async fn ask(&self, hop: &Hop<'_>, reply: &mut Reply<'_>) -> io::Result<Socket> {
        let socket = self.dial(hop.port).await?;
        self.connected(&socket).await?;
        self.tell(|| Event::Sending(hop.request()));
        socket
            .write_with(|buf, sent| {
                let mut window = Window::new(buf, sent);
                hop.request().write(&mut window);
                window.filled().len()
            })
            .await?;
        while reply.head().is_none() && reply.outcome().is_none() {
            socket.read_with(|bytes| reply.take(bytes)).await?;
            self.tell(|| Event::Came);
            // An app that sends faster than we read must not hold the thread.
            if reply.head().is_none() {
                yield_now().await;
            }
        }
        Ok(socket)
    }
}

/// Reads the body until it ended, broke, or `enough` of it came.
async fn read_body(socket: &Socket, reply: &mut Reply<'_>, enough: u64) -> io::Result<()> {
    while reply.outcome().is_none() && reply.body_bytes() < enough {
        socket.read_with(|bytes| reply.take(bytes)).await?;
    }
    Ok(())
}

fn redirected<'r>(reply: &'r Reply<'_>) -> Event<'r> {
    let (status, len) = match reply.head() {
        Some(head) => match head.location {
            Location::Kept(len) => (head.status, len),
            _ => (head.status, 0),
        },
        None => (0, 0),
    };
    let location = &reply.location()[..len];
    Event::Redirected { status, location }
}

/// What Go's client reads of a redirect's body before it follows: a little of a short one or of one
/// whose length it does not know (`net/http/client.go`: `maxBodySlurpSize`).
fn slurp(reply: &Reply<'_>) -> u64 {
    match reply.head().map(|head| head.framing) {
        Some(Framing::Length(length)) if length > limits::REDIRECT_BODY_BYTES => 0,
        _ => limits::REDIRECT_BODY_BYTES,
    }
}
