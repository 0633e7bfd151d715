//! Connects to the addresses of a name: each attempt starts 250 ms after the one before, or when that one has failed, and
//! the first that connects counts (RFC 8305).

use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::pin::pin;
use core::task::Poll;
use std::rc::Rc;
use std::time::Instant;

use super::super::watch::Watch;
use crate::limits;
use crate::net::{Elapsed, Reactor, Socket};
use crate::probe::Failure;

/// Connects to the first address that accepts the connection.
///
/// # Errors
/// The failure of the last attempt that failed.
pub async fn connect(
    reactor: &Rc<Reactor>,
    watch: &Watch,
    source: Option<IpAddr>,
    port: u16,
    addresses: &[IpAddr],
) -> Result<(IpAddr, Socket), Failure> {
    let mut waiting = alternate(addresses).into_iter().peekable();
    let mut attempts: Vec<(IpAddr, Socket)> = Vec::new();
    let mut failure = Failure::AddressNotAvailable;
    let mut next_at = Instant::now();
    loop {
        let is_due = attempts.is_empty() || Instant::now() >= next_at;
        if let Some(address) = waiting.next_if(|_| is_due) {
            let app = SocketAddr::new(address, port);
            watch.on_attempt(app);
            match Socket::start_connect(reactor, app, source) {
                Ok(socket) => attempts.push((address, socket)),
                Err(error) => {
                    failure = error.into();
                    continue;
                }
            }
            next_at = Instant::now() + limits::CONNECTION_ATTEMPT_DELAY;
        }
        if attempts.is_empty() {
            return Err(failure);
        }
        let ended = poll_fn(|cx| {
            for (index, (_, socket)) in attempts.iter().enumerate() {
                if let Poll::Ready(result) = socket.poll_connected(cx) {
                    return Poll::Ready((index, result));
                }
            }
            Poll::Pending
        });
        let ended = match waiting.peek() {
            Some(_) => reactor.timeout_at(next_at, pin!(ended)).await,
            None => Ok(ended.await),
        };
        match ended {
            Err(Elapsed) => {}
            Ok((index, Ok(()))) => return Ok(attempts.swap_remove(index)),
            Ok((index, Err(error))) => {
                attempts.remove(index);
                failure = error.into();
                next_at = Instant::now();
            }
        }
    }
}

/// Alternates between the versions of IP, each in the order of the resolver (RFC 8305 section 4).
fn alternate(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else {
        return Vec::new();
    };
    let is_first = |ip: &&IpAddr| ip.is_ipv4() == first.is_ipv4();
    let mut same = addresses.iter().filter(is_first);
    let mut other = addresses.iter().filter(|ip| !is_first(ip));
    let mut list = Vec::with_capacity(addresses.len());
    while list.len() < addresses.len() {
        list.extend(same.next());
        list.extend(other.next());
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_ip_alternate() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let all = ["::1", "::2", "::3", "10.0.0.1", "10.0.0.2"].map(ip);
        let expected = ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"].map(ip);
        assert_eq!(alternate(&all), expected);
        assert_eq!(alternate(&all[..2]), all[..2]);
        assert!(alternate(&[]).is_empty());
    }
}
