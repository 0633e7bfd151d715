//! A connection to the app, over TLS or not.

use super::socket::Socket;
use super::stream_error::StreamError;
use super::tls::TlsStream;

/// A connection that requests go out on and answers come in by. Dropping it closes it.
pub enum Stream {
    /// Plaintext.
    Plain(Socket),
    /// TLS, after its handshake. Apart, since a slot has the size of its largest connection.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Whether TLS settled on HTTP/2 (RFC 7301, RFC 9113 section 3.2).
    pub fn chose_http2(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => tls.alpn() == Some(b"h2"),
        }
    }

    /// Reads once and hands over what came; nothing is the end.
    ///
    /// # Errors
    /// The kernel's, and what breaks TLS.
    pub async fn read_with<T>(&mut self, f: impl FnMut(&[u8]) -> T) -> Result<T, StreamError> {
        match self {
            Stream::Plain(socket) => Ok(socket.read_with(f).await?),
            Stream::Tls(tls) => tls.read_with(f).await,
        }
    }

    /// Writes what `fill` makes, as [`Socket::write_with`] does.
    ///
    /// # Errors
    /// The kernel's, and what breaks TLS.
    pub async fn write_with(
        &mut self,
        fill: impl Fn(&mut [u8], usize) -> usize,
    ) -> Result<(), StreamError> {
        match self {
            Stream::Plain(socket) => Ok(socket.write_with(fill).await?),
            Stream::Tls(tls) => tls.write_with(fill).await,
        }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// The kernel's, and what breaks TLS.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.write_with(|buf, sent| {
            let rest = &bytes[sent..];
            let len = rest.len().min(buf.len());
            buf[..len].copy_from_slice(&rest[..len]);
            len
        })
        .await
    }
}
