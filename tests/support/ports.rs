//! Ports for one test: reserved for an agent (they refuse connections until it listens), with a full backlog, or
//! resetting connections.

use super::{WAIT_LIMIT, within};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, listen, socket_with,
    sockopt,
};
use std::net::{
    Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream,
};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A port that no other test gets: the kernel does not choose a port that is bound on any address, also for a socket with
/// `SO_REUSEADDR`. Its socket never listens, so connections are refused, and the agent can listen on it with
/// `SO_REUSEADDR`.
#[derive(Debug)]
pub struct Reserved {
    /// The port.
    pub port: u16,
    _bound: OwnedFd,
}

/// Reserves a port.
pub fn reserve() -> Reserved {
    let any6 = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
    let any4 = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    bound(any6).or_else(|_| bound(any4)).expect("a free port")
}

/// Reserves a given port in the network namespace of a test.
pub fn reserve_port(port: u16) -> Reserved {
    bound(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).expect("a namespace with IPv6")
}

fn bound(addr: SocketAddr) -> rustix::io::Result<Reserved> {
    let fd = tcp_socket(addr)?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, false)?;
    }
    sockopt::set_socket_reuseaddr(&fd, true)?;
    bind(&fd, &addr)?;
    let port = SocketAddr::try_from(getsockname(&fd)?)?.port();
    Ok(Reserved { port, _bound: fd })
}

/// A TCP socket of the family of this address.
///
/// # Errors
/// The kernel's.
pub fn tcp_socket(addr: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if addr.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        Some(ipproto::TCP),
    )
}

/// A port of 127.0.0.1 whose backlog is full: connecting neither succeeds nor fails.
#[derive(Debug)]
pub struct FullBacklog {
    /// The port.
    pub port: u16,
    _listener: OwnedFd,
    _filling: Vec<OwnedFd>,
}

/// Opens a port and fills its backlog.
pub fn full_backlog() -> FullBacklog {
    let local = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
    let listener = tcp_socket(local).expect("a socket");
    bind(&listener, &local).expect("a free port");
    listen(&listener, 0).expect("listening");
    let addr = getsockname(&listener)
        .and_then(SocketAddr::try_from)
        .expect("its address");
    let mut filling = Vec::new();
    // Linux queues backlog + 1 connections. A few more make sure that the queue is full.
    for _ in 0..4 {
        let fd = tcp_socket(addr).expect("a socket");
        rustix::io::ioctl_fionbio(&fd, true).expect("non-blocking");
        let _ = rustix::net::connect(&fd, &addr);
        filling.push(fd);
    }
    FullBacklog {
        port: addr.port(),
        _listener: listener,
        _filling: filling,
    }
}

/// A port of 127.0.0.1 that resets every connection after accepting it.
#[derive(Debug)]
pub struct Resetting {
    /// The port.
    pub port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Opens a port that resets each connection after `delay`. Without a delay the client may see the reset before or
/// after its connect succeeds.
pub fn resetting(delay: Duration) -> Resetting {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        for connection in listener.incoming() {
            if stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(connection) = connection else { continue };
            reset(&connection);
            let close_later = move || {
                std::thread::sleep(delay);
                drop(connection);
            };
            if delay.is_zero() {
                close_later();
            } else {
                std::thread::spawn(close_later);
            }
        }
    });
    Resetting {
        port,
        stop,
        thread: Some(thread),
    }
}

impl Drop for Resetting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until a port whose listener is closed refuses connections: a process that another test forks at this moment has a
/// copy of the listener until its exec. Returns whether that was in time.
pub fn wait_until_refused(addr: SocketAddr) -> bool {
    within(WAIT_LIMIT, || TcpStream::connect(addr).is_err())
}

/// Makes the close of a connection send a reset.
pub fn reset(connection: &TcpStream) {
    let _ = sockopt::set_socket_linger(connection, Some(Duration::ZERO));
}
