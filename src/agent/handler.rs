//! Handles a request: routes it, runs the probe, and writes the response: the result of the probe, the page of metrics
//! or a status alone.

use core::pin::{Pin, pin};
use std::time::Instant;

use rustix::io;

use super::connection::{Closing, Connection, HeadBytes, Request};
use super::metrics::Rejection;
use super::metrics_page::{self, Gauges};
use super::probe_log::{ProbeResult, log_probe};
use super::probing::{Finished, poll_probing};
use super::resources;
use crate::config::Prober;
use crate::limits;
use crate::net::{poll_out_of_line, yield_now};
use crate::probe::{Failure, Outcome};
use crate::telemetry::prometheus::CONTENT_TYPE;
use crate::wire::request::Method;
use crate::wire::response_writer::{RESPONSE_BUFFER_BYTES, ResponseBody, write_response_head};

/// The resource that a request selects.
enum Route<'c> {
    Probe(ProberEntry<'c>),
    Metrics,
    /// Respond with this status, without a probe.
    Status(u16),
}

/// A prober and its number in the table.
#[derive(Clone, Copy)]
struct ProberEntry<'c> {
    index: usize,
    prober: &'c Prober,
}

impl Connection<'_> {
    /// Responds to a complete request, whose bytes are at the start of `buf`.
    pub async fn handle_request(
        &self,
        request: &Request,
        buf: &mut [u8],
        probe_memory: &mut [u8],
    ) -> Closing {
        let closing = match request.has_surplus || request.head.has_body() {
            true => Closing::Linger,
            false => Closing::Close,
        };
        let head = &request.head;
        match self.route(HeadBytes { head, bytes: buf }) {
            Route::Probe(entry) => {
                let request = HeadBytes { head, bytes: buf };
                self.probe(entry, request, probe_memory, closing).await
            }
            Route::Metrics => poll_out_of_line(pin!(self.write_metrics(buf, closing))).await,
            Route::Status(status) => self.respond(status, ResponseBody::Empty, closing).await,
        }
    }

    fn route(&self, request: HeadBytes<'_>) -> Route<'_> {
        let (agent, head) = (self.agent, request.head);
        let path = head.path(request.bytes);
        if head.has_body() {
            let rejection = Rejection::Malformed;
            let detail = "the request has a body";
            agent.log.bad_request(rejection, detail, self.socket());
            agent.metrics.count_rejection(rejection);
            return Route::Status(400);
        }
        let route = match (agent.config.probers.find(path), path) {
            (Some((index, prober)), _) => {
                self.prober.set(Some(index));
                Route::Probe(ProberEntry { index, prober })
            }
            (None, b"/healthz/ready") => Route::Status(200),
            (None, b"/metrics") => Route::Metrics,
            (None, _) => {
                agent.log.unknown_path(path, self.socket());
                agent.metrics.count_rejection(Rejection::UnknownPath);
                return Route::Status(404);
            }
        };
        match (route, head.method()) {
            (_, Method::Other) => {
                let rejection = Rejection::MethodNotAllowed;
                let detail = "the method is neither GET nor HEAD";
                agent.log.bad_request(rejection, detail, self.socket());
                agent.metrics.count_rejection(rejection);
                Route::Status(405)
            }
            (Route::Probe(entry), Method::Get | Method::Head) => Route::Probe(entry),
            (Route::Metrics, Method::Get) => Route::Metrics,
            (Route::Metrics, Method::Head) => Route::Status(200),
            (Route::Status(status), Method::Get | Method::Head) => Route::Status(status),
        }
    }

    async fn probe(
        &self,
        entry: ProberEntry<'_>,
        request: HeadBytes<'_>,
        memory: &mut [u8],
        closing: Closing,
    ) -> Closing {
        if self.waited.is_none() && !self.try_start(entry.index) {
            self.agent.check_clients(entry.index);
            yield_now().await;
            if !self.try_start(entry.index) {
                let bytes = request.head.len();
                if matches!(closing, Closing::Close) && bytes <= limits::WAITING_HEAD_BYTES {
                    return Closing::Wait { bytes };
                }
                self.agent.record_no_slot(entry.prober);
                return match entry.prober.is_hook {
                    // kubelet counts any response as a hook that ran.
                    true => Closing::Reset,
                    false => self.respond(503, ResponseBody::Empty, closing).await,
                };
            }
        }
        let probing = pin!(self.run_unless_disconnected(entry.prober, request, memory));
        let finished = poll_probing(probing).await;
        let Some(finished) = finished else {
            self.agent.log.canceled(entry.prober);
            let rejection = Rejection::ClientDisconnected;
            self.agent.metrics.count_rejection(rejection);
            return Closing::Close;
        };
        self.log_tls_events();
        let outcome = finished.outcome;
        self.record(entry, finished);
        match body_of(entry.prober, outcome) {
            Some(body) => self.respond(outcome.status(), body, closing).await,
            None => Closing::Reset,
        }
    }

    /// Occupies a slot of the prober, if one is free for this client and no other request is next. The connection then
    /// leaves the pool, as that of a request that has waited did before.
    fn try_start(&self, prober: usize) -> bool {
        let client = self.connected.client;
        let queue = &mut self.agent.queues.borrow_mut()[prober];
        let is_started = queue.try_start(client, self.slot, Instant::now());
        if is_started {
            self.agent.slots.start_probing(self.slot, client);
        }
        is_started
    }

    /// Logs abandoned handshakes and reloaded files. The files of TLS are polled when a probe connects, so their reloads
    /// are logged after it.
    fn log_tls_events(&self) {
        let (log, tls) = (&self.agent.log, &self.agent.dialler.tls);
        match tls.take_abandoned() {
            0 => {}
            probes => log.no_handshake_permit(probes),
        }
        self.agent.log_reloads();
    }

    /// Counts and logs the outcome of a probe.
    fn record(&self, entry: ProberEntry<'_>, finished: Finished) {
        let (agent, ProberEntry { index, prober }) = (self.agent, entry);
        let now = Instant::now();
        let duration = now.saturating_duration_since(self.connected.accepted_at);
        let Finished { outcome, handler } = finished;
        let timed = (!prober.is_hook).then_some(duration);
        agent.metrics.count_probe(index, outcome, timed);
        let result = ProbeResult {
            prober,
            handler: (prober.handlers.len() > 1 && !outcome.is_healthy()).then_some(handler),
            target: prober.handlers[handler].target(agent.config.target),
            outcome,
            duration,
        };
        let (logger, filters) = (&agent.log.logger, &agent.probe_filters);
        log_probe(logger, filters, index, &result, now);
    }

    /// Writes a response head with `status`; `body` decides its framing. Writes no content.
    pub async fn respond(&self, status: u16, body: ResponseBody, closing: Closing) -> Closing {
        let mut response = [0; RESPONSE_BUFFER_BYTES];
        let len = write_response_head(&mut response, status, body);
        let writing = pin!(self.socket().write_all(&response[..len]));
        self.write(writing, closing).await
    }

    /// Writes the page of metrics, piece by piece through the buffer of the request.
    async fn write_metrics(&self, buf: &mut [u8], closing: Closing) -> Closing {
        let agent = self.agent;
        let gauges = Gauges {
            status_connections: agent.open_status_connections(),
            forward_connections: agent.open_forward_connections(),
            #[cfg(feature = "tls")]
            not_after: agent.certificates_not_after(),
            resident_bytes: resources::resident_bytes(buf),
        };
        let page = pin!(async {
            let body = ResponseBody::UntilClose(CONTENT_TYPE);
            let mut head = write_response_head(buf, 200, body);
            let mut line = 0;
            loop {
                let (metrics, probers) = (&agent.metrics, &agent.config.probers);
                let out = &mut buf[head..];
                let piece = metrics_page::write_piece(metrics, probers, &gauges, line, out);
                if head + piece.bytes == 0 {
                    return Ok(());
                }
                self.socket().write_all(&buf[..head + piece.bytes]).await?;
                (line, head) = (piece.next_line, 0);
            }
        });
        self.write(page, closing).await
    }

    async fn write(
        &self,
        writing: Pin<&mut impl Future<Output = io::Result<()>>>,
        closing: Closing,
    ) -> Closing {
        let deadline = Instant::now() + limits::RESPONSE_WRITE_TIMEOUT;
        let writing = pin!(self.agent.reactor.timeout_at(deadline, writing));
        match self.agent.slots.unless_evicted(self.slot, writing).await {
            Some(Ok(Ok(()))) => closing,
            Some(Ok(Err(_)) | Err(_)) => Closing::Reset,
            None => {
                self.agent.metrics.count_rejection(Rejection::Evicted);
                Closing::Reset
            }
        }
    }
}

/// The body of the response. `None`: reset the connection instead, because kubelet fails a hook only on a transport
/// error. A hook whose response has an unusual status, or a body that breaks, has not failed.
fn body_of(prober: &Prober, outcome: Outcome) -> Option<ResponseBody> {
    match outcome {
        Outcome::BodyBroken(_) if !prober.is_hook => Some(ResponseBody::Broken),
        Outcome::Failed(Failure::StatusOutOfRange | Failure::SwitchingProtocols) => {
            Some(ResponseBody::Empty)
        }
        Outcome::Failed(_) if prober.is_hook => None,
        Outcome::Failed(_)
        | Outcome::BodyBroken(_)
        | Outcome::TlsRequired(_)
        | Outcome::GrpcError(_)
        | Outcome::Answered(_)
        | Outcome::Expected(_)
        | Outcome::UnexpectedStatus(_)
        | Outcome::Connected
        | Outcome::Serving => Some(ResponseBody::Empty),
    }
}
