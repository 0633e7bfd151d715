//! The kernel's figures of a process: memory, threads, nanoseconds of CPU.

use std::fs;

use crate::Outcome;

/// Memory of one or more processes, in KiB, as `smaps_rollup` has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Resident pages.
    pub rss: f64,
    /// Resident pages, each divided by the number of processes that map it.
    pub pss: f64,
    /// Resident anonymous pages, which processes do not share.
    pub anonymous: f64,
}

/// The sum over `processes`.
pub fn memory(processes: &[u32]) -> Outcome<Memory> {
    let mut sum = Memory::default();
    for process in processes {
        let rollup = read(&format!("/proc/{process}/smaps_rollup"))?;
        sum.rss += kib(&rollup, "Rss:");
        sum.pss += kib(&rollup, "Pss:");
        sum.anonymous += kib(&rollup, "Anonymous:");
    }
    Ok(sum)
}

fn kib(rollup: &str, name: &str) -> f64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or(f64::NAN)
}

/// CPU time of all threads of `processes` in nanoseconds, as counted by the scheduler and not in ticks of 10 ms. Exact while
/// the threads sleep.
pub fn cpu_nanos(processes: &[u32]) -> Outcome<f64> {
    let mut sum = 0.0;
    for process in processes {
        for task in tasks(*process)? {
            // A thread may end between the listing and the reading.
            let Ok(stat) = fs::read_to_string(task.join("schedstat")) else {
                continue;
            };
            let nanos = stat.split_whitespace().next();
            sum += nanos
                .and_then(|nanos| nanos.parse::<f64>().ok())
                .ok_or("schedstat has no number: the kernel lacks CONFIG_SCHED_INFO")?;
        }
    }
    Ok(sum)
}

/// Threads of `processes`.
pub fn threads(processes: &[u32]) -> Outcome<usize> {
    let counts = processes.iter().map(|process| Ok(tasks(*process)?.len()));
    counts.sum()
}

fn tasks(process: u32) -> Outcome<Vec<std::path::PathBuf>> {
    let folder = format!("/proc/{process}/task");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// `process` and all its descendants.
pub fn family(process: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|child| Some((child, parent(child)?)))
        .collect();
    let mut family = vec![process];
    let mut next = 0;
    while let Some(member) = family.get(next).copied() {
        let children = parents.iter().filter(|(_, parent)| *parent == member);
        family.extend(children.map(|(child, _)| *child));
        next += 1;
    }
    family
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may contain any character. The fields follow the last parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// Machine facts that figures depend on.
#[derive(Debug)]
pub struct Host {
    /// Model name of the first CPU.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Kernel release.
    pub kernel: String,
    /// Bytes of a page.
    pub page: usize,
}

impl Host {
    /// Of this machine.
    pub fn read() -> Host {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(": "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Host {
            cpu: model
                .map_or("CPU without a model name", |(_, name)| name)
                .into(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().into(),
            page: page_bytes(),
        }
    }
}

fn page_bytes() -> usize {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    kib(&maps, "KernelPageSize:") as usize * 1024
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}
