//! `httpGet`: sends the request that kubelet's prober would send, and follows the redirects that it would follow.

use core::pin::pin;

use super::http_probe::{HTTP2_BYTES, HttpProbe, RedirectSpace};
use super::request_attempt::{NextStep, RequestAttempt};
use super::response_reader::ResponseReader;
use super::{Dialler, Event, Failure, Outcome};
use crate::limits;
use crate::net::{Elapsed, Stream, StreamError, yield_now};
use crate::wire::h2;
use crate::wire::output_slice::OutputSlice;
use crate::wire::response::{Framing, Location};

impl Dialler {
    /// Probes until the app has responded or the deadline has passed. `space` is
    /// [`PROBE_BYTES`](super::PROBE_BYTES) long.
    pub async fn probe_http(&self, probe: &HttpProbe<'_>, space: &mut [u8]) -> Outcome {
        let (exchange, space) = space.split_at_mut(HTTP2_BYTES);
        let (location, space) = RedirectSpace::of(space);
        let mut attempt = RequestAttempt::first(probe, space);
        let expect = probe.http_get.expect.as_deref();
        loop {
            let mut response = ResponseReader::new(location, exchange, expect);
            match self.run_attempt(&mut attempt, &mut response).await {
                None if attempt.exceeds_redirect_limit() => {
                    return Outcome::Failed(Failure::TooManyRedirects);
                }
                None => {}
                Some(_) if response.is_retriable() && attempt.may_retry() => attempt.count_retry(),
                Some(Outcome::Failed(Failure::PlainHttp)) if attempt.may_restart_in_plaintext() => {
                    attempt.restart_in_plaintext();
                }
                Some(outcome) => {
                    return match expect {
                        None => outcome,
                        Some(expect) => outcome.compare(expect, response.has_expected_text()),
                    };
                }
            }
        }
    }

    /// Sends one request and reads its response. Returns `None` after `attempt` advanced to the request that a
    /// redirect leads to.
    async fn run_attempt(
        &self,
        attempt: &mut RequestAttempt<'_>,
        response: &mut ResponseReader<'_>,
    ) -> Option<Outcome> {
        let sent = self
            .with_deadline(
                attempt.deadline(),
                pin!(self.send_request(attempt, response)),
            )
            .await;
        let mut stream = match sent {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Some(response.outcome_or_fail(error.into())),
            Err(Elapsed) => return Some(response.outcome_or_fail(Failure::DeadlineExceeded)),
        };
        let next = match response.head() {
            Some(head) => {
                attempt.resolve_next_step(&head, response.location(), |app| self.is_own(app))
            }
            None => NextStep::Finish,
        };
        let body_limit = match next {
            NextStep::Finish => limits::RESPONSE_BODY_BYTES,
            NextStep::Follow(..) => redirect_body_limit(response),
            NextStep::Fail(failure) => return Some(Outcome::Failed(failure)),
        };
        let body = self
            .with_deadline(
                attempt.deadline(),
                pin!(read_body(&mut stream, response, body_limit)),
            )
            .await;
        match next {
            NextStep::Follow(redirect) => match body {
                // Go follows after a body that is broken, not after one that stalls.
                Ok(_) => {
                    self.notify(|| redirect_event(response));
                    attempt.advance(redirect);
                    None
                }
                Err(Elapsed) => Some(Outcome::Failed(Failure::DeadlineExceeded)),
            },
            NextStep::Finish | NextStep::Fail(_) => Some(match body {
                // The body is complete, so the outcome is decided.
                Ok(Ok(())) => response.outcome_or_fail(Failure::ClosedEarly),
                Ok(Err(error)) => response.outcome_or_fail(error.into()),
                Err(Elapsed) => response.outcome_or_fail(Failure::DeadlineExceeded),
            }),
        }
    }

    /// Sends the request and reads until the response head is complete, or can no longer become complete.
    async fn send_request(
        &self,
        attempt: &RequestAttempt<'_>,
        response: &mut ResponseReader<'_>,
    ) -> Result<Stream, StreamError> {
        let app = attempt.app();
        let socket = self.dial(app).await?;
        let mut stream = self
            .open(socket, app, attempt.scheme, attempt.tls_options())
            .await?;
        let is_http2 = stream.chose_http2() || attempt.is_cleartext_http2();
        response.set_protocol(attempt.scheme, is_http2);
        response.has_no_body = attempt.has_no_body();
        self.notify(|| Event::RequestStarted(attempt.request()));
        let fill = |buf: &mut [u8], sent| {
            let mut out = OutputSlice::new(buf, sent);
            let request = attempt.request();
            if is_http2 {
                h2::write_opening(&mut out);
                let scheme = attempt.scheme.as_str().as_bytes();
                h2::write_headers(&mut out, true, &request.over_h2(scheme));
            } else {
                request.write(&mut out);
            }
            out.bytes().len()
        };
        // By reference: a closure that is moved is stored once in each future that it passes through.
        stream.write_with(&fill).await?;
        while response.head().is_none() && response.outcome().is_none() {
            read(&mut stream, response).await?;
            // Over HTTP/2, control frames precede the head.
            let has_started = !is_http2 || response.head().is_some();
            if has_started && response.outcome() != Some(Outcome::Failed(Failure::ClosedEarly)) {
                self.notify(|| Event::ResponseStarted);
            }
            // An app that sends faster than this reads must not occupy the thread.
            if response.head().is_none() {
                yield_now().await;
            }
        }
        Ok(stream)
    }
}

/// Reads the body until it ends, is broken, or `limit` bytes have come.
async fn read_body(
    stream: &mut Stream,
    response: &mut ResponseReader<'_>,
    limit: u64,
) -> Result<(), StreamError> {
    let is_unfinished = |response: &ResponseReader<'_>| {
        response.outcome().is_none() && response.body_bytes() < limit
    };
    while is_unfinished(response) {
        read(stream, response).await?;
        // An app that sends faster than this reads must not occupy the thread.
        if is_unfinished(response) {
            yield_now().await;
        }
    }
    Ok(())
}

/// Reads once, and answers control frames.
async fn read(stream: &mut Stream, response: &mut ResponseReader<'_>) -> Result<(), StreamError> {
    stream.read_with(|bytes| response.receive(bytes)).await?;
    if !response.pending().is_empty() && response.outcome().is_none() {
        // An app that has sent everything may have closed the connection; its response still has to be read.
        let _ = stream.write_all(response.pending()).await;
        response.clear_pending();
    }
    Ok(())
}

fn redirect_event<'r>(response: &'r ResponseReader<'_>) -> Event<'r> {
    let (status, len) = match response.head() {
        Some(head) => match head.location {
            Location::Stored(len) => (head.status, len),
            Location::Absent | Location::TooLong => (head.status, 0),
        },
        None => (0, 0),
    };
    let location = &response.location()[..len];
    Event::RedirectFollowed { status, location }
}

/// The bytes that Go's client reads of a redirect's body before it follows the redirect: none of a longer one
/// (`net/http/client.go`: `maxBodySlurpSize`).
fn redirect_body_limit(response: &ResponseReader<'_>) -> u64 {
    match response.head().map(|head| head.framing) {
        Some(Framing::Length(length)) if length > limits::REDIRECT_BODY_BYTES => 0,
        _ => limits::REDIRECT_BODY_BYTES,
    }
}
