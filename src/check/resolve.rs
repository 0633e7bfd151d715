//! Resolves a host name. The system's resolver blocks and has no deadline, so it runs on a thread that is
//! abandoned when it takes too long.

use core::fmt;
use core::net::IpAddr;
use std::io;
use std::net::ToSocketAddrs;
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Why a name has no address.
#[derive(Debug)]
pub enum NoAddress {
    /// The resolver failed: it found no address, or could not be started.
    Resolver(io::Error),
    /// The resolver did not answer before the deadline.
    Deadline,
}

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAddress::Resolver(error) => write!(f, "{error}"),
            NoAddress::Deadline => f.write_str("the resolver did not answer in time"),
        }
    }
}

/// The addresses of a host, in the resolver's order; at least one.
///
/// # Errors
/// There is no address.
pub fn addresses(host: &str, deadline: Instant) -> Result<Vec<IpAddr>, NoAddress> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![address.to_canonical()]);
    }
    let name = Box::<str>::from(host);
    // The pipe closes when the thread ends; poll waits for this with a timeout. A channel is ten times the code.
    let (reader, writer) = io::pipe().map_err(NoAddress::Resolver)?;
    let run = move || {
        let found = look_up(&name);
        drop(writer);
        found
    };
    let resolver = thread::Builder::new().spawn(run);
    let resolver = resolver.map_err(NoAddress::Resolver)?;
    if !closes_before(&reader, deadline) {
        return Err(NoAddress::Deadline);
    }
    match resolver.join() {
        Ok(found) => found.map_err(NoAddress::Resolver),
        // It does not panic.
        Err(_) => Err(NoAddress::Deadline),
    }
}

fn closes_before(pipe: &io::PipeReader, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return false;
        };
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            ready => return ready.is_ok_and(|count| count > 0),
        }
    }
}

fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut list = Vec::new();
    for found in (name, 0).to_socket_addrs()? {
        let ip = found.ip().to_canonical();
        if !list.contains(&ip) {
            list.push(ip);
        }
    }
    match list.is_empty() {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(list),
    }
}
