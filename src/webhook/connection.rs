//! One connection: its TLS handshake, then its requests in turn.

use super::client_ca::VerifiedBy;
use super::connection_table::{ConnectionId, Phase};
use super::handler;
use super::http_error::HttpError;
use super::response::{AfterResponse, BodyMode, Response};
use super::server_state::ServerState;
use super::stream_io::{ServerStream, timeout_at, write_all};
use crate::limits;
use async_io::Async;
use smol::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use std::io;
use std::net::{IpAddr, TcpStream};
use std::time::Instant;

/// `ContentType` of a handshake record (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// Serves a connection until it ends.
pub async fn serve(
    state: &ServerState,
    socket: Async<TcpStream>,
    client: IpAddr,
    id: ConnectionId,
) {
    // A response is one write, so Nagle's algorithm would only delay its end.
    let _ = socket.get_ref().set_nodelay(true);
    let deadline = Instant::now() + limits::WEBHOOK_HANDSHAKE_TIMEOUT;
    match timeout_at(deadline, handshake(state, socket)).await {
        Some(Ok(Some(mut stream))) => serve_requests(state, &mut stream, client, id).await,
        Some(Ok(None)) => {}
        Some(Err(error)) => {
            state.observe_cert_rejection(&error);
            state.record_handshake_failure(client, &error);
        }
        None => {
            let seconds = limits::WEBHOOK_HANDSHAKE_TIMEOUT.as_secs();
            let error =
                format_args!("the client did not complete the handshake within {seconds} s");
            state.record_handshake_failure(client, &error);
        }
    }
}

/// Runs the handshake; `None` if the client closed without a byte. Before the first byte no TLS state is allocated.
async fn handshake(
    state: &ServerState,
    mut socket: Async<TcpStream>,
) -> io::Result<Option<ServerStream>> {
    let mut first = [0];
    match socket.peek(&mut first).await? {
        0 => Ok(None),
        _ if first[0] == HANDSHAKE => {
            state.reload_cert();
            state.reload_client_ca();
            let mut stream = state.acceptor().accept(socket).await?;
            let limit = Some(limits::WEBHOOK_TLS_BUFFER_BYTES);
            stream.get_mut().1.set_buffer_limit(limit);
            Ok(Some(stream))
        }
        _ => {
            let response = Response::from(HttpError::NotTls);
            let response = response.encode(BodyMode::Include, AfterResponse::Close);
            write_all(&mut socket, &response).await?;
            linger(state, &mut socket).await;
            Err(io::Error::other("the client does not speak TLS"))
        }
    }
}

async fn serve_requests(
    state: &ServerState,
    stream: &mut ServerStream,
    client: IpAddr,
    id: ConnectionId,
) {
    let (mut received, mut verified_by) = (Vec::new(), VerifiedBy::default());
    loop {
        if received.is_empty() {
            state.connections.set_phase(id, Phase::Idle);
            let deadline = Instant::now() + limits::WEBHOOK_IDLE_TIMEOUT;
            let read = state
                .read_buffer
                .read(stream, |bytes| received.extend_from_slice(bytes));
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
            match state.read_buffer.read(stream, <[u8]>::len).await {
                Ok(0) | Err(_) => return,
                Ok(len) => budget = budget.saturating_sub(len),
            }
        }
    };
    timeout_at(Instant::now() + limits::LINGER_TIMEOUT, discard).await;
}
