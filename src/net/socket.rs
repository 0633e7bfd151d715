//! A TCP connection. Every system call is tried first, and waits in epoll only if it would block.

use core::cell::Cell;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::{Context, Poll, ready};
use core::time::Duration;
#[cfg(feature = "tls")]
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::io::{self, Errno};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags};

use super::reactor::{Interest, Key, Reactor};

/// A connected, or connecting, TCP socket. Dropping it closes it.
pub struct Socket {
    pub(super) fd: OwnedFd,
    key: Cell<Option<Key>>,
    reactor: Rc<Reactor>,
}

impl Socket {
    pub(super) fn new(reactor: Rc<Reactor>, fd: OwnedFd) -> Socket {
        Socket {
            fd,
            key: Cell::new(None),
            reactor,
        }
    }

    /// Reads into `buf`. Returns 0 at EOF.
    ///
    /// # Errors
    /// The kernel's.
    pub fn poll_read(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let result = net::recv(&self.fd, &mut *buf, RecvFlags::empty()).map(|(len, _)| len);
        self.or_wait(result, Interest::Read, cx)
    }

    /// Writes the bytes that fit.
    ///
    /// # Errors
    /// The kernel's, those of connecting included.
    pub fn poll_write(&self, cx: &Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = net::send(&self.fd, buf, SendFlags::NOSIGNAL);
        self.or_wait(result, Interest::Write, cx)
    }

    /// Writes the bytes that fit of several slices, in order.
    ///
    /// # Errors
    /// The kernel's, those of connecting included.
    #[cfg(feature = "tls")]
    pub(super) fn poll_write_vectored(
        &self,
        cx: &Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.or_wait(self.try_write_vectored(pieces), Interest::Write, cx)
    }

    /// The same, without a wait: [`Errno::AGAIN`] when nothing fits.
    #[cfg(feature = "tls")]
    pub(super) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut control = net::SendAncillaryBuffer::default();
        net::sendmsg(&self.fd, pieces, &mut control, SendFlags::NOSIGNAL)
    }

    /// The reactor that the socket waits in.
    #[cfg(feature = "tls")]
    pub(super) fn reactor(&self) -> &Rc<Reactor> {
        &self.reactor
    }

    /// Reads into `buf`. Returns 0 at EOF.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buf)).await
    }

    /// Reads once into the shared buffer and passes the bytes to `f`; an empty slice means EOF. The buffer is free during
    /// a wait, so a connection that reads holds no memory.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn read_with<T>(&self, mut f: impl FnMut(&[u8]) -> T) -> io::Result<T> {
        poll_fn(|cx| {
            self.reactor.with_scratch(|buf| {
                let len = ready!(self.poll_read(cx, buf))?;
                Poll::Ready(Ok(f(&buf[..len])))
            })
        })
        .await
    }

    /// Writes all of `buf`.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let len = poll_fn(|cx| self.poll_write(cx, buf)).await?;
            buf = &buf[len..];
        }
        Ok(())
    }

    /// Writes a message of any length without storing it: `fill` receives the shared buffer and the number of bytes sent
    /// so far, and returns the number of bytes that it put in. A buffer that is not filled is the last one.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn write_with(&self, fill: impl Fn(&mut [u8], usize) -> usize) -> io::Result<()> {
        let mut sent = 0;
        loop {
            let written = poll_fn(|cx| {
                self.reactor.with_scratch(|buf| match fill(buf, sent) {
                    0 => Poll::Ready(Ok(Written::End)),
                    len => self.poll_write(cx, &buf[..len]).map_ok(|written| {
                        match written == len && len < buf.len() {
                            true => Written::End,
                            false => Written::Bytes(written),
                        }
                    }),
                })
            });
            match written.await? {
                Written::End => return Ok(()),
                Written::Bytes(len) => sent += len,
            }
        }
    }

    /// Waits until the peer has closed its side, or the connection has broken. Also returns if the descriptor cannot be
    /// registered with epoll (ENOMEM, ENOSPC).
    pub async fn wait_peer_closed(&self) {
        poll_fn(|cx| match self.key.get() {
            Some(key) if self.reactor.is_hung_up(key) => Poll::Ready(()),
            _ => self
                .register_and_wait(Interest::Read, cx)
                .map(|_: io::Result<()>| ()),
        })
        .await;
    }

    /// Ready once the connection has broken, by a reset or a TCP timeout; never at EOF. It uses the waker of the reader.
    pub fn poll_broken(&self, cx: &Context<'_>) -> Poll<Errno> {
        match self.key.get() {
            Some(key) if self.reactor.is_broken(key) => Poll::Ready(Errno::CONNRESET),
            _ => match self.register_and_wait::<()>(Interest::Read, cx) {
                Poll::Ready(Err(error)) => Poll::Ready(error),
                _ => Poll::Pending,
            },
        }
    }

    /// Disables Nagle's algorithm: with the reader's delayed acknowledgement it would delay forwarded bytes by 40 ms.
    pub fn set_nodelay(&self) {
        // It fails only on a connection that has already ended.
        let _ = net::sockopt::set_tcp_nodelay(&self.fd, true);
    }

    /// Limits the bytes that the kernel stores in each direction; it doubles them for its own overhead.
    #[cfg(feature = "tls")]
    pub fn set_buffers(&self, bytes: usize) {
        // They fail only on a connection that has already ended.
        let _ = net::sockopt::set_socket_recv_buffer_size(&self.fd, bytes);
        let _ = net::sockopt::set_socket_send_buffer_size(&self.fd, bytes);
    }

    /// Ends our side: the peer reads all bytes written, then EOF.
    pub fn shutdown(&self) {
        // It fails only if the peer has already closed.
        let _ = net::shutdown(&self.fd, net::Shutdown::Write);
    }

    /// Closes with a reset, so that the peer does not mistake it for EOF.
    pub fn reset(self) {
        self.reset_on_close();
    }

    fn reset_on_close(&self) {
        let _ = net::sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO));
    }

    /// The local address: the one that the peer connected to.
    pub fn local_ip(&self) -> Option<IpAddr> {
        let addr = SocketAddr::try_from(net::getsockname(&self.fd).ok()?).ok()?;
        Some(addr.ip().to_canonical())
    }

    /// The peer's address. `None` if the peer has reset the connection.
    pub fn peer_ip(&self) -> Option<IpAddr> {
        let addr = SocketAddr::try_from(net::getpeername(&self.fd).ok()??).ok()?;
        Some(addr.ip().to_canonical())
    }

    fn or_wait<T>(
        &self,
        result: io::Result<T>,
        interest: Interest,
        cx: &Context<'_>,
    ) -> Poll<io::Result<T>> {
        match result {
            Err(Errno::AGAIN | Errno::INTR) => self.register_and_wait(interest, cx),
            result => Poll::Ready(result),
        }
    }

    pub(super) fn register_and_wait<T>(
        &self,
        interest: Interest,
        cx: &Context<'_>,
    ) -> Poll<io::Result<T>> {
        let key = self.key.get().unwrap_or_else(|| self.reactor.claim());
        self.key.set(Some(key));
        match self
            .reactor
            .wake_on_event(self.fd.as_fd(), key, interest, cx)
        {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// The result of one write of a longer message.
enum Written {
    /// The message is complete.
    End,
    /// Number of bytes sent; more may follow.
    Bytes(usize),
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(key) = self.key.get() {
            self.reactor.release(key);
        }
        if self.reactor.resets_on_drop() {
            self.reset_on_close();
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub(super) fn family_of(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    }
}
