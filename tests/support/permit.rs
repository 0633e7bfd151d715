//! Permits by which trials share the machine, which may have two cores.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also after a trial has panicked with it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A permit to run, released when dropped. A fault case has a timeout of a second and waits most of it, so several run
/// at once. A trial that computes or moves megabytes would delay them, so it runs while none of them does.
pub struct TrialPermit {
    kind: Kind,
}

/// What a permit is for.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A fault case that mostly waits.
    Waits,
    /// A trial that computes, without a deadline.
    Computes,
    /// A fault case that computes. It runs alone, because the agent has a second for it.
    IsAlone,
}

impl Kind {
    /// The kind of a fault case.
    pub fn of_case(is_heavy: bool) -> Self {
        match is_heavy {
            true => Kind::IsAlone,
            false => Kind::Waits,
        }
    }

    /// The permits that it holds.
    fn permits(self) -> Counts {
        match self {
            Kind::Waits => Counts { light: 1, heavy: 0 },
            Kind::Computes => Counts { light: 0, heavy: 1 },
            Kind::IsAlone => Counts {
                light: 0,
                heavy: TrialPermit::HEAVY,
            },
        }
    }
}

/// Permits held.
#[derive(Clone, Copy)]
struct Counts {
    light: usize,
    heavy: usize,
}

static HELD: Mutex<Counts> = Mutex::new(Counts { light: 0, heavy: 0 });
static ONE_RELEASED: Condvar = Condvar::new();

impl TrialPermit {
    /// Concurrent fault cases that wait. More make TLS handshakes miss a case's timeout of 1 s.
    pub const LIGHT: usize = 12;
    /// Concurrent trials that compute.
    const HEAVY: usize = 2;

    /// Waits for a permit.
    pub fn acquire(kind: Kind) -> Self {
        let wanted = kind.permits();
        let has_to_wait = |held: &mut Counts| match wanted.heavy {
            0 => held.heavy > 0 || held.light >= Self::LIGHT,
            heavy => held.light > 0 || held.heavy + heavy > Self::HEAVY,
        };
        let held = ONE_RELEASED.wait_while(lock(&HELD), has_to_wait);
        let mut held = held.unwrap_or_else(PoisonError::into_inner);
        held.light += wanted.light;
        held.heavy += wanted.heavy;
        Self { kind }
    }
}

impl Drop for TrialPermit {
    fn drop(&mut self) {
        let released = self.kind.permits();
        let mut held = lock(&HELD);
        held.light -= released.light;
        held.heavy -= released.heavy;
        drop(held);
        ONE_RELEASED.notify_all();
    }
}
