//! Raw connections, for what an HTTP client hides: a reset after the response, a head in two parts, a client that
//! sends nothing.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use super::WAIT_LIMIT;
use super::agent::Agent;
use super::http::{self, End, Response};
use super::observe::{Socket, sockets, until};
use super::ports;

impl Response {
    /// Asserts the status and a clean FIN after the head.
    #[track_caller]
    pub fn assert_ended(&self, status: u16) {
        let text = String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(400)]);
        assert_eq!(
            self.code(),
            Some(status),
            "response {text:?}, ended by {:?}",
            self.end
        );
        assert!(self.head().is_some(), "no complete head: {text:?}");
        assert_eq!(self.end, End::Fin, "after {text:?}");
    }

    /// Asserts the status, a clean FIN, and a body of the announced length.
    #[track_caller]
    pub fn assert_is(&self, status: u16) {
        self.assert_ended(status);
        // These two have no body, and 204 must not announce one (RFC 9110 section 8.6).
        let has_none = matches!(status, 204 | 304) && self.body().is_empty();
        assert!(
            has_none || self.is_whole(),
            "not as long as announced: {:?}",
            self.head()
        );
    }

    /// Asserts that the connection ended without a byte.
    #[track_caller]
    pub fn assert_none(&self) {
        assert_eq!(
            String::from_utf8_lossy(&self.bytes),
            "",
            "an unexpected response"
        );
        assert_ne!(self.end, End::Open, "neither a response nor a close");
    }
}

/// Connects to an address of this machine, with TCP_NODELAY.
#[track_caller]
pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, WAIT_LIMIT).expect("the port accepts");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream
}

/// Starts a thread that keeps connections which send nothing, and opens more until the port refuses one. The server may end
/// each after a while.
pub fn connect_until_refused(to: SocketAddr) -> JoinHandle<()> {
    spawn(move || {
        let mut idle = Vec::new();
        loop {
            match TcpStream::connect(to) {
                Ok(stream) => idle.push(stream),
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => return,
                Err(_) => {}
            }
            sleep(Duration::from_millis(100));
        }
    })
}

/// Connects from this address of the loopback network, whose addresses are all of this machine.
///
/// # Errors
/// The kernel's, also if the server has reset the connection at once.
pub fn connect_from(from: impl Into<IpAddr>, to: SocketAddr) -> std::io::Result<TcpStream> {
    let from = SocketAddr::new(from.into(), 0);
    let fd = ports::tcp_socket(from)?;
    rustix::net::bind(&fd, &from)?;
    rustix::net::connect(&fd, &to)?;
    let stream = TcpStream::from(fd);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects to a server that may reset the connection at once. Returns None in that case.
#[track_caller]
pub fn connect_unless_reset(to: SocketAddr) -> Option<TcpStream> {
    match TcpStream::connect(to) {
        Ok(stream) => Some(stream),
        Err(e) if e.kind() == ErrorKind::ConnectionReset => None,
        Err(e) => panic!("the port accepts: {e}"),
    }
}

/// Connects and sends these bytes.
#[track_caller]
pub fn send(to: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(to);
    stream.write_all(bytes).expect("sent");
    stream
}

/// The request that kubelet sends to the status port for this path.
pub fn get(path: &str) -> Vec<u8> {
    http::request("127.0.0.1:15020", path)
}

/// Requests a path like kubelet and reads to the end.
#[track_caller]
pub fn probe(agent: &Agent, path: &str) -> Response {
    exchange(agent.addr(), &get(path))
}

/// Sends bytes on a new connection and reads to the end.
#[track_caller]
pub fn exchange(to: SocketAddr, bytes: &[u8]) -> Response {
    http::exchange(to, bytes, WAIT_LIMIT).expect("the port accepts")
}

/// Reads until the server ends the connection.
pub fn read_to_end(stream: &mut TcpStream) -> Response {
    http::read_to_end(stream, Instant::now(), WAIT_LIMIT)
}

/// The state of a connection, without waiting. With unread bytes it counts as open.
pub fn state(stream: &TcpStream) -> End {
    match peek(stream) {
        Ok(0) => End::Fin,
        Ok(_) => End::Open,
        Err(e) if e.kind() == ErrorKind::WouldBlock => End::Open,
        Err(_) => End::Reset,
    }
}

/// Whether there are unread bytes.
pub fn has_bytes(stream: &TcpStream) -> bool {
    peek(stream).is_ok_and(|n| n > 0)
}

fn peek(stream: &TcpStream) -> std::io::Result<usize> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    peeked
}

/// Resets a connection.
pub fn reset(stream: TcpStream) {
    ports::reset(&stream);
}

/// Waits until the peers have read all sent bytes, so that the next bytes arrive separately.
#[track_caller]
pub fn until_read(streams: &[TcpStream]) {
    // The agent may have reset one, which then has no peer.
    let ends = |s: &TcpStream| Some((s.peer_addr().ok()?, s.local_addr().ok()?));
    let peers: Vec<_> = streams.iter().filter_map(ends).collect();
    until("the other side reads what was sent", || {
        // The peers' sockets are on this machine. Connections of other tests to other ports may have our local address.
        let unread = |s: &Socket| s.rx_queue > 0 && peers.contains(&(s.local, s.remote));
        (!sockets().iter().any(unread)).then_some(())
    });
}
