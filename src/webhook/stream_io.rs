//! Reads and writes of streams, with deadlines. All connections read through one buffer, so an idle connection needs
//! no memory for it. A connection that never has to wait lets other tasks run, too.

use crate::limits;
use async_io::{Async, Timer};
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_rustls::server::TlsStream;
use smol::future;
use smol::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Instant;

/// A connection after its handshake.
pub type ServerStream = TlsStream<YieldingSocket<SharedSocket>>;

/// Bytes read at once: the plaintext of the largest TLS record (RFC 8446 section 5.1).
const READ_BYTES: usize = 16 * 1024;

/// A socket that lets other tasks run after `limits::WEBHOOK_READY_OPERATIONS` reads or writes that did not have to wait.
/// Without it a client that is faster than the webhook would keep the only thread: TLS records without data are read
/// in a loop that returns nothing.
#[derive(Debug)]
pub struct YieldingSocket<S> {
    socket: S,
    /// Reads and writes since one had to wait.
    ready: u32,
}

impl<S> YieldingSocket<S> {
    /// Wraps a socket.
    pub fn new(socket: S) -> YieldingSocket<S> {
        YieldingSocket { socket, ready: 0 }
    }

    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        operation: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.ready >= limits::WEBHOOK_READY_OPERATIONS {
            self.ready = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = operation(&mut self.socket, cx);
        self.ready = match polled {
            Poll::Ready(_) => self.ready + 1,
            Poll::Pending => 0,
        };
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for YieldingSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |socket, cx| Pin::new(socket).poll_read(cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for YieldingSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |socket, cx| Pin::new(socket).poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

/// The socket of a connection, which its task and the connection table share.
#[derive(Clone, Debug)]
pub struct SharedSocket(Rc<CountedSocket>);

#[derive(Debug)]
struct CountedSocket {
    socket: Async<TcpStream>,
    /// Reads that returned bytes, up to `limits::WEBHOOK_HANDSHAKE_READS`.
    reads: Cell<u32>,
}

impl SharedSocket {
    /// Shares a socket.
    pub fn new(socket: Async<TcpStream>) -> SharedSocket {
        SharedSocket(Rc::new(CountedSocket {
            socket,
            reads: Cell::new(0),
        }))
    }

    /// Whether bytes of a handshake have arrived that were not read yet. Not after
    /// [`WEBHOOK_HANDSHAKE_READS`](limits::WEBHOOK_HANDSHAKE_READS): a client that sends bytes one by one would have some
    /// at any time.
    pub fn has_input(&self) -> bool {
        let has_bytes = || matches!(self.0.socket.get_ref().peek(&mut [0]), Ok(1..));
        self.0.reads.get() < limits::WEBHOOK_HANDSHAKE_READS && has_bytes()
    }

    fn count_read(&self) {
        let reads = self.0.reads.get() + 1;
        self.0.reads.set(reads.min(limits::WEBHOOK_HANDSHAKE_READS));
    }
}

impl AsyncRead for SharedSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut &self.0.socket).poll_read(cx, buffer);
        if let Poll::Ready(Ok(1..)) = read {
            self.count_read();
        }
        read
    }
}

impl AsyncWrite for SharedSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &self.0.socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &self.0.socket).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &self.0.socket).poll_close(cx)
    }
}

/// The shared buffer. Nothing stays in it across a wait.
pub struct ReadBuffer(RefCell<Vec<u8>>);

impl ReadBuffer {
    /// Allocates the buffer.
    pub fn new() -> ReadBuffer {
        ReadBuffer(RefCell::new(vec![0; READ_BYTES]))
    }

    /// Reads once, at most `max_bytes`, and passes the bytes to `consume`: none at the end of the stream.
    ///
    /// # Errors
    /// The I/O error of the stream.
    pub async fn read<T>(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        max_bytes: usize,
        mut consume: impl FnMut(&[u8]) -> T,
    ) -> io::Result<T> {
        poll_fn(|cx| {
            let mut buffer = self.0.borrow_mut();
            let len = max_bytes.min(buffer.len());
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer[..len]) {
                Poll::Ready(Ok(len)) => Poll::Ready(Ok(consume(&buffer[..len]))),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// Writes and flushes all bytes.
///
/// # Errors
/// The I/O error of the stream.
pub async fn write_all(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// The output of `future`, unless `deadline` passes first.
pub async fn timeout_at<T>(deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    let timeout = async {
        Timer::at(deadline).await;
        None
    };
    future::or(async { Some(future.await) }, timeout).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{block_on, or};
    use smol::io::AsyncReadExt;

    #[test]
    fn a_stream_that_is_always_ready_lets_others_run_and_continues() {
        let bytes = 10 * limits::WEBHOOK_READY_OPERATIONS as usize;
        block_on(async {
            let mut stream = YieldingSocket::new(smol::io::repeat(7));
            let mut read = 0;
            let endless = async {
                loop {
                    stream.read_exact(&mut [0]).await.expect("a byte");
                    read += 1;
                }
            };
            or(endless, async {}).await;
            assert!(read > 0 && read < bytes);
            let mut stream = YieldingSocket::new(smol::io::sink());
            let endless = async {
                loop {
                    write_all(&mut stream, b"x").await.expect("a sink");
                }
            };
            or(endless, async {}).await;
            let mut all = vec![0; bytes];
            let stream = YieldingSocket::new(smol::io::repeat(7));
            stream
                .take(bytes as u64)
                .read_exact(&mut all)
                .await
                .expect("all bytes");
            assert!(all.iter().all(|byte| *byte == 7));
        });
    }
}
