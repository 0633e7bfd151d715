//! `httpGet`: asks the app as kubelet's prober would, and follows the redirects it would follow.

use core::pin::pin;
use std::time::Instant;

use super::hop::{Hop, Next};
use super::reply::Reply;
use super::{Dialled, Dialler, Event, Failure, Outcome};
use crate::config::HttpGet;
use crate::limits;
use crate::net::{Elapsed, Stream, StreamError, yield_now};
use crate::wire::h2;
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
    /// A lifecycle hook: kubelet has another client for these.
    pub is_hook: bool,
    /// When the answer is due; a hook has all the time it takes.
    pub deadline: Option<Instant>,
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

/// Bytes that a probe needs: for HTTP/2, and for a `Location` and what follows from it. They are memory
/// only once they are used; a slot stays a multiple of every page size.
pub const PROBE_BYTES: usize = HTTP2_BYTES + 6 * limits::LOCATION_BYTES;

/// What an exchange by HTTP/2 needs, and up to the next such multiple.
const HTTP2_BYTES: usize = 64 * 1024;
const _: () = assert!(h2::H2_BYTES <= HTTP2_BYTES);

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
    /// Probes until the app has answered or the deadline has come. `space` is [`PROBE_BYTES`] long.
    pub async fn probe_http(&self, probe: &HttpProbe<'_>, space: &mut [u8]) -> Outcome {
        let (exchange, space) = space.split_at_mut(HTTP2_BYTES);
        let (location, space) = RedirectSpace::of(space);
        let mut hop = Hop::first(probe, self.target, space);
        loop {
            let mut reply = Reply::new(location, exchange);
            match self.request(&mut hop, &mut reply).await {
                None if hop.is_last() => return Outcome::Failed(Failure::RedirectLoop),
                None => {}
                Some(_) if reply.is_retried() && hop.retry() => {}
                Some(Outcome::Failed(Failure::PlainHttp)) if hop.fall_back(self.target) => {}
                Some(outcome) => return outcome,
            }
        }
    }

    /// One request and its answer; without an outcome, `hop` has gone on to the next request.
    async fn request(&self, hop: &mut Hop<'_>, reply: &mut Reply<'_>) -> Option<Outcome> {
        let asked = self.until(hop.deadline(), pin!(self.ask(hop, reply))).await;
        let mut stream = match asked {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Some(reply.fail(error.into())),
            Err(Elapsed) => return Some(reply.fail(Failure::Deadline)),
        };
        let next = match reply.head() {
            Some(head) => hop.after(&head, reply.location(), &self.own_ports),
            None => Next::Stay,
        };
        let enough = match next {
            Next::Stay => limits::RESPONSE_BODY_BYTES,
            Next::Follow(..) => slurp(reply),
            Next::Fail(failure) => return Some(Outcome::Failed(failure)),
        };
        let rest = self
            .until(hop.deadline(), pin!(read_body(&mut stream, reply, enough)))
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
    async fn ask(&self, hop: &Hop<'_>, reply: &mut Reply<'_>) -> Result<Stream, StreamError> {
        let socket = self.dial(hop.port).await?;
        let mut stream = self.open(socket, (hop.scheme, hop.port), hop.tls()).await?;
        let is_http2 = stream.chose_http2() || hop.is_cleartext_http2();
        reply.expect(hop.scheme, is_http2);
        self.tell(|| Event::Sending(hop.request()));
        let fill = |buf: &mut [u8], sent| {
            let mut window = Window::new(buf, sent);
            let request = hop.request();
            if is_http2 {
                h2::write_opening(&mut window);
                let scheme = hop.scheme.as_str().as_bytes();
                h2::write_headers(&mut window, true, &request.over_h2(scheme));
            } else {
                request.write(&mut window);
            }
            window.filled().len()
        };
        // Lent, as a closure that is moved is kept once in each future it goes through.
        stream.write_with(&fill).await?;
        while reply.head().is_none() && reply.outcome().is_none() {
            read(&mut stream, reply).await?;
            if reply.outcome() != Some(Outcome::Failed(Failure::ClosedEarly)) {
                self.tell(|| Event::Came);
            }
            // An app that sends faster than we read must not hold the thread.
            if reply.head().is_none() {
                yield_now().await;
            }
        }
        Ok(stream)
    }
}

/// Reads the body until it ended, broke, or `enough` of it came.
async fn read_body(
    stream: &mut Stream,
    reply: &mut Reply<'_>,
    enough: u64,
) -> Result<(), StreamError> {
    let goes_on = |reply: &Reply<'_>| reply.outcome().is_none() && reply.body_bytes() < enough;
    while goes_on(reply) {
        read(stream, reply).await?;
        // An app that sends faster than we read must not hold the thread.
        if goes_on(reply) {
            yield_now().await;
        }
    }
    Ok(())
}

/// Reads once, and answers what asks for it.
async fn read(stream: &mut Stream, reply: &mut Reply<'_>) -> Result<(), StreamError> {
    stream.read_with(|bytes| reply.take(bytes)).await?;
    if !reply.pending().is_empty() && reply.outcome().is_none() {
        // An app that has said all it has to say may be gone; what it said is still to be read.
        let _ = stream.write_all(reply.pending()).await;
        reply.sent();
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
