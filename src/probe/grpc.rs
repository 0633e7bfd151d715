//! `grpc`: calls `grpc.health.v1.Health/Check` as kubelet's prober does over grpc-go.

use core::net::SocketAddr;
use core::ops::Range;
use core::pin::pin;
use core::time::Duration;
use std::time::Instant;

use super::request_origin::Authority;
use super::{Dialler, Event, Failure, Outcome, RequestOrigin};
use crate::limits;
use crate::net::{
    Curves, Elapsed, Stream, StreamError, TlsConnectOptions, TlsPurpose, poll_out_of_line,
    yield_now,
};
use crate::wire::h2::{self, Exchange, H2Error, MAX_FRAME_BYTES, Rules};
use crate::wire::header::Header;
use crate::wire::health::{GrpcCode, HealthError, HealthHeaders, HealthReader, HealthRequest};
use crate::wire::output_slice::OutputSlice;
use crate::wire::url::Scheme;

/// A gRPC probe.
pub struct GrpcProbe<'a> {
    /// The app's address and port.
    pub app: SocketAddr,
    /// The service to check; empty for the server as a whole.
    pub service: &'a str,
    /// `mode: TLS`.
    pub tls: bool,
    /// The URL that the probe was requested at.
    pub origin: RequestOrigin<'a>,
    /// The `user-agent`.
    pub user_agent: &'a [u8],
    /// Deadline of the outcome, connecting included.
    pub deadline: Instant,
    /// What only `check` sets.
    pub options: CallOptions<'a>,
}

/// Options of a call that kubelet's prober does not have.
#[derive(Clone, Copy, Default)]
pub struct CallOptions<'a> {
    /// Metadata of the call.
    pub metadata: &'a [Header],
    /// The `grpc-timeout`; else the time until the deadline. With 0, the call is not sent.
    pub timeout: Option<Duration>,
    /// When the last connection may be started; else before the deadline.
    pub connect_until: Option<Instant>,
}

/// Where a probe failed, which decides whether it is retried.
enum CallFailure {
    /// The connection; it is retried.
    Connection(Failure),
    /// The call, before the server processed it.
    Unprocessed(Failure),
    /// The call.
    Call(Failure),
}

impl CallFailure {
    /// A call is unprocessed if the connection ends gracefully or the stream is refused (RFC 9113 section 8.7).
    fn from_call(error: ConnectionError) -> CallFailure {
        let failure = error.into();
        match error {
            ConnectionError::Http2(H2Error::GoAway(_) | H2Error::Reset(h2::REFUSED_STREAM)) => {
                CallFailure::Unprocessed(failure)
            }
            _ => CallFailure::Call(failure),
        }
    }
}

impl From<StreamError> for CallFailure {
    fn from(error: StreamError) -> CallFailure {
        CallFailure::Connection(error.into())
    }
}

/// An error on an established connection.
#[derive(Clone, Copy)]
enum ConnectionError {
    Http2(H2Error),
    Failed(Failure),
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Failure {
        match error {
            ConnectionError::Http2(error) => error.into(),
            ConnectionError::Failed(failure) => failure,
        }
    }
}

impl From<StreamError> for ConnectionError {
    fn from(error: StreamError) -> ConnectionError {
        ConnectionError::Failed(error.into())
    }
}

/// An HTTP/2 connection with one call of `Check`.
struct GrpcConnection<'c> {
    dialler: &'c Dialler,
    stream: Stream,
    exchange: Exchange,
    response: ResponseMessage,
    /// Memory of the exchange.
    memory: &'c mut [u8],
}

impl Dialler {
    /// Calls until the health service has responded or the deadline has passed. A connection that fails is retried
    /// with grpc-go's backoff while there is time: an app that is starting may listen by then. `memory` has at least
    /// [`h2::H2_BYTES`].
    pub async fn probe_grpc(&self, probe: &GrpcProbe<'_>, memory: &mut [u8]) -> Outcome {
        poll_out_of_line(pin!(self.check_health(probe, memory))).await
    }

    async fn check_health(&self, probe: &GrpcProbe<'_>, memory: &mut [u8]) -> Outcome {
        let mut backoff = limits::GRPC_BACKOFF;
        let mut is_first = true;
        loop {
            let call = pin!(self.call(probe, memory));
            let failure = match self.reactor.timeout_at(probe.deadline, call).await {
                Ok(Ok(outcome)) => return outcome,
                // grpc-go retries once if the server did not process the call (`stream.go`: `shouldRetry`).
                Ok(Err(CallFailure::Unprocessed(_))) if is_first => {
                    is_first = false;
                    continue;
                }
                Ok(Err(CallFailure::Call(failure) | CallFailure::Unprocessed(failure))) => {
                    return Outcome::Failed(failure);
                }
                Ok(Err(CallFailure::Connection(failure))) => failure,
                Err(Elapsed) => return Outcome::Failed(Failure::DeadlineExceeded),
            };
            let again = Instant::now() + backoff;
            let until = probe.options.connect_until.unwrap_or(probe.deadline);
            if failure == Failure::TlsNotBuilt || again >= until {
                return Outcome::Failed(failure);
            }
            self.reactor.sleep_until(again).await;
            let (more, less) = limits::GRPC_BACKOFF_GROWTH;
            backoff = (backoff * more / less).min(limits::GRPC_BACKOFF_MAX);
        }
    }

    /// Connects and calls.
    async fn call(&self, probe: &GrpcProbe<'_>, memory: &mut [u8]) -> Result<Outcome, CallFailure> {
        let mut connection = self.connect_grpc(probe, memory).await?;
        if probe.options.timeout == Some(Duration::ZERO) {
            return Err(CallFailure::Call(Failure::DeadlineExceeded));
        }
        let authority = probe.authority();
        let headers = HealthHeaders {
            scheme: probe.scheme().as_str().as_bytes(),
            authority: authority.pieces(),
            user_agent: probe.user_agent,
            timeout: Some(
                probe
                    .options
                    .timeout
                    .unwrap_or_else(|| probe.deadline.saturating_duration_since(Instant::now())),
            ),
            metadata: probe.options.metadata,
        };
        let called = connection.run(&headers, probe.service).await;
        called.map_err(CallFailure::from_call)?;
        Ok(connection.outcome())
    }

    /// Connects until grpc-go would call the connection ready: the server's SETTINGS have come.
    async fn connect_grpc<'c>(
        &'c self,
        probe: &GrpcProbe<'_>,
        memory: &'c mut [u8],
    ) -> Result<GrpcConnection<'c>, CallFailure> {
        let options = TlsConnectOptions {
            port: probe.app.port(),
            server_name: probe.origin.server_name(),
            purpose: TlsPurpose::GrpcProbe,
            curves: Curves::Default,
        };
        let socket = self.dial(probe.app).await.map_err(StreamError::Io)?;
        let stream = self
            .open(socket, probe.app, probe.scheme(), options)
            .await?;
        if probe.tls && !stream.chose_http2() {
            return Err(CallFailure::Connection(Failure::NotHttp2));
        }
        let mut connection = GrpcConnection {
            dialler: self,
            stream,
            exchange: Exchange::new(Rules::Grpc),
            response: ResponseMessage::new(),
            memory,
        };
        connection
            .begin()
            .await
            .map_err(|error| match CallFailure::from_call(error) {
                // The connection was ready, and grpc-go reconnects at once.
                unprocessed @ CallFailure::Unprocessed(_) => unprocessed,
                CallFailure::Call(failure) | CallFailure::Connection(failure) => {
                    CallFailure::Connection(failure)
                }
            })?;
        self.notify(|| Event::Http2Ready);
        Ok(connection)
    }
}

impl<'a> GrpcProbe<'a> {
    fn scheme(&self) -> Scheme {
        match self.tls {
            true => Scheme::Https,
            false => Scheme::Http,
        }
    }

    fn authority(&self) -> Authority<'a> {
        let host = self.origin.host();
        host.unwrap_or_else(|| self.origin.first_host(self.app.ip()))
            .authority(self.app.port(), self.origin.has_port())
    }
}

impl GrpcConnection<'_> {
    /// Sends the connection preface, and waits for the server's.
    async fn begin(&mut self) -> Result<(), ConnectionError> {
        let opening = self.stream.write_with(|buf, sent| {
            let mut out = OutputSlice::new(buf, sent);
            h2::write_opening(&mut out);
            out.bytes().len()
        });
        opening.await?;
        // Nothing has to be answered before the server's first frame is complete.
        while !self.exchange.settings_received() {
            self.receive().await?;
        }
        Ok(())
    }

    /// Sends the call, and reads until the server has ended its response.
    async fn run(
        &mut self,
        headers: &HealthHeaders<'_>,
        service: &str,
    ) -> Result<(), ConnectionError> {
        let request = HealthRequest::new(service.as_bytes());
        let mut sent = 0;
        let mut unsent_headers = Some(headers);
        while !self.exchange.accepts_streams() && !self.is_done() {
            self.answer_control_frames().await;
            self.receive().await?;
        }
        while (unsent_headers.is_some() || sent < request.size()) && !self.is_done() {
            let room = self.exchange.send_window().min(MAX_FRAME_BYTES);
            let len = room.min(request.size() - sent);
            if len == 0 && unsent_headers.is_none() {
                self.receive().await?;
                self.answer_control_frames().await;
                continue;
            }
            self.send(unsent_headers.take(), &request, sent..sent + len)
                .await?;
            sent += len;
        }
        while !self.is_done() {
            self.receive().await?;
            self.answer_control_frames().await;
        }
        Ok(())
    }

    /// Sends the pending control frames, the header fields and part of the request in one write: several small writes
    /// would wait for the server's acknowledgements.
    async fn send(
        &mut self,
        headers: Option<&HealthHeaders<'_>>,
        request: &HealthRequest<'_>,
        part: Range<usize>,
    ) -> Result<(), ConnectionError> {
        let pending = self.exchange.pending(self.memory);
        let fill = |buf: &mut [u8], done| {
            let mut out = OutputSlice::new(buf, done);
            out.put(pending);
            if let Some(headers) = headers {
                h2::write_headers(&mut out, false, headers);
            }
            if !part.is_empty() {
                let body = |put: &mut dyn FnMut(&[u8])| request.write(put);
                h2::write_data(&mut out, part.clone(), request.size(), &body);
            }
            out.bytes().len()
        };
        // By reference: a closure that is moved is stored once in each future that it passes through.
        self.stream.write_with(&fill).await?;
        self.exchange.clear_pending();
        self.exchange.mark_request_sent();
        self.exchange.consume_send_window(part.len());
        Ok(())
    }

    /// Whether the outcome is decided: no further byte can change it.
    fn is_done(&self) -> bool {
        let is_not_grpc = self.exchange.head().is_some_and(|head| !head.is_grpc);
        self.exchange.stream_ended() || is_not_grpc || self.response.error.is_some()
    }

    /// Reads once.
    async fn receive(&mut self) -> Result<(), ConnectionError> {
        let (exchange, memory) = (&mut self.exchange, &mut *self.memory);
        let response = &mut self.response;
        let fed = self.stream.read_with(|bytes| match bytes {
            [] => Err(ConnectionError::Failed(Failure::ClosedEarly)),
            bytes => exchange
                .feed(bytes, memory, &mut [], &mut |data| response.feed(data))
                .map_err(ConnectionError::Http2),
        });
        fed.await??;
        if self.exchange.head().is_some() {
            self.dialler.notify(|| Event::ResponseStarted);
        }
        Ok(())
    }

    /// Answers control frames.
    async fn answer_control_frames(&mut self) {
        // A server that sends faster than this reads must not occupy the thread.
        yield_now().await;
        if self.is_done() {
            return;
        }
        if let pending @ [_, ..] = self.exchange.pending(self.memory) {
            // A server that has sent everything may have closed the connection; its response still has to be read.
            let _ = self.stream.write_all(pending).await;
            self.exchange.clear_pending();
        }
    }

    /// The outcome, with the status that grpc-go returns to kubelet (`pkg/probe/grpc/grpc.go`).
    fn outcome(&self) -> Outcome {
        let code = match (self.exchange.head(), self.exchange.grpc_status()) {
            (Some(head), _) if !head.is_grpc => GrpcCode::from_http(head.status),
            (_, status) => match (self.response.error, status) {
                (Some(error), _) => error_code(error),
                (None, Some(code)) => GrpcCode(code),
                // Without `grpc-status`: `http2_client.go`: `operateHeaders`, `handleData`.
                (None, None) if self.exchange.ended_with_fields() => GrpcCode::UNKNOWN,
                (None, None) => GrpcCode::INTERNAL,
            },
        };
        match code {
            GrpcCode::OK => match self.response.reader.end() {
                Ok(status) => {
                    self.dialler.notify(|| Event::HealthStatus(status));
                    match status {
                        SERVING => Outcome::Serving,
                        _ => Outcome::Failed(Failure::GrpcNotServing),
                    }
                }
                Err(error) => Outcome::GrpcError(error_code(error)),
            },
            GrpcCode::DEADLINE_EXCEEDED => Outcome::Failed(Failure::DeadlineExceeded),
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
        | HealthError::TrailingBytes
        | HealthError::Malformed => GrpcCode::INTERNAL,
    }
}

/// `HealthCheckResponse.ServingStatus` of a healthy service.
const SERVING: i32 = 1;

/// The response message, and the first error in it.
struct ResponseMessage {
    reader: HealthReader,
    error: Option<HealthError>,
}

impl ResponseMessage {
    fn new() -> ResponseMessage {
        ResponseMessage {
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
