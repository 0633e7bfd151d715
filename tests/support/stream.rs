//! The server's side of a connection, in plaintext or TLS, with each way to end it.

use super::WAIT_LIMIT;
use super::ports::reset;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The TLS configuration of a port. None is plaintext.
pub type ServerTls = Option<Arc<ServerConfig>>;

/// An accepted connection.
#[derive(Debug)]
pub enum ServerStream {
    /// Plaintext.
    Plain(TcpStream),
    /// TLS, after the handshake.
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl ServerStream {
    /// Completes the handshake, if the port has TLS.
    ///
    /// # Errors
    /// If the handshake fails. The client has received an alert.
    pub fn open(tcp: TcpStream, server_tls: &ServerTls) -> Result<Self> {
        tcp.set_nodelay(true)?;
        let Some(config) = server_tls else {
            return Ok(ServerStream::Plain(tcp));
        };
        tcp.set_read_timeout(Some(WAIT_LIMIT))?;
        let connection = ServerConnection::new(config.clone()).map_err(Error::other)?;
        let mut stream = Box::new(StreamOwned::new(connection, tcp));
        while stream.conn.is_handshaking() {
            let StreamOwned { conn, sock } = &mut *stream;
            if let Err(e) = conn.complete_io(sock) {
                // Closing with unread bytes would send a reset, in which the alert is lost.
                linger(sock);
                return Err(e);
            }
        }
        Ok(ServerStream::Tls(stream))
    }

    /// The TCP connection.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            ServerStream::Plain(tcp) => tcp,
            ServerStream::Tls(stream) => &stream.sock,
        }
    }

    /// Ends the server's bytes: close_notify in TLS, then a FIN.
    pub fn end(&mut self) {
        if let ServerStream::Tls(stream) = self {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        self.hang_up();
    }

    /// Sends a FIN without close_notify.
    pub fn hang_up(&mut self) {
        let _ = self.tcp().shutdown(Shutdown::Write);
    }

    /// Resets the connection.
    pub fn reset(self) {
        reset(self.tcp());
    }

    /// Sends bytes outside TLS, as a host between the peers can.
    pub fn write_outside_tls(&mut self, bytes: &[u8]) -> Result<()> {
        let mut tcp = self.tcp();
        tcp.write_all(bytes)
    }

    /// Waits for the client to close and discards what it sends. Returns whether it closed in time.
    pub fn wait_for_close(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut ignored = [0; 4096];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.tcp().set_read_timeout(Some(left)).is_err() {
                return false;
            }
            match self.read(&mut ignored) {
                Ok(0) => return self.wait_for_fin(end),
                Err(e) if is_wait(&e) => {}
                Err(_) => return true,
                Ok(_) => {}
            }
        }
    }

    /// Waits for the client's FIN after its close_notify. A FIN from this side at once would look to Go's client, which
    /// is about to close, like the end of a body.
    fn wait_for_fin(&self, end: Instant) -> bool {
        let mut ignored = [0; 4096];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.tcp().set_read_timeout(Some(left)).is_err() {
                return false;
            }
            let mut tcp = self.tcp();
            match tcp.read(&mut ignored) {
                Ok(n) if n > 0 => {}
                Err(e) if is_wait(&e) => {}
                _ => return true,
            }
        }
    }
}

/// Whether the error is a timeout or an interruption.
pub fn is_wait(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// Sends a FIN and reads to the client's.
fn linger(tcp: &mut TcpStream) {
    let _ = tcp.shutdown(Shutdown::Write);
    let _ = tcp.set_read_timeout(Some(Duration::from_secs(2)));
    let mut ignored = [0; 4096];
    while tcp.read(&mut ignored).is_ok_and(|n| n > 0) {}
}

impl Read for ServerStream {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        match self {
            ServerStream::Plain(tcp) => tcp.read(bytes),
            ServerStream::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for ServerStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            ServerStream::Plain(tcp) => tcp.write(bytes),
            ServerStream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            ServerStream::Plain(tcp) => tcp.flush(),
            ServerStream::Tls(stream) => stream.flush(),
        }
    }
}
