//! How trials share the machine, which may have two cores.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks, also after a trial panicked with the lock.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A permit to run. A fault case has a second, of which it waits most, so several run at once. What computes or moves
/// megabytes would make them late, so it runs while none of them does.
pub struct TrialPermit {
    kind: Kind,
}

/// What a permit is for.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A fault case that waits.
    Waits,
    /// A trial that computes, without a deadline.
    Computes,
    /// A fault case that computes: it runs alone, because the agent has a second for it.
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
    /// Fault cases that wait at once: fewer than an agent has probe slots.
    pub const LIGHT: usize = 12;
    /// Trials that compute at once.
    const HEAVY: usize = 2;

    /// Waits until one more may run.
    pub fn enter(kind: Kind) -> Self {
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
