//! Connections by hand: what an HTTP client smooths over (a reset after the answer, a head in two
//! parts, a client that sends nothing) is what the tests of faults are about.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::WAIT_LIMIT;
use super::agent::Agent;
use super::http::{self, End, Response};
use super::observe::{Socket, sockets, until};
use super::ports;

impl Response {
    /// Holds what every answer owes: this status, and after its head a clean FIN.
    #[track_caller]
    pub fn assert_ended(&self, status: u16) {
        let text = String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(400)]);
        assert_eq!(
            self.code(),
            Some(status),
            "answered {text:?}, ended by {:?}",
            self.end
        );
        assert!(self.head().is_some(), "no whole head: {text:?}");
        assert_eq!(self.end, End::Fin, "after {text:?}");
    }

    /// Holds what the answer to a probe owes: that, and a length that is the body's.
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

    /// Holds that nothing came but the end.
    #[track_caller]
    pub fn assert_none(&self) {
        assert_eq!(
            String::from_utf8_lossy(&self.bytes),
            "",
            "an unexpected answer"
        );
        assert_ne!(self.end, End::Open, "neither answered nor closed");
    }
}

/// A connection to an address of this machine, small writes sent at once.
#[track_caller]
pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, WAIT_LIMIT).expect("the port accepts");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream
}

/// The same where the other side may reset it before it is seen as established.
#[track_caller]
pub fn connect_if_let(to: SocketAddr) -> Option<TcpStream> {
    match TcpStream::connect(to) {
        Ok(stream) => Some(stream),
        Err(e) if e.kind() == ErrorKind::ConnectionReset => None,
        Err(e) => panic!("the port accepts: {e}"),
    }
}

/// A connection on which these bytes were sent.
#[track_caller]
pub fn send(to: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(to);
    stream.write_all(bytes).expect("sent");
    stream
}

/// The head kubelet sends to the status port for this path.
pub fn get(path: &str) -> Vec<u8> {
    http::request("127.0.0.1:15020", path)
}

/// Requests a path as kubelet does, and reads to the end.
#[track_caller]
pub fn probe(agent: &Agent, path: &str) -> Response {
    exchange(agent.addr(), &get(path))
}

/// Sends bytes on a new connection and reads to its end.
#[track_caller]
pub fn exchange(to: SocketAddr, bytes: &[u8]) -> Response {
    http::exchange(to, bytes, WAIT_LIMIT).expect("the port accepts")
}

/// Reads until the other side ends the connection.
pub fn read_to_end(stream: &mut TcpStream) -> Response {
    http::read_to_end(stream, Instant::now(), WAIT_LIMIT)
}

/// What has become of a connection, without waiting; bytes that wait unread count as open.
pub fn state(stream: &TcpStream) -> End {
    match peek(stream) {
        Ok(0) => End::Fin,
        Ok(_) => End::Open,
        Err(e) if e.kind() == ErrorKind::WouldBlock => End::Open,
        Err(_) => End::Reset,
    }
}

/// Whether bytes wait unread.
pub fn has_bytes(stream: &TcpStream) -> bool {
    peek(stream).is_ok_and(|n| n > 0)
}

fn peek(stream: &TcpStream) -> std::io::Result<usize> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    peeked
}

/// Ends a connection by a reset.
pub fn reset(stream: TcpStream) {
    ports::reset(&stream);
}

/// Waits until the other sides have read all that was sent: what is sent next arrives separately.
#[track_caller]
pub fn until_read(streams: &[TcpStream]) {
    let ours: Vec<_> = streams
        .iter()
        .map(|s| s.local_addr().expect("connected"))
        .collect();
    until("the other side reads what was sent", || {
        // The other side's end, on this machine too: its remote address is ours.
        let unread = |s: &Socket| s.rx_queue > 0 && ours.contains(&s.remote);
        (!sockets().iter().any(unread)).then_some(())
    });
}
