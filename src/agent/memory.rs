//! What the kernel counts as ours, and how many descriptors it lets us have.

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Capacity;

/// Standard streams, epoll, our end of the signal pair and the other's copy for each signal, one to
/// read a file by, and one for a connection that is accepted only to be reset.
const OWN_DESCRIPTORS: usize = 3 + 1 + 3 + 1 + 1;

/// Resident bytes, by `Rss` of `smaps_rollup`: `VmRSS` lags behind by up to 64 pages a thread.
pub fn resident(buf: &mut [u8]) -> Option<u64> {
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

/// Raises the descriptor limit as far as `capacity` needs it and the kernel allows, and lowers the
/// capacity to what is left, so that a connection which was accepted never lacks one to the app.
///
/// # Errors
/// How many descriptors there are and how many are needed at least.
pub fn fit(capacity: Capacity, listeners: usize) -> Result<Capacity, (usize, usize)> {
    let own = OWN_DESCRIPTORS + listeners;
    let wanted = own + descriptors(&capacity);
    let limit = getrlimit(Resource::Nofile);
    let number = |limit: Option<u64>| limit.map_or(usize::MAX, |n| n as usize);
    let mut available = number(limit.current);
    if available < wanted {
        let raised = wanted.min(number(limit.maximum));
        let current = Some(raised as u64);
        if setrlimit(Resource::Nofile, Rlimit { current, ..limit }).is_ok() {
            available = raised;
        }
    }
    fit_into(capacity, own, available)
}

fn fit_into(
    mut capacity: Capacity,
    own: usize,
    available: usize,
) -> Result<Capacity, (usize, usize)> {
    while own + descriptors(&capacity) > available {
        if !shrink(&mut capacity) {
            return Err((available, own + descriptors(&capacity)));
        }
    }
    Ok(capacity)
}

/// A connection that is only told 503 needs one descriptor, all others two.
fn descriptors(capacity: &Capacity) -> usize {
    2 * (capacity.probes + capacity.hooks + capacity.forwards) + capacity.reserve
}

/// Takes one place from where most are, of equals not from the probes; each kind keeps one.
fn shrink(capacity: &mut Capacity) -> bool {
    let Capacity {
        probes,
        hooks,
        reserve,
        forwards,
    } = capacity;
    let most = [probes, forwards, hooks, reserve]
        .into_iter()
        .max_by_key(|places| **places);
    match most {
        Some(places) if *places > 1 => {
            *places -= 1;
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
        forwards: 16,
    };

    #[test]
    fn whatever_is_left_is_enough_for_the_descriptors_there_are() {
        let needed = 12 + descriptors(&FULL);
        assert_eq!(fit_into(FULL, 12, needed), Ok(FULL));
        for available in 19..needed {
            let fitted = fit_into(FULL, 12, available).expect("one place of each kind fits");
            assert!(12 + descriptors(&fitted) <= available);
            assert!(fitted.probes >= fitted.forwards && fitted.probes >= fitted.hooks);
            assert!(fitted.hooks > 0 && fitted.reserve > 0 && fitted.forwards > 0);
        }
    }

    #[test]
    fn too_few_for_one_place_of_each_kind_are_an_error() {
        assert_eq!(fit_into(FULL, 12, 18), Err((18, 19)));
    }

    #[test]
    fn what_nobody_asked_for_takes_none() {
        let none = Capacity {
            forwards: 0,
            ..FULL
        };
        let fitted = fit_into(none, 11, 32).expect("it fits");
        assert_eq!((fitted.forwards, fitted.reserve > 0), (0, true));
    }

    #[test]
    fn the_kernel_tells_what_is_resident() {
        assert!(resident(&mut [0; 4096]).is_some_and(|bytes| bytes > 4096));
    }
}
