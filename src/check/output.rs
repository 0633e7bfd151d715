//! Standard output and standard error that are waited for only until a deadline: the reader of a pipe may be hung.

use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio;

/// Bytes that a pipe takes without a wait when it is ready (POSIX: `PIPE_BUF`).
const PIPE_BYTES: usize = 4096;

/// An output that is waited for until a deadline. After it, bytes are written only if that needs no wait.
pub struct DeadlineOutput {
    fd: BorrowedFd<'static>,
    until: Instant,
}

impl DeadlineOutput {
    /// Standard output.
    pub fn stdout(until: Instant) -> DeadlineOutput {
        let fd = stdio::stdout();
        DeadlineOutput { fd, until }
    }

    /// Standard error.
    pub fn stderr(until: Instant) -> DeadlineOutput {
        let fd = stdio::stderr();
        DeadlineOutput { fd, until }
    }

    fn wait(&self) -> io::Result<()> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
            match poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], Some(&timeout)) {
                Err(Errno::INTR) => {}
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Write for DeadlineOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait()?;
        let len = bytes.len().min(PIPE_BYTES);
        Ok(rustix::io::write(self.fd, &bytes[..len])?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line in as few calls as possible.
pub fn write_line(output: &mut dyn Write, text: impl core::fmt::Display) {
    // Nothing can be done about a closed output.
    let _ = output.write_all(format!("{text}\n").as_bytes());
}
