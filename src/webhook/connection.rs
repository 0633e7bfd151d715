//! One connection: its handshake, then request after request.

use super::answer::Answer;
use super::exchange::{self, After};
use super::places::{Id, Phase};
use super::problem::Problem;
use super::shared::Shared;
use super::stream::{Tls, before, write};
use crate::limits;
use async_io::Async;
use smol::io::AsyncWriteExt;
use std::io;
use std::net::TcpStream;
use std::time::Instant;

/// The first byte of TLS: a handshake record.
const HANDSHAKE: u8 = 22;

/// Serves a connection until it ends.
pub async fn serve(shared: &Shared, socket: Async<TcpStream>, id: Id) {
    // A small answer is one write: waiting for more to send with it only costs time.
    let _ = socket.get_ref().set_nodelay(true);
    let deadline = Instant::now() + limits::WEBHOOK_HANDSHAKE_TIME;
    match before(deadline, handshake(shared, socket)).await {
        Some(Ok(Some(mut stream))) => requests(shared, &mut stream, id).await,
        Some(Ok(None)) => {}
        Some(Err(error)) => shared.note_handshake(&error.to_string()),
        None => shared.note_handshake("it took too long"),
    }
}

/// The handshake. Nothing is kept for a connection before its first byte, nor for one that goes without any.
async fn handshake(shared: &Shared, mut socket: Async<TcpStream>) -> io::Result<Option<Tls>> {
    let mut first = [0];
    match socket.peek(&mut first).await? {
        0 => Ok(None),
        _ if first[0] == HANDSHAKE => {
            let mut stream = shared.acceptor().accept(socket).await?;
            let most = Some(limits::WEBHOOK_TLS_BYTES);
            stream.get_mut().1.set_buffer_limit(most);
            Ok(Some(stream))
        }
        _ => {
            let answer = Answer::from(Problem::NotTls).bytes(true, true);
            write(&mut socket, &answer).await?;
            linger(shared, &mut socket).await;
            Err(io::Error::other("it does not speak TLS"))
        }
    }
}

async fn requests(shared: &Shared, stream: &mut Tls, id: Id) {
    let mut read = Vec::new();
    loop {
        if read.is_empty() {
            shared.places.enter(id, Phase::Idle);
            let idle = Instant::now() + limits::WEBHOOK_IDLE_TIME;
            let more = shared
                .scratch
                .read(stream, |bytes| read.extend_from_slice(bytes));
            match before(idle, more).await {
                Some(Ok(())) if !read.is_empty() => {}
                Some(Err(_)) => return,
                // The client has said all, or nothing for long.
                Some(Ok(())) | None => break,
            }
        }
        shared.places.enter(id, Phase::Head);
        match exchange::exchange(shared, stream, id, &mut read).await {
            Ok(After::Next) => {}
            Ok(After::Close) => break,
            Ok(After::Linger) => {
                linger(shared, stream).await;
                return;
            }
            Err(_) => return,
        }
        if read.is_empty() {
            // What a large head took is not kept while nothing comes.
            read = Vec::new();
        }
    }
    let late = Instant::now() + limits::LINGER_TIME;
    let _ = before(late, stream.close()).await;
}

/// Reads and throws away what the client still sends, so that the answer is not lost in a reset (RFC 9112
/// section 9.6).
async fn linger<S>(shared: &Shared, stream: &mut S)
where
    S: smol::io::AsyncRead + smol::io::AsyncWrite + Unpin,
{
    let work = async {
        let _ = stream.close().await;
        let mut room = limits::WEBHOOK_LINGER_BYTES;
        while room > 0 {
            match shared.scratch.read(stream, <[u8]>::len).await {
                Ok(0) | Err(_) => return,
                Ok(len) => room = room.saturating_sub(len),
            }
        }
    };
    before(Instant::now() + limits::LINGER_TIME, work).await;
}
