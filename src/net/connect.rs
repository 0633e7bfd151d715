//! Connects a socket to an app.

use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::{Context, Poll};
use std::rc::Rc;

use rustix::io::{self, Errno};
use rustix::net::{self, SocketFlags, SocketType};

use super::reactor::{Interest, Reactor};
use super::socket::{Socket, family_of};

impl Socket {
    /// Starts to connect to `to`, from the address `from` if there is one. The first write waits for the connection.
    ///
    /// # Errors
    /// Immediate ones of `socket`, `bind` and `connect`.
    pub fn start_connect(
        reactor: &Rc<Reactor>,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> io::Result<Socket> {
        Socket::start_connect_with(reactor, to, from, None)
    }

    /// The same with send and receive buffers of `buffers` bytes. They are set before the connection: the kernel drops
    /// segments for which it has announced a larger window, and the peer sends them again after 200 ms and more.
    ///
    /// # Errors
    /// Immediate ones of `socket`, `bind` and `connect`.
    pub fn start_connect_with(
        reactor: &Rc<Reactor>,
        to: SocketAddr,
        from: Option<IpAddr>,
        buffers: Option<usize>,
    ) -> io::Result<Socket> {
        let family = family_of(to.ip());
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = net::socket_with(family, SocketType::STREAM, flags, None)?;
        if let Some(bytes) = buffers {
            net::sockopt::set_socket_recv_buffer_size(&fd, bytes)?;
            net::sockopt::set_socket_send_buffer_size(&fd, bytes)?;
        }
        if let Some(from) = from {
            net::bind(&fd, &SocketAddr::new(from, 0))?;
        }
        // While the kernel keeps the connection's local port, for a minute after its end, the app can listen on it: a restart
        // of an app with a port such as 50000 must not fail. Not before `bind`, which would then share a port with such a
        // connection to the same peer.
        net::sockopt::set_socket_reuseaddr(&fd, true)?;
        match net::connect(&fd, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Socket::new(reactor.clone(), fd)),
            Err(error) => Err(error),
        }
    }

    /// Waits until the connection is established.
    ///
    /// # Errors
    /// The kernel's, such as [`Errno::CONNREFUSED`]. After [`Errno::CONNRESET`] and [`Errno::PIPE`] the connection was
    /// established and ended before this call.
    pub async fn wait_connected(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_connected(cx)).await
    }

    /// As [`wait_connected`](Self::wait_connected).
    ///
    /// # Errors
    /// The same.
    pub fn poll_connected(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if let Err(error) = net::sockopt::socket_error(&self.fd)? {
            return Poll::Ready(Err(error));
        }
        match net::getpeername(&self.fd) {
            Err(Errno::NOTCONN) => self.register_and_wait(Interest::Write, cx),
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
