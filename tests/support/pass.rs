//! How trials share the machine, which may have two cores.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks, also after a trial panicked with the lock.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leave to run. A fault case has a second, of which it waits most, so several run at once; what computes or moves
/// megabytes would make them late, so it runs while none of them does.
pub struct Pass {
    is_heavy: bool,
}

/// Holders under way.
#[derive(Clone, Copy)]
struct Counts {
    light: usize,
    heavy: usize,
}

static UNDER_WAY: Mutex<Counts> = Mutex::new(Counts { light: 0, heavy: 0 });
static ONE_ENDED: Condvar = Condvar::new();

impl Pass {
    /// Light ones at once: fewer than an agent has probe slots.
    pub const LIGHT: usize = 12;
    /// Heavy ones at once.
    const HEAVY: usize = 2;

    /// Waits until one more may run.
    pub fn enter(is_heavy: bool) -> Self {
        let has_to_wait = |counts: &mut Counts| match is_heavy {
            true => counts.light > 0 || counts.heavy >= Self::HEAVY,
            false => counts.heavy > 0 || counts.light >= Self::LIGHT,
        };
        let counts = ONE_ENDED.wait_while(lock(&UNDER_WAY), has_to_wait);
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        *counts.of(is_heavy) += 1;
        Self { is_heavy }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        *lock(&UNDER_WAY).of(self.is_heavy) -= 1;
        ONE_ENDED.notify_all();
    }
}

impl Counts {
    fn of(&mut self, is_heavy: bool) -> &mut usize {
        match is_heavy {
            true => &mut self.heavy,
            false => &mut self.light,
        }
    }
}
