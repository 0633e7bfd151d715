//! Resources of the process: resident memory, and the limit of file descriptors.

use core::fmt;

use rustix::fs::{Mode, OFlags, open};

use crate::config::Config;
use crate::limits;
use crate::net::raise_descriptor_limit;

/// Standard streams (3), epoll (1), the read end of the signal socket and one write end per signal (3), a file being
/// read (1), a connection accepted to be reset (1).
const OWN_DESCRIPTORS: usize = 3 + 1 + 3 + 1 + 1;

/// Resident memory in bytes: `Rss` of `smaps_rollup`, because `VmRSS` lags by up to 64 pages a thread.
pub fn resident_bytes(buf: &mut [u8]) -> Option<u64> {
    let file = open(
        "/proc/self/smaps_rollup",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let len = rustix::io::read(file.ok()?, &mut *buf).ok()?;
    let text = core::str::from_utf8(&buf[..len]).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// How many connections may be open, as far as the limit of file descriptors permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotCapacity {
    /// Connections of the status port whose probe does not run.
    pub pool: usize,
    /// Requests that wait for each prober.
    pub waiting: usize,
    /// Connections of each forward.
    pub forward_connections: usize,
    /// Connections of all inbound ports, besides those in their handshake.
    pub inbound_connections: usize,
}

impl SlotCapacity {
    fn configured(config: &Config) -> SlotCapacity {
        SlotCapacity {
            pool: limits::POOL_CONNECTIONS + config.probers.len(),
            waiting: limits::WAITING_PER_PROBER,
            forward_connections: match config.forwards.is_empty() {
                true => 0,
                false => config.capacity.forward_connections,
            },
            inbound_connections: match config.inbounds.is_empty() {
                true => 0,
                false => config.capacity.inbound_connections,
            },
        }
    }

    /// Number of slots of the status port: the pool, and the slots of all probers.
    pub fn slots(&self, probers: usize) -> usize {
        self.pool + probers * limits::PROBES_PER_PROBER
    }

    /// A running probe and a forwarded connection need two descriptors each, all others one.
    fn descriptors(&self, probers: usize, forwards: usize) -> usize {
        let of_prober = 2 * limits::PROBES_PER_PROBER + self.waiting;
        self.pool
            + probers * of_prober
            + 2 * forwards * self.forward_connections
            + 2 * self.inbound_connections
    }
}

/// File descriptors are too few for the probers and forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewDescriptors {
    /// The limit.
    pub available: usize,
    /// The least that is enough.
    pub needed: usize,
}

impl fmt::Display for TooFewDescriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooFewDescriptors { available, needed } = self;
        write!(
            f,
            "{available} file descriptors are too few: raise the hard limit to {needed} or more (ulimit -Hn, or \
             LimitNOFILE of the container runtime's service)"
        )
    }
}

/// Raises the limit of file descriptors as far as the configuration needs it and the kernel permits. Returns the capacity
/// that fits the limit, and whether it is lower than the configured one.
///
/// # Errors
/// The limit is too low for any capacity.
pub fn fit_capacity(config: &Config) -> Result<(SlotCapacity, bool), TooFewDescriptors> {
    let configured = SlotCapacity::configured(config);
    let (probers, forwards) = (config.probers.len(), config.forwards.len());
    let own = own_descriptors(forwards, config.inbounds.len());
    let available = raise_descriptor_limit(own + configured.descriptors(probers, forwards));
    let fitted = fit_into(configured, probers, forwards, own, available)?;
    Ok((fitted, fitted != configured))
}

/// Descriptors besides those of [`SlotCapacity`]. A forward has a listener, and a new connection before the evicted one is
/// closed.
fn own_descriptors(forwards: usize, inbounds: usize) -> usize {
    let inbound = match inbounds {
        0 => 0,
        // A port has a listener, a new connection, and an evicted handshake that is not closed yet. All ports have
        // connections that wait for their handshakes, handshakes, one that is done, and an evicted connection to both
        // sides that is not closed yet.
        _ => 3 * inbounds + limits::INBOUND_WAITING + limits::INBOUND_HANDSHAKES + 1 + 2,
    };
    OWN_DESCRIPTORS + 1 + 2 * forwards + inbound
}

fn fit_into(
    mut capacity: SlotCapacity,
    probers: usize,
    forwards: usize,
    own: usize,
    available: usize,
) -> Result<SlotCapacity, TooFewDescriptors> {
    while own + capacity.descriptors(probers, forwards) > available {
        if !try_shrink(&mut capacity, probers, forwards) {
            return Err(TooFewDescriptors {
                available,
                needed: own + capacity.descriptors(probers, forwards),
            });
        }
    }
    Ok(capacity)
}

/// Takes one from the kind whose descriptors above its minimum are most. The minimum is a small pool, one connection of
/// each forward, one inbound connection, and no waiting requests. The slots of the probers stay. Returns false if all are
/// at their minimum.
fn try_shrink(capacity: &mut SlotCapacity, probers: usize, forwards: usize) -> bool {
    let SlotCapacity {
        pool,
        waiting,
        forward_connections,
        inbound_connections,
    } = capacity;
    let has_inbound = usize::from(*inbound_connections > 0);
    let kinds = [
        (pool, limits::POOL_CONNECTIONS_MIN, 1),
        (forward_connections, forwards.min(1), 2 * forwards),
        (waiting, 0, probers),
        (inbound_connections, has_inbound, 2),
    ];
    let most = kinds
        .into_iter()
        .max_by_key(|(count, least, each)| count.saturating_sub(*least) * each);
    match most {
        Some((count, least, _)) if *count > least => {
            *count -= 1;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: SlotCapacity = SlotCapacity {
        pool: 19,
        waiting: 8,
        forward_connections: 16,
        inbound_connections: 0,
    };

    #[test]
    fn the_capacity_fits_any_number_of_descriptors() {
        let needed = 12 + FULL.descriptors(3, 1);
        assert_eq!(fit_into(FULL, 3, 1, 12, needed), Ok(FULL));
        let least = 12 + limits::POOL_CONNECTIONS_MIN + 3 * 2 * limits::PROBES_PER_PROBER + 2;
        for available in least..needed {
            let fitted = fit_into(FULL, 3, 1, 12, available).expect("it fits");
            assert!(12 + fitted.descriptors(3, 1) <= available);
            assert!(fitted.pool >= limits::POOL_CONNECTIONS_MIN && fitted.forward_connections > 0);
        }
        let error = fit_into(FULL, 3, 1, 12, least - 1).expect_err("it does not fit");
        assert_eq!(error.needed, least);
    }

    #[test]
    fn an_inbound_port_needs_descriptors_of_new_and_of_evicted_connections() {
        let of_inbound = |count| own_descriptors(1, count) - own_descriptors(1, 0);
        let shared = limits::INBOUND_WAITING + limits::INBOUND_HANDSHAKES;
        assert_eq!(of_inbound(1), shared + 6);
        assert_eq!(of_inbound(3) - of_inbound(2), 3);
    }

    #[test]
    fn each_forward_keeps_one_connection() {
        let least = 12 + limits::POOL_CONNECTIONS_MIN + 2 * 8;
        let fitted = fit_into(FULL, 0, 8, 12, least).expect("it fits");
        assert_eq!(fitted.forward_connections, 1);
    }

    #[test]
    fn the_kernel_reports_resident_memory() {
        assert!(resident_bytes(&mut [0; 4096]).is_some_and(|bytes| bytes > 4096));
    }
}
