//! Listening sockets: how both programs bind one, and how the agent accepts. Level-triggered: one accept for one event,
//! and no events while it is paused.

use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use rustix::io::{self, Errno};
use rustix::net::{self, SocketFlags, SocketType};

use super::reactor::{Key, Reactor};
use super::socket::{Socket, family_of};
use crate::limits;

/// Why a listener could not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindError {
    /// The address that was refused.
    pub addr: SocketAddr,
    /// The kernel's error.
    pub error: Errno,
}

/// A socket that listens. It is nonblocking and belongs to no reactor.
#[derive(Debug)]
pub struct BoundSocket {
    /// The socket.
    pub fd: OwnedFd,
    /// The address that it listens on; its port is 0 if that was requested.
    pub addr: SocketAddr,
}

/// What the kernel stores for a listener.
#[derive(Clone, Copy, Debug)]
pub struct KernelQueues {
    /// Connections until they are accepted.
    pub backlog: i32,
    /// Bytes that a connection has received until they are read; `None`: as many as the system allows.
    pub receive_buffer: Option<usize>,
}

/// Listens on `addr`, or on all addresses of both families; if the kernel has no IPv6, on all addresses of IPv4.
///
/// # Errors
/// The kernel's.
pub fn bind(
    addr: Option<IpAddr>,
    port: u16,
    queues: KernelQueues,
) -> Result<BoundSocket, BindError> {
    let all_v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let addr = addr.map_or(all_v6, |ip| SocketAddr::new(ip, port));
    match listen(addr, queues) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if addr == all_v6 => {
            let all_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            listen(all_v4, queues)
                .map(|fd| BoundSocket { fd, addr: all_v4 })
                .map_err(|error| BindError {
                    addr: all_v4,
                    error,
                })
        }
        result => result
            .map(|fd| BoundSocket { fd, addr })
            .map_err(|error| BindError { addr, error }),
    }
}

fn listen(addr: SocketAddr, queues: KernelQueues) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = net::socket_with(family_of(addr.ip()), SocketType::STREAM, flags, None)?;
    // Connections of the previous process in TIME_WAIT must not delay a restart.
    net::sockopt::set_socket_reuseaddr(&fd, true)?;
    if addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        net::sockopt::set_ipv6_v6only(&fd, false)?;
    }
    if let Some(bytes) = queues.receive_buffer {
        // Accepted sockets inherit it.
        net::sockopt::set_socket_recv_buffer_size(&fd, bytes)?;
    }
    net::bind(&fd, &addr)?;
    net::listen(&fd, queues.backlog)?;
    Ok(fd)
}

/// An accepted connection.
pub struct Accepted {
    /// The connection.
    pub socket: Socket,
    /// The address of the peer, IPv4 if it is IPv4-mapped.
    pub peer: IpAddr,
}

/// A listening socket of the agent's reactor.
pub struct Listener {
    fd: OwnedFd,
    key: Key,
    addr: SocketAddr,
    reactor: Rc<Reactor>,
}

impl Listener {
    /// Binds a socket as [`bind`] does, and accepts from it when `reactor` reports a connection.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind(
        reactor: &Rc<Reactor>,
        addr: Option<IpAddr>,
        port: u16,
        receive_buffer: Option<usize>,
    ) -> Result<Listener, BindError> {
        let queues = KernelQueues {
            backlog: limits::BACKLOG,
            receive_buffer,
        };
        let BoundSocket { fd, addr } = bind(addr, port, queues)?;
        let key = reactor.claim();
        reactor
            .set_listener_enabled(fd.as_fd(), key, true)
            .map_err(|error| BindError { addr, error })?;
        Ok(Listener {
            fd,
            key,
            addr,
            reactor: reactor.clone(),
        })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits for a connection and accepts it.
    ///
    /// # Errors
    /// The kernel's, such as [`Errno::MFILE`].
    pub async fn accept(&self) -> io::Result<Accepted> {
        loop {
            self.wait_readable().await;
            if let Some(accepted) = self.try_accept()? {
                return Ok(accepted);
            }
        }
    }

    /// Waits until a connection can be accepted.
    pub async fn wait_readable(&self) {
        poll_fn(|cx| self.reactor.poll_event(self.key, cx)).await;
    }

    /// Accepts a connection without waiting. `None` if there is none, or if its peer has closed it already.
    ///
    /// # Errors
    /// The kernel's, such as [`Errno::MFILE`].
    pub fn try_accept(&self) -> io::Result<Option<Accepted>> {
        match net::acceptfrom_with(&self.fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((fd, addr)) => {
                // The kernel knows the address of every TCP connection that it returns.
                let addr = addr.and_then(|addr| SocketAddr::try_from(addr).ok());
                let peer = addr.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |addr| addr.ip());
                Ok(Some(Accepted {
                    socket: Socket::new(self.reactor.clone(), fd),
                    peer: peer.to_canonical(),
                }))
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Disables events. The kernel queues connections until [`Listener::resume`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn pause(&self) -> io::Result<()> {
        self.set_enabled(false)
    }

    /// Enables events again.
    ///
    /// # Errors
    /// The kernel's.
    pub fn resume(&self) -> io::Result<()> {
        self.set_enabled(true)
    }

    fn set_enabled(&self, is_enabled: bool) -> io::Result<()> {
        self.reactor
            .set_listener_enabled(self.fd.as_fd(), self.key, is_enabled)
    }

    /// Waits after a failed accept: the listener stays ready, so an immediate retry would spin.
    pub async fn back_off(&self) {
        if self.pause().is_ok() {
            self.reactor
                .sleep_until(Instant::now() + limits::ACCEPT_BACKOFF)
                .await;
            // This cannot fail: the registration exists, so the kernel allocates nothing.
            let _ = self.resume();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.reactor.release(self.key);
    }
}
