//! Permits by which trials share the machine, which may have two cores.

use super::lock;
use std::sync::{Condvar, Mutex, PoisonError};

/// A permit to run, released when dropped. Most fault cases wait for a timeout, so several run at once. A trial that
/// computes or moves megabytes would delay them, so it runs while none of them does.
pub struct TrialPermit {
    load: TrialLoad,
}

/// The load of a trial on the machine.
#[derive(Clone, Copy)]
pub enum TrialLoad {
    /// A fault case that mostly waits.
    Waiting,
    /// A trial that computes, without a deadline.
    Computing,
    /// A fault case that computes. It runs alone, because other load could make it miss its timeout.
    Exclusive,
}

impl TrialLoad {
    /// The load of a fault case.
    pub fn of_case(is_heavy: bool) -> Self {
        match is_heavy {
            true => TrialLoad::Exclusive,
            false => TrialLoad::Waiting,
        }
    }

    /// The permits that it holds.
    fn permits(self) -> Counts {
        match self {
            TrialLoad::Waiting => Counts {
                waiting: 1,
                computing: 0,
            },
            TrialLoad::Computing => Counts {
                waiting: 0,
                computing: 1,
            },
            TrialLoad::Exclusive => Counts {
                waiting: 0,
                computing: TrialPermit::MAX_COMPUTING,
            },
        }
    }
}

/// Permits held.
#[derive(Clone, Copy)]
struct Counts {
    waiting: usize,
    computing: usize,
}

static HELD: Mutex<Counts> = Mutex::new(Counts {
    waiting: 0,
    computing: 0,
});
static ONE_RELEASED: Condvar = Condvar::new();

impl TrialPermit {
    /// Concurrent fault cases that wait. More make TLS handshakes miss a case's timeout of 1 s.
    pub const MAX_WAITING: usize = 12;
    /// Concurrent trials that compute.
    const MAX_COMPUTING: usize = 2;

    /// Waits for a permit.
    pub fn acquire(load: TrialLoad) -> Self {
        let wanted = load.permits();
        let has_to_wait = |held: &mut Counts| match wanted.computing {
            0 => held.computing > 0 || held.waiting >= Self::MAX_WAITING,
            computing => held.waiting > 0 || held.computing + computing > Self::MAX_COMPUTING,
        };
        let held = ONE_RELEASED.wait_while(lock(&HELD), has_to_wait);
        let mut held = held.unwrap_or_else(PoisonError::into_inner);
        held.waiting += wanted.waiting;
        held.computing += wanted.computing;
        Self { load }
    }
}

impl Drop for TrialPermit {
    fn drop(&mut self) {
        let released = self.load.permits();
        let mut held = lock(&HELD);
        held.waiting -= released.waiting;
        held.computing -= released.computing;
        drop(held);
        ONE_RELEASED.notify_all();
    }
}
