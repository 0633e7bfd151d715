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
pub fn fit(capacity: Capacity, forwards: usize) -> Result<Capacity, (usize, usize)> {
    let own = OWN_DESCRIPTORS + 1 + forwards;
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
    fit_into(capacity, forwards, own, available)
}

fn fit_into(
    mut capacity: Capacity,
    forwards: usize,
    own: usize,
    available: usize,
) -> Result<Capacity, (usize, usize)> {
    while own + descriptors(&capacity) > available {
        if !shrink(&mut capacity, forwards) {
            return Err((available, own + descriptors(&capacity)));
        }
    }
    Ok(capacity)
}

/// A connection that is only told 503 needs one descriptor, all others two.
fn descriptors(capacity: &Capacity) -> usize {
    2 * (capacity.probes + capacity.hooks + capacity.forwards) + capacity.reserve
}

/// Takes one place from where most are to spare, of equals not from the probes; each kind keeps one, and
/// so does each forward.
fn shrink(capacity: &mut Capacity, least_forwards: usize) -> bool {
    let Capacity {
        probes,
        hooks,
        reserve,
        forwards,
    } = capacity;
    let kinds = [
        (probes, 1),
        (forwards, least_forwards),
        (hooks, 1),
        (reserve, 1),
    ];
    let most = kinds
        .into_iter()
        .max_by_key(|(places, least)| places.saturating_sub(*least));
    match most {
        Some((places, least)) if *places > least => {
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
        assert_eq!(fit_into(FULL, 1, 12, needed), Ok(FULL));
        for available in 19..needed {
            let fitted = fit_into(FULL, 1, 12, available).expect("one place of each kind fits");
            assert!(12 + descriptors(&fitted) <= available);
            assert!(fitted.probes >= fitted.forwards && fitted.probes >= fitted.hooks);
            assert!(fitted.hooks > 0 && fitted.reserve > 0 && fitted.forwards > 0);
        }
    }

    #[test]
    fn each_forward_keeps_a_place() {
        let fitted = fit_into(FULL, 8, 19, 19 + 2 * 10 + 1).expect("it fits");
        assert_eq!((fitted.probes, fitted.forwards), (1, 8));
    }

    #[test]
    fn too_few_for_one_place_of_each_kind_are_an_error() {
        assert_eq!(fit_into(FULL, 1, 12, 18), Err((18, 19)));
    }

    #[test]
    fn what_nobody_asked_for_takes_none() {
        let none = Capacity {
            forwards: 0,
            ..FULL
        };
        let fitted = fit_into(none, 0, 11, 32).expect("it fits");
        assert_eq!((fitted.forwards, fitted.reserve > 0), (0, true));
    }

    #[test]
    fn the_kernel_tells_what_is_resident() {
        assert!(resident(&mut [0; 4096]).is_some_and(|bytes| bytes > 4096));
    }
}
