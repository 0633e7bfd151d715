//! A small blocking HTTP/1.1 client. It returns all bytes, and whether the server closed or reset the connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How the server ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A clean close.
    Fin,
    /// A reset.
    Reset,
    /// Neither in time.
    Open,
}

/// The received bytes, which need not be a valid response.
#[derive(Clone, Debug)]
pub struct Response {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// How the connection ended.
    pub end: End,
    /// The time from before the connect to the end.
    pub took: Duration,
}

impl Response {
    /// The status code, if the bytes begin with a status line.
    pub fn code(&self) -> Option<u16> {
        let line = self.bytes.strip_prefix(b"HTTP/1.1 ")?;
        std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
    }

    /// The head without its blank line, if it is complete.
    pub fn head(&self) -> Option<&str> {
        let end = self.bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        std::str::from_utf8(&self.bytes[..end]).ok()
    }

    /// The value of the first header field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head()?.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The bytes after the head.
    pub fn body(&self) -> &[u8] {
        self.head()
            .map_or(&[], |head| &self.bytes[head.len() + 4..])
    }

    /// Whether the body has the length of `Content-Length`.
    pub fn is_whole(&self) -> bool {
        self.field("content-length").and_then(|v| v.parse().ok()) == Some(self.body().len())
    }
}

/// The request that kubelet sends for a path of this host.
pub fn request(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kube-probe/1.37\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

/// Requests a path and reads to the end.
///
/// # Errors
/// Only if connecting fails.
pub fn get(to: SocketAddr, path: &str, time: Duration) -> std::io::Result<Response> {
    exchange(to, &request(&to.to_string(), path), time)
}

/// Sends bytes and reads to the end, for at most `time`.
///
/// # Errors
/// Only if connecting fails. A reset while sending is `End::Reset`.
pub fn exchange(to: SocketAddr, bytes: &[u8], time: Duration) -> std::io::Result<Response> {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&to, time)?;
    stream.set_nodelay(true)?;
    let sent = stream.write_all(bytes);
    let mut answer = read_to_end(&mut stream, start, time);
    // A write that fails with a reset clears the socket's error, so the next read returns 0.
    if sent.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset) {
        answer.end = End::Reset;
    }
    Ok(answer)
}

/// Reads to the end, or until `time` after `start`.
pub fn read_to_end(stream: &mut TcpStream, start: Instant, time: Duration) -> Response {
    let mut bytes = Vec::new();
    let mut part = [0; 16 * 1024];
    let end = loop {
        let left = time.saturating_sub(start.elapsed());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            break End::Open;
        }
        match stream.read(&mut part) {
            Ok(0) => break End::Fin,
            Ok(n) => bytes.extend_from_slice(&part[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break End::Open;
            }
            Err(_) => break End::Reset,
        }
    };
    Response {
        bytes,
        end,
        took: start.elapsed(),
    }
}
