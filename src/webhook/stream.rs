//! A TLS stream that is read through one buffer which all connections share, so that idle ones have none.

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

/// A connection whose handshake is done.
pub type Tls = TlsStream<Async<TcpStream>>;

/// Bytes read at once: what a TLS record holds at most.
const SCRATCH_BYTES: usize = 16 * 1024;

/// The buffer; nothing stays in it across a wait.
pub struct Scratch(RefCell<Vec<u8>>);

impl Scratch {
    /// A new one.
    pub fn new() -> Scratch {
        Scratch(RefCell::new(vec![0; SCRATCH_BYTES]))
    }

    /// Reads, and hands over what came; nothing at the end of the stream.
    ///
    /// # Errors
    /// The stream's.
    pub async fn read<T>(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        mut take: impl FnMut(&[u8]) -> T,
    ) -> io::Result<T> {
        poll_fn(|cx| {
            let mut scratch = self.0.borrow_mut();
            match Pin::new(&mut *stream).poll_read(cx, &mut scratch) {
                Poll::Ready(Ok(len)) => Poll::Ready(Ok(take(&scratch[..len]))),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// Writes all of it.
///
/// # Errors
/// The stream's.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// What comes of a future that is done in time.
pub async fn before<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::at(deadline).await;
        None
    };
    future::or(async { Some(work.await) }, late).await
}
