//! One connection: its TLS handshake, then its requests in turn.

use super::client_ca::VerifiedBy;
use super::connection_table::{ConnectionId, Phase};
use super::handler;
use super::http_error::HttpError;
use super::response::{AfterResponse, BodyMode, Response};
use super::server_state::ServerState;
use super::stream_io::{ServerStream, SharedSocket, YieldingSocket, timeout_at, write_all};
use super::turns::wait_for_wake;
use crate::limits;
use crate::net::yield_now;
use async_io::Async;
use core::pin::pin;
use core::task::Poll;
use futures_rustls::LazyConfigAcceptor;
use rustls::server::Acceptor;
use smol::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use std::io;
use std::net::{IpAddr, TcpStream};
use std::time::Instant;

/// `ContentType` of a handshake record (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// Serves a connection until it ends. Until its first byte it needs a descriptor, a timer and a small task.
pub async fn serve(
    state: &ServerState,
    socket: Async<TcpStream>,
    client: IpAddr,
    id: ConnectionId,
) {
    // A response is one write, so Nagle's algorithm would only delay its end.
    let _ = socket.get_ref().set_nodelay(true);
    let deadline = Instant::now() + limits::WEBHOOK_HANDSHAKE_TIMEOUT;
    let mut first = [0];
    let peeked = timeout_at(deadline, socket.peek(&mut first)).await;
    let served = match peeked {
        // The client closed without a byte.
        Some(Ok(0)) => return,
        Some(Ok(_)) if first[0] == HANDSHAKE => {
            // A future that is awaited in others is stored several times, and this one is large. It is boxed, and freed
            // before requests are served.
            let handshake = Box::pin(handshake(state, socket, client, id));
            match timeout_at(deadline, handshake).await {
                Some(Ok(stream)) if !state.is_draining() => {
                    Box::pin(serve_requests(state, stream, client, id)).await;
                    Some(Ok(()))
                }
                Some(handshake) => Some(handshake.map(drop)),
                None => None,
            }
        }
        Some(Ok(_)) => Box::pin(respond_in_plaintext(state, socket, deadline)).await,
        Some(Err(error)) => Some(Err(error)),
        None => None,
    };
    match served {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            state.observe_cert_rejection(&error);
            state.record_handshake_failure(client, &error);
        }
        None => {
            let seconds = limits::WEBHOOK_HANDSHAKE_TIMEOUT.as_secs();
            let error = format_args!(
                "the handshake did not complete within {seconds} s: the client is slow, or the webhook has too many handshakes"
            );
            state.record_handshake_failure(client, &error);
        }
    }
}

async fn handshake(
    state: &ServerState,
    socket: Async<TcpStream>,
    client: IpAddr,
    id: ConnectionId,
) -> io::Result<Box<ServerStream>> {
    let connections = &state.connections;
    let permit = state.acquire_handshake(client).await;
    let socket = SharedSocket::new(socket);
    connections.set_socket(id, socket.clone());
    connections.set_phase(id, Phase::Handshake);
    state.reload_cert();
    state.reload_client_ca();
    let socket = YieldingSocket::new(socket);
    let hello = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
    // The answer to a ClientHello has a signature.
    connections.set_phase(id, Phase::Busy);
    let config = state.tls_config();
    let accept = state.turns.run(client, || hello.into_stream(config)).await;
    let mut accept = pin!(accept);
    // So has the answer to the second ClientHello after a HelloRetryRequest (RFC 8446 section 4.1.4), and a client
    // certificate is verified.
    let mut stream = loop {
        connections.set_phase(id, Phase::Busy);
        if let Poll::Ready(accepted) = state.turns.poll(client, accept.as_mut()).await {
            break accepted?;
        }
        connections.set_phase(id, Phase::Handshake);
        wait_for_wake().await;
    };
    permit.complete();
    let limit = Some(limits::WEBHOOK_TLS_BUFFER_BYTES);
    stream.get_mut().1.set_buffer_limit(limit);
    Ok(Box::new(stream))
}

/// Responds to a client that does not speak TLS.
async fn respond_in_plaintext(
    state: &ServerState,
    mut socket: Async<TcpStream>,
    deadline: Instant,
) -> Option<io::Result<()>> {
    let response = Response::from(HttpError::NotTls);
    let response = response.encode(BodyMode::Include, AfterResponse::Close);
    let written = timeout_at(deadline, write_all(&mut socket, &response)).await?;
    if let Err(error) = written {
        return Some(Err(error));
    }
    linger(state, &mut socket).await;
    Some(Err(io::Error::other("the client does not speak TLS")))
}

async fn serve_requests(
    state: &ServerState,
    mut stream: Box<ServerStream>,
    client: IpAddr,
    id: ConnectionId,
) {
    let stream = &mut *stream;
    let (mut received, mut verified_by) = (Vec::new(), VerifiedBy::default());
    loop {
        if received.is_empty() {
            state.connections.set_phase(id, Phase::Idle);
            let deadline = Instant::now() + limits::WEBHOOK_IDLE_TIMEOUT;
            let append = |bytes: &[u8]| received.extend_from_slice(bytes);
            let read = state
                .read_buffer
                .read(stream, limits::WEBHOOK_HEAD_READ_BYTES, append);
            match timeout_at(deadline, read).await {
                Some(Ok(())) if !received.is_empty() => {}
                Some(Err(_)) => return,
                // The client closed its side, or was idle for too long.
                Some(Ok(())) | None => break,
            }
        }
        state.connections.set_phase(id, Phase::Head);
        let handled = handler::handle(state, stream, client, id, &mut verified_by, &mut received);
        match handled.await {
            Ok(AfterResponse::KeepAlive) => {}
            Ok(AfterResponse::Close) => break,
            Ok(AfterResponse::Linger) => {
                linger(state, stream).await;
                return;
            }
            Err(_) => return,
        }
        if received.is_empty() {
            // Frees the memory of a large head while the connection is idle.
            received = Vec::new();
        }
        // A client that pipelines requests never lets a read or a write wait.
        yield_now().await;
    }
    let deadline = Instant::now() + limits::LINGER_TIMEOUT;
    let _ = timeout_at(deadline, stream.close()).await;
}

/// Closes the sending side, then reads and discards what the client still sends: a reset could overtake the response
/// (RFC 9112 section 9.6).
async fn linger(state: &ServerState, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let discard = async {
        let _ = stream.close().await;
        let mut budget = limits::WEBHOOK_LINGER_BYTES;
        while budget > 0 {
            match state.read_buffer.read(stream, budget, <[u8]>::len).await {
                Ok(0) | Err(_) => return,
                Ok(len) => budget = budget.saturating_sub(len),
            }
        }
    };
    timeout_at(Instant::now() + limits::LINGER_TIMEOUT, discard).await;
}
