//! Operations on a socket that never wait, for a connection that no task serves at the moment, and for inbound ports.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io;
use rustix::net::{self, SendFlags};
use rustix::time::Timespec;

use super::socket::Socket;

impl Socket {
    /// Whether the peer has closed its side, or the connection has broken, also if there are unread bytes.
    pub fn is_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::RDHUP)];
        let is_ready = poll(&mut fds, Some(&Timespec::default())).is_ok_and(|count| count > 0);
        // Besides RDHUP these are HUP, ERR and NVAL.
        is_ready && !fds[0].revents().is_empty()
    }

    /// Whether a third of the send buffer is free: the kernel's rule for an event.
    #[cfg(feature = "tls")]
    pub fn is_writable(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|count| count > 0)
    }

    /// Limits the received bytes that the kernel stores; it doubles them for its own overhead.
    #[cfg(feature = "tls")]
    pub fn set_receive_buffer(&self, bytes: usize) {
        // It fails only on a connection that has already ended.
        let _ = net::sockopt::set_socket_recv_buffer_size(&self.fd, bytes);
    }

    /// Limits the bytes to send that the kernel stores; it doubles them for its own overhead.
    #[cfg(feature = "tls")]
    pub fn set_send_buffer(&self, bytes: usize) {
        // It fails only on a connection that has already ended.
        let _ = net::sockopt::set_socket_send_buffer_size(&self.fd, bytes);
    }

    /// Writes the bytes that fit.
    ///
    /// # Errors
    /// The kernel's; [`AGAIN`](rustix::io::Errno::AGAIN) if nothing fits.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        net::send(&self.fd, bytes, SendFlags::NOSIGNAL)
    }
}
