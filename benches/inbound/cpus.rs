//! Which CPUs processes run on. Children inherit those of the bench.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Outcome;

/// The CPUs of this process.
pub fn own() -> Outcome<Vec<usize>> {
    let set = sched_getaffinity(None).map_err(|error| format!("sched_getaffinity: {error}"))?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect())
}

/// Moves a process, or this one, to these CPUs.
pub fn set(process: Option<u32>, cpus: &[usize]) -> Outcome<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    let pid = process.and_then(|id| Pid::from_raw(id as i32));
    sched_setaffinity(pid, &set).map_err(|error| format!("sched_setaffinity: {error}"))
}

/// Runs `action` while this process and those that it starts are on these CPUs.
pub fn on<T>(cpus: &[usize], action: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let before = own()?;
    set(None, cpus)?;
    let result = action();
    set(None, &before)?;
    result
}
