//! One request of a connection: receives its head and body, and sends its response.

use super::body_memory::{Allocation, BodySize, MemoryError};
use super::chunked::ChunkedDecoder;
use super::client_ca::VerifiedBy;
use super::connection_table::{ConnectionId, Phase};
use super::http_error::{HttpError, review_status};
use super::request_head::{BodyLength, Endpoint, Request, parse_request_head};
use super::response::{AfterResponse, BodyMode, Response};
use super::server_state::ServerState;
use super::stream_io::{ServerStream, timeout_at, write_all};
use crate::limits;
use async_io::Timer;
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

/// A body that arrives, and its memory.
struct Body<'m> {
    bytes: Vec<u8>,
    memory: Allocation<'m>,
    /// The client waits for the response until then.
    deadline: Instant,
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

impl From<MemoryError> for ReceiveError {
    fn from(error: MemoryError) -> ReceiveError {
        ReceiveError::Http(match error {
            MemoryError::Timeout => HttpError::Overloaded,
            MemoryError::Evicted => HttpError::BodyEvicted,
        })
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
            handler.send(error.into(), BodyMode::Include, after).await
        }
    }
}

impl<'s> Handler<'s> {
    async fn receive_head(&mut self) -> Result<Request, ReceiveError> {
        let deadline = self.began + limits::WEBHOOK_HEAD_TIMEOUT;
        loop {
            if let Some((request, len)) = parse_request_head(self.received)? {
                self.received.drain(..len);
                return Ok(request);
            }
            let len = self.received.len();
            if len >= limits::WEBHOOK_HEAD_BYTES {
                return Err(HttpError::HeadTooLarge.into());
            }
            let received =
                timeout_at(deadline, self.receive(limits::WEBHOOK_HEAD_BYTES - len)).await;
            received.ok_or(HttpError::HeadTimeout)??;
            if self.received.len() == len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn receive(&mut self, max_bytes: usize) -> io::Result<()> {
        let received = &mut *self.received;
        let append = |bytes: &[u8]| received.extend_from_slice(bytes);
        self.state
            .read_buffer
            .read(self.stream, max_bytes, append)
            .await
    }

    async fn respond(&mut self, request: Request) -> io::Result<AfterResponse> {
        let endpoint = request
            .endpoint
            .and_then(|endpoint| self.authorize(endpoint));
        let response = match endpoint {
            Ok(Endpoint::Inject) => return self.inject(request).await,
            Ok(Endpoint::Health) => Response::text(200, "ok"),
            Ok(Endpoint::Metrics) => {
                let page = || self.state.metrics_page();
                Response::metrics(self.state.turns.run(self.client, page).await)
            }
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
        self.send(response, body, after).await
    }

    async fn inject(&mut self, request: Request) -> io::Result<AfterResponse> {
        let _in_flight = self.state.metrics.begin_review();
        let (response, is_received) = match self.receive_body(request).await {
            Ok(body) => (self.review_in_turn(body).await, true),
            Err(ReceiveError::Stream(error)) => return Err(error),
            Err(ReceiveError::Http(error)) => {
                self.log_error(error);
                (error.into(), false)
            }
        };
        let after = self.after_response(request, is_received);
        self.send(response, BodyMode::Include, after).await
    }

    async fn review_in_turn(&self, body: Body<'_>) -> Response {
        let review = || self.review_response(&body.bytes);
        let reviewed = timeout_at(body.deadline, self.state.turns.run(self.client, review)).await;
        reviewed.unwrap_or_else(|| {
            self.log_error(HttpError::Overloaded);
            HttpError::Overloaded.into()
        })
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

    async fn receive_body(&mut self, request: Request) -> Result<Body<'s>, ReceiveError> {
        let (size, first_bytes) = match request.body_length {
            BodyLength::Known(bytes) if bytes > limits::REVIEW_BYTES => {
                return Err(HttpError::BodyTooLarge.into());
            }
            BodyLength::Known(bytes) => (
                BodySize::of(bytes),
                bytes.min(limits::FIRST_BODY_STEP_BYTES),
            ),
            // It may become large, and the API server sends none.
            BodyLength::Chunked => (BodySize::Large, limits::FIRST_BODY_STEP_BYTES),
        };
        let mut body = Body {
            bytes: Vec::new(),
            memory: self.state.body_memory.allocation(self.client, size),
            deadline: self.began + request.timeout,
        };
        body.reserve(first_bytes).await?;
        if request.expects_continue && self.received.is_empty() {
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
            write_all(self.stream, interim).await?;
        }
        match request.body_length {
            BodyLength::Known(bytes) => self.receive_known(&mut body, bytes).await?,
            BodyLength::Chunked => self.receive_chunked(&mut body).await?,
        }
        self.state.metrics.count_body_bytes(body.bytes.len());
        Ok(body)
    }

    /// Reads straight into the body, so that a thousand bodies in progress are in memory once, not twice.
    async fn receive_known(&mut self, body: &mut Body<'_>, len: usize) -> Result<(), ReceiveError> {
        while body.bytes.len() < len {
            let capacity = body.reserve_more(len).await?;
            let free = capacity - body.bytes.len();
            if !self.received.is_empty() {
                let available = self.received.len().min(free);
                body.bytes.extend(self.received.drain(..available));
                continue;
            }
            // Frees the memory of a head.
            *self.received = Vec::new();
            let bytes = &mut body.bytes;
            let append = |read: &[u8]| {
                bytes.extend_from_slice(read);
                read.len()
            };
            let read = self.state.read_buffer.read(self.stream, free, append);
            if while_client(&body.memory, body.deadline, read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    async fn receive_chunked(&mut self, body: &mut Body<'_>) -> Result<(), ReceiveError> {
        let mut decoder = ChunkedDecoder::new();
        loop {
            body.reserve_for(self.received.len()).await?;
            let used = decoder.feed(self.received, &mut body.bytes, limits::REVIEW_BYTES);
            let used = used.map_err(|_| HttpError::MalformedChunk)?;
            self.received.drain(..used);
            if body.bytes.len() > limits::REVIEW_BYTES {
                return Err(HttpError::BodyTooLarge.into());
            }
            if decoder.is_done() {
                return Ok(());
            }
            let read = self.receive(limits::WEBHOOK_HEAD_READ_BYTES);
            while_client(&body.memory, body.deadline, read).await?;
            if self.received.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends a response. One that is large, and whose client does not read it, loses its memory while others wait for it.
    async fn send(
        &mut self,
        response: Response,
        body: BodyMode,
        after: AfterResponse,
    ) -> io::Result<AfterResponse> {
        self.state.metrics.count_response(response.status);
        let deadline = Instant::now() + limits::RESPONSE_WRITE_TIMEOUT;
        let bytes = response.encode(body, after);
        drop(response);
        let memory = &self.state.body_memory;
        let mut memory = memory.allocation(self.client, BodySize::of(bytes.len()));
        if bytes.len() > limits::UNCHARGED_RESPONSE_BYTES {
            memory.take(bytes.len());
        }
        let written = memory.while_client(write_all(self.stream, &bytes));
        match timeout_at(deadline, written).await {
            Some(Ok(written)) => written.map(|()| after),
            Some(Err(_)) | None => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Body<'_> {
    /// Bytes of memory that it has.
    fn capacity(&self) -> usize {
        self.memory.bytes()
    }

    /// Waits for memory for `capacity` bytes in total.
    async fn reserve(&mut self, capacity: usize) -> Result<(), MemoryError> {
        self.memory.grow(capacity, Timer::at(self.deadline)).await?;
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }

    /// Waits for memory for this number of further bytes.
    async fn reserve_for(&mut self, bytes: usize) -> Result<(), MemoryError> {
        let (capacity, wanted) = (self.capacity(), self.bytes.len() + bytes);
        match wanted <= capacity {
            true => Ok(()),
            false => self.reserve(wanted.max(capacity + step_of(capacity))).await,
        }
    }

    /// Waits for more memory if it is full, for at most `max_bytes` in total. Returns its capacity.
    async fn reserve_more(&mut self, max_bytes: usize) -> Result<usize, MemoryError> {
        let capacity = self.capacity();
        if self.bytes.len() == capacity {
            self.reserve((capacity + step_of(capacity)).min(max_bytes))
                .await?;
        }
        Ok(self.capacity())
    }
}

/// Bytes by which a body of this capacity grows.
fn step_of(capacity: usize) -> usize {
    capacity.clamp(limits::FIRST_BODY_STEP_BYTES, limits::BODY_STEP_BYTES)
}

/// Runs a read of a body, until the client has let us wait for too long.
async fn while_client<T>(
    memory: &Allocation<'_>,
    deadline: Instant,
    read: impl Future<Output = io::Result<T>>,
) -> Result<T, ReceiveError> {
    let rest = limits::WEBHOOK_BODY_TIMEOUT.saturating_sub(memory.client_wait());
    let deadline = deadline.min(Instant::now() + rest);
    let read = timeout_at(deadline, memory.while_client(read)).await;
    Ok(read.ok_or(HttpError::BodyTimeout)???)
}
