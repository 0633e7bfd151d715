//! Resources of the process: resident memory, and the limit of file descriptors.

use core::fmt;

use rustix::fs::{Mode, OFlags, open};

use crate::config::Capacity;
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

/// File descriptors are too few for one slot of each kind.
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

/// Raises the limit of file descriptors as far as `capacity` needs it and the kernel permits. Returns the
/// capacity that fits the limit, so that each accepted connection can also open one to the app.
///
/// # Errors
/// The limit is too low for any capacity.
pub fn fit_capacity(capacity: Capacity, forwards: usize) -> Result<Capacity, TooFewDescriptors> {
    // A forward has a listener, and a new connection before the evicted one is closed.
    let own = OWN_DESCRIPTORS + 1 + 2 * forwards;
    let wanted = own + descriptors(&capacity, forwards);
    let available = raise_descriptor_limit(wanted);
    fit_into(capacity, forwards, own, available)
}

fn fit_into(
    mut capacity: Capacity,
    forwards: usize,
    own: usize,
    available: usize,
) -> Result<Capacity, TooFewDescriptors> {
    while own + descriptors(&capacity, forwards) > available {
        if !try_shrink(&mut capacity, forwards) {
            return Err(TooFewDescriptors {
                available,
                needed: own + descriptors(&capacity, forwards),
            });
        }
    }
    Ok(capacity)
}

/// A connection in a reserve slot needs one descriptor, all others two.
fn descriptors(capacity: &Capacity, forwards: usize) -> usize {
    let forwarded = forwards * capacity.forward_connections;
    2 * (capacity.probes + capacity.hooks + forwarded) + capacity.reserve
}

/// Takes one slot from the kind that is furthest above its minimum; on a tie, probes keep theirs. The minimum is
/// one slot of each kind, and one connection of each forward. Returns false if all are at their minimum.
fn try_shrink(capacity: &mut Capacity, forwards: usize) -> bool {
    let Capacity {
        probes,
        hooks,
        reserve,
        forward_connections,
    } = capacity;
    let kinds = [
        (probes, 1),
        (forward_connections, forwards.min(1)),
        (hooks, 1),
        (reserve, 1),
    ];
    let most = kinds
        .into_iter()
        .max_by_key(|(slots, least)| slots.saturating_sub(*least));
    match most {
        Some((slots, least)) if *slots > least => {
            *slots -= 1;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Capacity = Capacity {
        probes: 32,
        hooks: 4,
        reserve: 4,
        forward_connections: 16,
    };

    #[test]
    fn the_capacity_fits_any_number_of_descriptors() {
        let needed = 12 + descriptors(&FULL, 1);
        assert_eq!(fit_into(FULL, 1, 12, needed), Ok(FULL));
        for available in 19..needed {
            let fitted = fit_into(FULL, 1, 12, available).expect("one slot of each kind fits");
            assert!(12 + descriptors(&fitted, 1) <= available);
            assert!(fitted.probes >= fitted.forward_connections && fitted.probes >= fitted.hooks);
            assert!(fitted.hooks > 0 && fitted.reserve > 0 && fitted.forward_connections > 0);
        }
    }

    #[test]
    fn each_forward_keeps_one_connection() {
        let fitted = fit_into(FULL, 8, 27, 27 + 2 * 10 + 1).expect("it fits");
        assert_eq!((fitted.probes, fitted.forward_connections), (1, 1));
    }

    #[test]
    fn too_few_for_one_slot_of_each_kind_are_an_error() {
        assert_eq!(
            fit_into(FULL, 1, 12, 18),
            Err(TooFewDescriptors {
                available: 18,
                needed: 19
            })
        );
    }

    #[test]
    fn without_forwards_no_descriptor_is_reserved_for_them() {
        let none = Capacity {
            forward_connections: 0,
            ..FULL
        };
        let fitted = fit_into(none, 0, 11, 32).expect("it fits");
        assert_eq!((fitted.forward_connections, fitted.reserve > 0), (0, true));
    }

    #[test]
    fn the_kernel_reports_resident_memory() {
        assert!(resident_bytes(&mut [0; 4096]).is_some_and(|bytes| bytes > 4096));
    }
}
