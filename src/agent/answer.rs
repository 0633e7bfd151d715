//! What a request gets: the app's code by way of a probe, a page of metrics, or a bare code.

use core::net::SocketAddr;
use core::pin::{Pin, pin};
use std::time::Instant;

use rustix::io;
use smol::future::or;

use super::memory;
use super::metrics::Rejection;
use super::metrics_page::{self, Gauges};
use super::report::Probed;
use super::serve::{Connection, End, Request};
use super::slots::Place;
use crate::config::{Action, Prober};
use crate::limits;
use crate::net::apart;
use crate::probe::{Dialled, Failure, GrpcProbe, HttpProbe, Outcome};
use crate::telemetry::prometheus::CONTENT_TYPE;
use crate::wire::answer::{ANSWER_BYTES, AnswerBody, write_answer};
use crate::wire::request::Method;

/// What a request asks for.
enum Route<'c> {
    /// A prober and its number.
    Probe(usize, &'c Prober),
    Metrics,
    /// A code that is known already.
    Status(u16),
}

impl Connection<'_> {
    /// Answers a request that was read whole.
    pub async fn answer(&self, request: &Request, buf: &mut [u8], space: &mut [u8]) -> End {
        let end = if request.surplus || request.head.has_body() {
            End::Linger
        } else {
            End::Close
        };
        match self.route(request, buf) {
            Route::Probe(number, prober) => {
                self.probe(number, prober, (request, buf), space, end).await
            }
            Route::Metrics => apart(pin!(self.page(buf, end))).await,
            Route::Status(status) => self.say(status, AnswerBody::Empty, end).await,
        }
    }

    fn route(&self, request: &Request, buf: &[u8]) -> Route<'_> {
        let head = &request.head;
        let path = head.path(buf);
        if head.has_body() {
            let rejection = Rejection::Malformed;
            self.agent
                .note_bad_request(rejection, "the request has a body");
            return Route::Status(self.reject(rejection, 400));
        }
        let route = match (self.agent.config.probers.find(path), path) {
            (Some((number, prober)), _) => Route::Probe(number, prober),
            (None, b"/healthz/ready") => Route::Status(200),
            (None, b"/metrics") => Route::Metrics,
            (None, _) => {
                self.agent.note_unknown_path(path);
                return Route::Status(self.reject(Rejection::UnknownPath, 404));
            }
        };
        match (route, head.method()) {
            (_, Method::Other) => {
                let rejection = Rejection::Method;
                self.agent
                    .note_bad_request(rejection, "neither GET nor HEAD");
                Route::Status(self.reject(rejection, 405))
            }
            (Route::Probe(number, prober), _) => self.place(number, prober),
            (Route::Metrics, Method::Head) => Route::Status(200),
            (route, _) => route,
        }
    }

    /// Whether there is a place to probe from. A hook looks for one of its own.
    fn place<'c>(&self, number: usize, prober: &'c Prober) -> Route<'c> {
        match self.agent.slots.place(self.slot) {
            Place::Reserve if !prober.is_hook => {
                self.agent.note_not_asked(prober, Rejection::Busy);
                Route::Status(self.reject(Rejection::Busy, 503))
            }
            _ => Route::Probe(number, prober),
        }
    }

    async fn probe(
        &self,
        number: usize,
        prober: &Prober,
        request: (&Request, &[u8]),
        space: &mut [u8],
        end: End,
    ) -> End {
        let slots = &self.agent.slots;
        if prober.is_hook && !slots.move_to_hook(self.slot) {
            self.agent.note_not_asked(prober, Rejection::HookSlotsFull);
            // Any answer at all would pass for a hook that ran.
            return self.reject(Rejection::HookSlotsFull, End::Reset);
        }
        slots.start_probing(self.slot);
        let outcome = self.outcome(prober, request, space).await;
        slots.stop_probing(self.slot);
        let Some(outcome) = outcome else {
            self.agent.note_not_asked(prober, Rejection::Abandoned);
            return self.reject(Rejection::Abandoned, End::Close);
        };
        self.record(number, prober, outcome);
        match body_of(prober, outcome) {
            Some(body) => self.say(outcome.status(), body, end).await,
            None => End::Reset,
        }
    }

    /// How the probe ended; nothing when the client went away before. That is how a hook ends if the
    /// app does not answer, since kubelet sets it no deadline.
    async fn outcome(
        &self,
        prober: &Prober,
        request: (&Request, &[u8]),
        space: &mut [u8],
    ) -> Option<Outcome> {
        let asked = pin!(self.ask(prober, request, space));
        let watch_from = self.at + limits::WATCH_CLIENT_AFTER;
        or(async { Some(asked.await) }, async {
            if !prober.is_hook {
                self.agent.reactor.sleep_until(watch_from).await;
            }
            // A half-close counts as well, but nobody who waits for an answer here makes one.
            self.socket.closed().await;
            None
        })
        .await
    }

    async fn ask(
        &self,
        prober: &Prober,
        (request, bytes): (&Request, &[u8]),
        space: &mut [u8],
    ) -> Outcome {
        let agent = self.agent;
        let due = self.at + prober.timeout - agent.config.deadline_margin;
        let deadline = (!prober.is_hook).then_some(due);
        let dialled = Dialled::Us {
            client: &self.socket,
            status_port: agent.config.status.port,
        };
        match &prober.action {
            Action::Http(get) => {
                let probe = HttpProbe {
                    head: &request.head,
                    bytes,
                    get,
                    dialled,
                    is_hook: prober.is_hook,
                    deadline,
                };
                agent.dialler.probe_http(&probe, space).await
            }
            Action::Tcp { port } => agent.dialler.probe_tcp(*port, deadline).await,
            Action::Grpc { port, service, tls } => {
                let probe = GrpcProbe {
                    port: *port,
                    service,
                    tls: *tls,
                    dialled,
                    user_agent: request.head.field(bytes, b"User-Agent").unwrap_or_default(),
                    deadline: due,
                };
                agent.dialler.probe_grpc(&probe, space).await
            }
        }
    }

    fn record(&self, number: usize, prober: &Prober, outcome: Outcome) {
        let agent = self.agent;
        agent.note_tls();
        let now = Instant::now();
        let probed = Probed {
            number,
            prober,
            target: SocketAddr::new(agent.config.target, prober.action.port()),
            outcome,
            took: now.saturating_duration_since(self.at),
        };
        let timed = (!prober.is_hook).then_some(probed.took);
        agent.metrics.count_probe(number, outcome, timed);
        agent.reports.log_result(&agent.log, &probed, now);
    }

    /// Says a status code.
    pub async fn say(&self, status: u16, body: AnswerBody, end: End) -> End {
        let mut answer = [0; ANSWER_BYTES];
        let len = write_answer(&mut answer, status, body);
        let writing = pin!(self.socket.write_all(&answer[..len]));
        self.write(writing, end).await
    }

    /// Says the page of metrics. The request was read: its buffer serves for the page.
    async fn page(&self, buf: &mut [u8], end: End) -> End {
        let agent = self.agent;
        let gauges = Gauges {
            status_connections: agent.slots.open(),
            forward_connections: agent.places.open(),
            resident_bytes: memory::resident(buf),
        };
        let page = pin!(async {
            let body = AnswerBody::UntilClose(CONTENT_TYPE);
            let mut head = write_answer(buf, 200, body);
            let mut line = 0;
            loop {
                let (metrics, probers) = (&agent.metrics, &agent.config.probers);
                let out = &mut buf[head..];
                let piece = metrics_page::write_piece(metrics, probers, &gauges, line, out);
                if head + piece.bytes == 0 {
                    return Ok(());
                }
                self.socket.write_all(&buf[..head + piece.bytes]).await?;
                (line, head) = (piece.next_line, 0);
            }
        });
        self.write(page, end).await
    }

    async fn write(
        &self,
        writing: Pin<&mut impl Future<Output = io::Result<()>>>,
        end: End,
    ) -> End {
        let deadline = Instant::now() + limits::ANSWER_TIME;
        let writing = pin!(self.agent.reactor.before(deadline, writing));
        match self.agent.slots.unless_evicted(self.slot, writing).await {
            Some(Ok(Ok(()))) => end,
            Some(Ok(Err(_)) | Err(_)) => End::Reset,
            None => self.reject(Rejection::Evicted, End::Reset),
        }
    }
}

/// What follows the code; nothing at all is said where kubelet is to see a transport error. That is
/// the one thing it fails a hook on: an odd code, or a body that breaks, is an answer.
fn body_of(prober: &Prober, outcome: Outcome) -> Option<AnswerBody> {
    match outcome {
        Outcome::BodyBroken(_) if !prober.is_hook => Some(AnswerBody::Broken),
        Outcome::Failed(Failure::StatusOutOfRange | Failure::SwitchingProtocols) => {
            Some(AnswerBody::Empty)
        }
        Outcome::Failed(_) if prober.is_hook => None,
        _ => Some(AnswerBody::Empty),
    }
}
