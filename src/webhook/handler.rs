//! One request of a connection: receives its head and body, and sends its response.

use super::chunked::ChunkedDecoder;
use super::client_ca::VerifiedBy;
use super::connection_table::{ConnectionId, Phase};
use super::http_error::{HttpError, review_status};
use super::request_head::{BodyLength, Endpoint, Request, parse_request_head};
use super::response::{AfterResponse, BodyMode, Response};
use super::server_state::ServerState;
use super::stream_io::{ServerStream, timeout_at, write_all};
use crate::limits;
use crate::net::BytePermit;
use std::io;
use std::net::IpAddr;
use std::time::Instant;

/// A request whose head has begun to arrive.
struct Handler<'s> {
    state: &'s ServerState,
    stream: &'s mut ServerStream,
    client: IpAddr,
    verified_by: &'s mut VerifiedBy,
    /// Bytes received and not parsed yet.
    received: &'s mut Vec<u8>,
    began: Instant,
}

/// A received body, and the permit for its memory.
struct ReceivedBody {
    bytes: Vec<u8>,
    _permit: BytePermit,
}

/// Why a head or a body was not received.
enum ReceiveError {
    /// The client gets this response.
    Http(HttpError),
    /// No response can be sent.
    Stream(io::Error),
}

impl From<HttpError> for ReceiveError {
    fn from(error: HttpError) -> ReceiveError {
        ReceiveError::Http(error)
    }
}

impl From<io::Error> for ReceiveError {
    fn from(error: io::Error) -> ReceiveError {
        ReceiveError::Stream(error)
    }
}

impl From<io::ErrorKind> for ReceiveError {
    fn from(kind: io::ErrorKind) -> ReceiveError {
        ReceiveError::Stream(kind.into())
    }
}

/// Handles one request, whose first bytes are in `received`. Bytes of the next request stay there.
///
/// # Errors
/// The I/O error of the stream. No response can be sent after it.
pub async fn handle(
    state: &ServerState,
    stream: &mut ServerStream,
    client: IpAddr,
    id: ConnectionId,
    verified_by: &mut VerifiedBy,
    received: &mut Vec<u8>,
) -> io::Result<AfterResponse> {
    let mut handler = Handler {
        state,
        stream,
        client,
        verified_by,
        received,
        began: Instant::now(),
    };
    match handler.receive_head().await {
        Ok(request) => {
            state.connections.set_phase(id, Phase::Busy);
            handler.respond(request).await
        }
        Err(ReceiveError::Stream(error)) => Err(error),
        Err(ReceiveError::Http(error)) => {
            handler.log_error(error);
            let after = AfterResponse::Linger;
            handler.send(&error.into(), BodyMode::Include, after).await
        }
    }
}

impl Handler<'_> {
    async fn receive_head(&mut self) -> Result<Request, ReceiveError> {
        let deadline = self.began + limits::WEBHOOK_HEAD_TIMEOUT;
        loop {
            if let Some((request, len)) = parse_request_head(self.received)? {
                self.received.drain(..len);
                return Ok(request);
            }
            let len = self.received.len();
            let received = timeout_at(deadline, self.receive()).await;
            received.ok_or(HttpError::HeadTimeout)??;
            if self.received.len() == len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn receive(&mut self) -> io::Result<()> {
        let received = &mut *self.received;
        let append = |bytes: &[u8]| received.extend_from_slice(bytes);
        self.state.read_buffer.read(self.stream, append).await
    }

    async fn respond(&mut self, request: Request) -> io::Result<AfterResponse> {
        let endpoint = request
            .endpoint
            .and_then(|endpoint| self.authorize(endpoint));
        let response = match endpoint {
            Ok(Endpoint::Inject) => return self.inject(request).await,
            Ok(Endpoint::Health) => Response::text(200, "ok"),
            Ok(Endpoint::Metrics) => Response::metrics(self.state.metrics_page()),
            Err(error) => {
                self.log_error(error);
                error.into()
            }
        };
        // RFC 9110 section 9.3.2. With a body, the client would read it as the next response.
        let body = match request.is_head_method {
            true => BodyMode::Omit,
            false => BodyMode::Include,
        };
        // The request's body is not read, so the connection is reused only if there is none.
        let has_no_body = request.body_length == BodyLength::Known(0);
        let after = self.after_response(request, has_no_body);
        self.send(&response, body, after).await
    }

    async fn inject(&mut self, request: Request) -> io::Result<AfterResponse> {
        let _in_flight = self.state.metrics.begin_review();
        let (response, is_received) = match self.receive_body(request).await {
            Ok(body) => (self.review_response(&body.bytes), true),
            Err(ReceiveError::Stream(error)) => return Err(error),
            Err(ReceiveError::Http(error)) => {
                self.log_error(error);
                (error.into(), false)
            }
        };
        let after = self.after_response(request, is_received);
        self.send(&response, BodyMode::Include, after).await
    }

    fn review_response(&self, body: &[u8]) -> Response {
        self.state.reload_settings();
        match self.state.answer_review(body) {
            Ok(body) => Response::json(body),
            Err(error) => {
                let status = review_status(&error);
                self.state.log_error_response(self.client, status, &error);
                Response::text(status, &error.to_string())
            }
        }
    }

    /// Health and metrics need no client certificate: kubelet presents none.
    fn authorize(&mut self, endpoint: Endpoint) -> Result<Endpoint, HttpError> {
        let is_authorized = match endpoint {
            Endpoint::Inject => self.state.may_send_reviews(self.stream, self.verified_by),
            Endpoint::Health | Endpoint::Metrics => true,
        };
        is_authorized
            .then_some(endpoint)
            .ok_or(HttpError::ClientCertRequired)
    }

    fn log_error(&self, error: HttpError) {
        self.state
            .log_error_response(self.client, error.status(), &error);
    }

    fn after_response(&self, request: Request, is_body_received: bool) -> AfterResponse {
        let keeps_alive = request.keeps_alive && !self.state.is_draining();
        match (is_body_received, keeps_alive) {
            (true, true) => AfterResponse::KeepAlive,
            (true, false) => AfterResponse::Close,
            (false, _) => AfterResponse::Linger,
        }
    }

    /// Receives the body once there is memory for it. Until then its bytes stay with the client.
    async fn receive_body(&mut self, request: Request) -> Result<ReceivedBody, ReceiveError> {
        let max_bytes = match request.body_length {
            BodyLength::Known(bytes) if bytes > limits::REVIEW_BYTES => {
                return Err(HttpError::BodyTooLarge.into());
            }
            BodyLength::Known(bytes) => bytes,
            BodyLength::Chunked => limits::REVIEW_BYTES,
        };
        let deadline = self.began + request.timeout;
        let permit = timeout_at(deadline, self.state.body_semaphore.acquire(max_bytes)).await;
        let mut permit = permit.ok_or(HttpError::Overloaded)?;
        if request.expects_continue && self.received.is_empty() {
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
            write_all(self.stream, interim).await?;
        }
        let deadline = deadline.min(Instant::now() + limits::WEBHOOK_BODY_TIMEOUT);
        let receiving = async {
            match request.body_length {
                BodyLength::Known(bytes) => self.receive_known(bytes).await,
                BodyLength::Chunked => self.receive_chunked().await,
            }
        };
        let bytes = timeout_at(deadline, receiving).await;
        let bytes = bytes.ok_or(HttpError::BodyTimeout)??;
        permit.shrink_to(bytes.len());
        self.state.metrics.count_body_bytes(bytes.len());
        Ok(ReceivedBody {
            bytes,
            _permit: permit,
        })
    }

    /// Reads straight into the body, so that a thousand bodies in progress are in memory once, not twice.
    async fn receive_known(&mut self, len: usize) -> Result<Vec<u8>, ReceiveError> {
        let mut body = Vec::with_capacity(len);
        let available = self.received.len().min(len);
        body.extend(self.received.drain(..available));
        if self.received.is_empty() {
            *self.received = Vec::new();
        }
        while body.len() < len {
            let before = body.len();
            let append = |bytes: &[u8]| {
                let (of_body, of_next) = bytes.split_at(bytes.len().min(len - before));
                body.extend_from_slice(of_body);
                self.received.extend_from_slice(of_next);
            };
            self.state.read_buffer.read(self.stream, append).await?;
            if body.len() == before {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(body)
    }

    async fn receive_chunked(&mut self) -> Result<Vec<u8>, ReceiveError> {
        let (mut body, mut decoder) = (Vec::new(), ChunkedDecoder::new());
        loop {
            let used = decoder.feed(self.received, &mut body, limits::REVIEW_BYTES);
            let used = used.map_err(|_| HttpError::MalformedChunk)?;
            self.received.drain(..used);
            if body.len() > limits::REVIEW_BYTES {
                return Err(HttpError::BodyTooLarge.into());
            }
            if decoder.is_done() {
                return Ok(body);
            }
            self.receive().await?;
            if self.received.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn send(
        &mut self,
        response: &Response,
        body: BodyMode,
        after: AfterResponse,
    ) -> io::Result<AfterResponse> {
        self.state.metrics.count_response(response.status);
        let deadline = Instant::now() + limits::RESPONSE_WRITE_TIMEOUT;
        let bytes = response.encode(body, after);
        match timeout_at(deadline, write_all(self.stream, &bytes)).await {
            Some(written) => written.map(|()| after),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
