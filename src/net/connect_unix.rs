//! Connects a socket to an app at a UNIX address. Only `check` does.

use std::rc::Rc;

use rustix::io;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::reactor::Reactor;
use super::socket::Socket;

impl Socket {
    /// Connects to `to`, which needs no wait.
    ///
    /// # Errors
    /// The kernel's: no socket has this path, nothing listens on it, or its backlog is full ([`Errno::AGAIN`]).
    ///
    /// [`Errno::AGAIN`]: rustix::io::Errno::AGAIN
    pub fn connect_unix(reactor: &Rc<Reactor>, to: &SocketAddrUnix) -> io::Result<Socket> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        net::connect(&fd, to)?;
        Ok(Socket::new(reactor.clone(), fd))
    }
}
