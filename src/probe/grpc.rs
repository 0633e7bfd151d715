//! `grpc`: asks `grpc.health.v1.Health/Check` as kubelet's prober does over grpc-go.

use core::net::IpAddr;
use core::ops::Range;
use core::pin::pin;
use std::time::Instant;

use super::dialled::Authority;
use super::{Dialled, Dialler, Event, Failure, Outcome};
use crate::limits;
use crate::net::{Alpn, Elapsed, Stream, StreamError, poll_out_of_line, yield_now};
use crate::wire::h2::{self, Exchange, FRAME_BYTES, H2Error, Rules};
use crate::wire::health::{GrpcCode, HealthCall, HealthError, HealthReader, HealthRequest};
use crate::wire::url::Scheme;
use crate::wire::window::Window;

/// What is to be asked of the health service.
pub struct GrpcProbe<'a> {
    /// The app's port.
    pub port: u16,
    /// The service asked about; empty is the server as a whole.
    pub service: &'a str,
    /// `mode: TLS`.
    pub tls: bool,
    /// What whoever asks dialled.
    pub dialled: Dialled<'a>,
    /// Who asks.
    pub user_agent: &'a [u8],
    /// When the answer is due, the connection's time included.
    pub deadline: Instant,
}

/// What broke.
enum Broken {
    /// The connection, which is then tried again.
    Connection(Failure),
    /// The call, before the server looked at it.
    Unprocessed(Failure),
    /// The call.
    Call(Failure),
}

impl Broken {
    /// A connection that ends gracefully, or a stream that is refused, leaves the call as it was (RFC 9113
    /// section 8.7).
    fn call(error: CallError) -> Broken {
        const REFUSED_STREAM: u32 = 7;
        let failure = error.into();
        match error {
            CallError::Http2(H2Error::GoAway(_) | H2Error::Reset(REFUSED_STREAM)) => {
                Broken::Unprocessed(failure)
            }
            _ => Broken::Call(failure),
        }
    }
}

impl From<StreamError> for Broken {
    fn from(error: StreamError) -> Broken {
        Broken::Connection(error.into())
    }
}

/// Why nothing more comes of a connection.
#[derive(Clone, Copy)]
enum CallError {
    Http2(H2Error),
    Failed(Failure),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        match error {
            CallError::Http2(error) => error.into(),
            CallError::Failed(failure) => failure,
        }
    }
}

impl From<StreamError> for CallError {
    fn from(error: StreamError) -> CallError {
        CallError::Failed(error.into())
    }
}

/// A call under way.
struct Call<'c> {
    stream: Stream,
    exchange: Exchange,
    answer: Answer,
    /// What the exchange needs.
    memory: &'c mut [u8],
}

impl Dialler {
    /// Asks until the health service has answered or the deadline has come. A connection that does not
    /// come about is tried again after grpc-go's pauses, as long as a try still fits: an app that is
    /// starting may listen by then. `memory` is [`h2::H2_BYTES`] long or longer.
    pub async fn probe_grpc(&self, probe: &GrpcProbe<'_>, memory: &mut [u8]) -> Outcome {
        poll_out_of_line(pin!(self.ask_health(probe, memory))).await
    }

    async fn ask_health(&self, probe: &GrpcProbe<'_>, memory: &mut [u8]) -> Outcome {
        let mut pause = limits::GRPC_BACKOFF;
        let mut is_first = true;
        loop {
            let call = pin!(self.call(probe, memory));
            let failure = match self.reactor.before(probe.deadline, call).await {
                Ok(Ok(outcome)) => return outcome,
                // grpc-go calls once more where the server did not look (`stream.go`: `shouldRetry`).
                Ok(Err(Broken::Unprocessed(_))) if is_first => {
                    is_first = false;
                    continue;
                }
                Ok(Err(Broken::Call(failure) | Broken::Unprocessed(failure))) => {
                    return Outcome::Failed(failure);
                }
                Ok(Err(Broken::Connection(failure))) => failure,
                Err(Elapsed) => return Outcome::Failed(Failure::Deadline),
            };
            let again = Instant::now() + pause;
            if failure == Failure::NotBuilt || again >= probe.deadline {
                return Outcome::Failed(failure);
            }
            self.reactor.sleep_until(again).await;
            let (more, less) = limits::GRPC_BACKOFF_GROWTH;
            pause = (pause * more / less).min(limits::GRPC_BACKOFF_MAX);
        }
    }

    /// One connection and the call on it.
    async fn call(&self, probe: &GrpcProbe<'_>, memory: &mut [u8]) -> Result<Outcome, Broken> {
        let mut call = self.connection(probe, memory).await?;
        let authority = probe.authority(self.target);
        let fields = HealthCall {
            scheme: probe.scheme().as_str().as_bytes(),
            authority: authority.pieces(),
            user_agent: probe.user_agent,
            timeout: Some(probe.deadline.saturating_duration_since(Instant::now())),
        };
        let asked = call.ask(&fields, probe.service).await;
        asked.map_err(Broken::call)?;
        self.tell(|| Event::Came);
        Ok(call.outcome())
    }

    /// A connection that grpc-go would call ready: the server's SETTINGS are there.
    async fn connection<'c>(
        &self,
        probe: &GrpcProbe<'_>,
        memory: &'c mut [u8],
    ) -> Result<Call<'c>, Broken> {
        let tls = (probe.dialled.server_name(), Alpn::H2);
        let socket = self.dial(probe.port).await.map_err(StreamError::Io)?;
        let stream = self.open(socket, (probe.scheme(), probe.port), tls).await?;
        if probe.tls && !stream.chose_http2() {
            return Err(Broken::Connection(Failure::NotHttp2));
        }
        let mut call = Call {
            stream,
            exchange: Exchange::new(Rules::Grpc),
            answer: Answer::new(),
            memory,
        };
        call.begin()
            .await
            .map_err(|error| match Broken::call(error) {
                // It was ready, and grpc-go begins anew at once.
                broken @ Broken::Unprocessed(_) => broken,
                Broken::Call(failure) | Broken::Connection(failure) => Broken::Connection(failure),
            })?;
        Ok(call)
    }
}

impl<'a> GrpcProbe<'a> {
    fn scheme(&self) -> Scheme {
        match self.tls {
            true => Scheme::Https,
            false => Scheme::Http,
        }
    }

    fn authority(&self, target: IpAddr) -> Authority<'a> {
        let host = self.dialled.host();
        host.unwrap_or_else(|| self.dialled.first_host(target))
            .authority(self.port, true)
    }
}

impl Call<'_> {
    /// Sends what begins a connection, and waits for the same from the server.
    async fn begin(&mut self) -> Result<(), CallError> {
        let opening = self.stream.write_with(|buf, sent| {
            let mut window = Window::new(buf, sent);
            h2::write_opening(&mut window);
            window.filled().len()
        });
        opening.await?;
        // A frame that is cut leads to the next read; nothing is to be answered before the first is whole.
        while !self.exchange.is_ready() {
            self.receive().await?;
        }
        Ok(())
    }

    /// Sends the call, and reads until the server has ended its answer.
    async fn ask(&mut self, call: &HealthCall<'_>, service: &str) -> Result<(), CallError> {
        let request = HealthRequest::new(service.as_bytes());
        let mut sent = 0;
        let mut head = Some(call);
        while !self.exchange.takes_streams() && !self.is_done() {
            self.answer_pings().await;
            self.receive().await?;
        }
        while (head.is_some() || sent < request.size()) && !self.is_done() {
            let room = self.exchange.send_window().min(FRAME_BYTES);
            let len = room.min(request.size() - sent);
            if len == 0 && head.is_none() {
                self.receive().await?;
                self.answer_pings().await;
                continue;
            }
            self.send(head.take(), &request, sent..sent + len).await?;
            sent += len;
        }
        while !self.is_done() {
            self.receive().await?;
            self.answer_pings().await;
        }
        Ok(())
    }

    /// Sends what is pending, the head and part of the request, in one piece: small ones that follow each
    /// other would wait for the server's acknowledgements.
    async fn send(
        &mut self,
        head: Option<&HealthCall<'_>>,
        request: &HealthRequest<'_>,
        part: Range<usize>,
    ) -> Result<(), CallError> {
        let pending = self.exchange.pending(self.memory);
        let fill = |buf: &mut [u8], done| {
            let mut window = Window::new(buf, done);
            window.put(pending);
            if let Some(head) = head {
                h2::write_headers(&mut window, false, head);
            }
            if !part.is_empty() {
                let body = |put: &mut dyn FnMut(&[u8])| request.write(put);
                h2::write_data(&mut window, part.start, part.len(), request.size(), &body);
            }
            window.filled().len()
        };
        // Lent, as a closure that is moved is kept once in each future it goes through.
        self.stream.write_with(&fill).await?;
        self.exchange.sent();
        self.exchange.opened();
        self.exchange.sent_data(part.len());
        Ok(())
    }

    /// Nothing that may still come changes the outcome.
    fn is_done(&self) -> bool {
        let is_other = self.exchange.head().is_some_and(|head| !head.is_grpc);
        self.exchange.is_ended() || is_other || self.answer.error.is_some()
    }

    /// Reads once.
    async fn receive(&mut self) -> Result<(), CallError> {
        let (exchange, memory) = (&mut self.exchange, &mut *self.memory);
        let answer = &mut self.answer;
        let fed = self.stream.read_with(|bytes| match bytes {
            [] => Err(CallError::Failed(Failure::ClosedEarly)),
            bytes => exchange
                .feed(bytes, memory, &mut [], &mut |data| answer.feed(data))
                .map_err(CallError::Http2),
        });
        fed.await??;
        Ok(())
    }

    /// Answers what asks for it.
    async fn answer_pings(&mut self) {
        // A server that sends faster than we read must not hold the thread.
        yield_now().await;
        if self.is_done() {
            return;
        }
        if let pending @ [_, ..] = self.exchange.pending(self.memory) {
            // A server that has said all it has to say may be gone; what it said is still to be read.
            let _ = self.stream.write_all(pending).await;
            self.exchange.sent();
        }
    }

    /// The outcome, with the status that grpc-go returns to kubelet (`pkg/probe/grpc/grpc.go`).
    fn outcome(&self) -> Outcome {
        let code = match (self.exchange.head(), self.exchange.grpc_status()) {
            (Some(head), _) if !head.is_grpc => GrpcCode::from_http(head.status),
            (_, status) => match (self.answer.error, status) {
                (Some(error), _) => error_code(error),
                (None, Some(code)) => GrpcCode(code),
                // Without `grpc-status`: `http2_client.go`: `operateHeaders`, `handleData`.
                (None, None) if self.exchange.ended_with_fields() => GrpcCode::UNKNOWN,
                (None, None) => GrpcCode::INTERNAL,
            },
        };
        match code {
            GrpcCode::OK => match self.answer.reader.end() {
                Ok(SERVING) => Outcome::Serving,
                Ok(_) => Outcome::Failed(Failure::GrpcNotServing),
                Err(error) => Outcome::GrpcError(error_code(error)),
            },
            GrpcCode::DEADLINE_EXCEEDED => Outcome::Failed(Failure::Deadline),
            GrpcCode::UNIMPLEMENTED => Outcome::Failed(Failure::GrpcUnimplemented),
            code => Outcome::GrpcError(code),
        }
    }
}

/// The status that grpc-go returns for a message it cannot read (`rpc_util.go`, `stream.go`: `recvMsg`).
fn error_code(error: HealthError) -> GrpcCode {
    match error {
        HealthError::TooLarge => GrpcCode::RESOURCE_EXHAUSTED,
        HealthError::CutShort
        | HealthError::Compressed
        | HealthError::TooMany
        | HealthError::Malformed => GrpcCode::INTERNAL,
    }
}

/// `HealthCheckResponse.ServingStatus` of a service that is well.
const SERVING: i32 = 1;

/// The message of the answer, and the first rule it broke.
struct Answer {
    reader: HealthReader,
    error: Option<HealthError>,
}

impl Answer {
    fn new() -> Answer {
        Answer {
            reader: HealthReader::new(),
            error: None,
        }
    }

    fn feed(&mut self, data: &[u8]) {
        if self.error.is_none() {
            self.error = self.reader.feed(data).err();
        }
    }
}
