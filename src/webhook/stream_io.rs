//! Reads and writes of streams, with deadlines. All connections read through one buffer, so an idle connection needs
//! no memory for it.

use async_io::{Async, Timer};
use core::cell::RefCell;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;
use futures_rustls::server::TlsStream;
use smol::future;
use smol::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use std::io;
use std::net::TcpStream;
use std::time::Instant;

/// A connection after its handshake.
pub type ServerStream = TlsStream<Async<TcpStream>>;

/// Bytes read at once: the plaintext of the largest TLS record (RFC 8446 section 5.1).
const READ_BYTES: usize = 16 * 1024;

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
