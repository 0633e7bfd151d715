//! Operations on a socket that never wait, for a connection that no task serves at the moment.

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

    /// Writes the bytes that fit.
    ///
    /// # Errors
    /// The kernel's; [`AGAIN`](rustix::io::Errno::AGAIN) if nothing fits.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        net::send(&self.fd, bytes, SendFlags::NOSIGNAL)
    }
}
