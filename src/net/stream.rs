//! A connection to the app, over TLS or not.

use super::socket::Socket;
use super::stream_error::StreamError;
use super::tls::TlsStream;

/// A connection to the app. Dropping it closes it.
pub enum Stream {
    /// Plaintext.
    Plain(Socket),
    /// TLS, after its handshake. Boxed, because every slot has the size of the largest variant.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Whether TLS negotiated HTTP/2 (RFC 7301, RFC 9113 section 3.2).
    pub fn chose_http2(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => tls.alpn() == Some(b"h2"),
        }
    }

    /// Reads once and passes the bytes to `f`; an empty slice means EOF.
    ///
    /// # Errors
    /// The kernel's, and faults of TLS.
    pub async fn read_with<T>(&mut self, f: impl FnMut(&[u8]) -> T) -> Result<T, StreamError> {
        match self {
            Stream::Plain(socket) => Ok(socket.read_with(f).await?),
            Stream::Tls(tls) => tls.read_with(f).await,
        }
    }

    /// Writes the message that `fill` puts in, as [`Socket::write_with`] does.
    ///
    /// # Errors
    /// The kernel's, and faults of TLS.
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
    /// The kernel's, and faults of TLS.
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
