//! A listening socket. Level-triggered: one accept for one event, and silence while it is paused.

use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::Poll;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use rustix::io::{self, Errno};
use rustix::net::{self, SocketFlags, SocketType};

use super::Reactor;
use super::reactor::Key;
use super::socket::{Socket, family_of};
use crate::limits;

/// A listening TCP socket.
pub struct Listener {
    fd: OwnedFd,
    key: Key,
    addr: SocketAddr,
    reactor: Rc<Reactor>,
}

impl Listener {
    /// Listens on `addr`, or on all addresses of both families; where the kernel has no IPv6, on all
    /// of IPv4.
    ///
    /// # Errors
    /// The kernel's, and the address it was about.
    pub fn bind(
        reactor: &Rc<Reactor>,
        addr: Option<IpAddr>,
        port: u16,
    ) -> Result<Listener, (SocketAddr, Errno)> {
        let all_v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let addr = addr.map_or(all_v6, |ip| SocketAddr::new(ip, port));
        match listen(addr) {
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if addr == all_v6 => {
                let all_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
                listen(all_v4).map(|fd| (fd, all_v4))
            }
            result => result.map(|fd| (fd, addr)),
        }
        .and_then(|(fd, addr)| {
            let key = reactor.claim();
            let reactor = reactor.clone();
            reactor.listen(fd.as_fd(), key, true)?;
            Ok(Listener {
                fd,
                key,
                addr,
                reactor,
            })
        })
        .map_err(|error| (addr, error))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits for a connection and accepts it.
    ///
    /// # Errors
    /// The kernel's, such as [`Errno::MFILE`].
    pub async fn accept(&self) -> io::Result<Socket> {
        loop {
            self.waiting().await;
            if let Some(socket) = self.accept_now()? {
                return Ok(socket);
            }
        }
    }

    /// Waits until a connection can be accepted.
    pub async fn waiting(&self) {
        poll_fn(|cx| match self.reactor.take_event(self.key, cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Accepts a connection, if its peer has not gone away meanwhile.
    ///
    /// # Errors
    /// The kernel's, such as [`Errno::MFILE`].
    pub fn accept_now(&self) -> io::Result<Option<Socket>> {
        match net::accept_with(&self.fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(fd) => Ok(Some(Socket::new(self.reactor.clone(), fd))),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stops or resumes listening for events; the kernel goes on filling the backlog.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_paused(&self, paused: bool) -> io::Result<()> {
        self.reactor.listen(self.fd.as_fd(), self.key, !paused)
    }

    /// Waits out a failed accept: a listener that cannot accept stays ready, and would spin.
    pub async fn rest(&self) {
        if self.set_paused(true).is_ok() {
            self.reactor
                .sleep_until(Instant::now() + limits::ACCEPT_REST)
                .await;
            // What was paused can be resumed: the registration stands, so the kernel allocates nothing.
            let _ = self.set_paused(false);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.reactor.release(self.key);
    }
}

fn listen(addr: SocketAddr) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = net::socket_with(family_of(addr.ip()), SocketType::STREAM, flags, None)?;
    // A restarted agent must not wait for the connections of the one before to fade.
    net::sockopt::set_socket_reuseaddr(&fd, true)?;
    if addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        net::sockopt::set_ipv6_v6only(&fd, false)?;
    }
    net::bind(&fd, &addr)?;
    net::listen(&fd, limits::BACKLOG)?;
    Ok(fd)
}
