//! A cgroup, v1 or v2, if the bench may create one: the memory that Kubernetes accounts to a pod, its CPU time and its CPU
//! limit.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;

const ROOT_V1: &str = "/sys/fs/cgroup/memory";
const ROOT_V2: &str = "/sys/fs/cgroup";
const CPU_ROOT_V1: &str = "/sys/fs/cgroup/cpu";
const CPU_TIME_ROOT_V1: &str = "/sys/fs/cgroup/cpuacct";

/// Its charge of socket buffers, v1. The kernel accounts them once it has a limit.
const SOCKETS_V1: &str = "memory.kmem.tcp.usage_in_bytes";
const SOCKETS_LIMIT_V1: &str = "memory.kmem.tcp.limit_in_bytes";

/// The period of a CPU quota, as kubelet sets it (`pkg/kubelet/cm/helpers_linux.go`: `QuotaPeriod`).
const PERIOD_MICROS: u32 = 100_000;

/// A cgroup. Dropping it removes it, after its processes have exited.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
    usage: &'static str,
    /// Accounts CPU time, v1.
    cpu_time: Option<PathBuf>,
}

impl Cgroup {
    /// Creates a cgroup that accounts memory and CPU time.
    ///
    /// # Errors
    /// If there is no memory controller, or no permission.
    pub fn create(name: &str) -> Outcome<Cgroup> {
        let name = format!("probelet-bench-{}-{name}", std::process::id());
        let v1 = Path::new(ROOT_V1).join("memory.usage_in_bytes");
        let (root, usage) = if v1.exists() {
            (ROOT_V1, "memory.usage_in_bytes")
        } else {
            let list = Path::new(ROOT_V2).join("cgroup.subtree_control");
            let enabled = fs::read_to_string(list).map_err(|_| "no memory cgroup here")?;
            if !enabled.split_whitespace().any(|name| name == "memory") {
                return Err(
                    "the memory controller is not enabled in /sys/fs/cgroup/cgroup.subtree_control"
                        .into(),
                );
            }
            (ROOT_V2, "memory.current")
        };
        let mut cgroup = Cgroup {
            folder: create_folder(root, &name)?,
            usage,
            cpu_time: None,
        };
        if root == ROOT_V1 {
            write(
                &cgroup.folder.join(SOCKETS_LIMIT_V1),
                &(1_u64 << 40).to_string(),
            )?;
            cgroup.cpu_time = Some(create_folder(CPU_TIME_ROOT_V1, &name)?);
        }
        Ok(cgroup)
    }

    /// Creates a cgroup whose processes get at most this many thousandths of a CPU, as kubelet sets a CPU limit.
    ///
    /// # Errors
    /// If there is no CPU controller, or no permission.
    pub fn with_cpu_limit(millis: Option<u32>) -> Outcome<Cgroup> {
        let is_v1 = Path::new(CPU_ROOT_V1).join("cpu.cfs_quota_us").exists();
        let root = if is_v1 { CPU_ROOT_V1 } else { ROOT_V2 };
        let cgroup = Cgroup {
            folder: create_folder(root, &format!("probelet-bench-{}-cpu", std::process::id()))?,
            usage: "cpu.stat",
            cpu_time: None,
        };
        let quota = millis.map(|millis| millis * (PERIOD_MICROS / 1000));
        let limit = quota.map(|quota| match is_v1 {
            true => ("cpu.cfs_quota_us", quota.to_string()),
            false => ("cpu.max", format!("{quota} {PERIOD_MICROS}")),
        });
        if let Some((file, text)) = limit {
            write(&cgroup.folder.join(file), &text)?;
        }
        Ok(cgroup)
    }

    /// Creates a cgroup whose processes have the highest priority of those that are not real-time. A niceness would count
    /// within their session only.
    ///
    /// # Errors
    /// If there is no CPU controller, or no permission.
    pub fn with_high_priority() -> Outcome<Cgroup> {
        let cgroup = Cgroup::with_cpu_limit(None)?;
        let weight = match cgroup.folder.starts_with(CPU_ROOT_V1) {
            true => ("cpu.shares", "262144"),
            false => ("cpu.weight", "10000"),
        };
        write(&cgroup.folder.join(weight.0), weight.1)?;
        Ok(cgroup)
    }

    /// Moves a process into it.
    pub fn add(&self, process: u32) -> Outcome<()> {
        let mut members = self.members().into_iter();
        members.try_for_each(|file| write(&file, &process.to_string()))
    }

    /// The periods in which its processes have been throttled.
    pub fn throttled(&self) -> Outcome<u64> {
        let count = member(&read(&self.folder.join("cpu.stat"))?, "nr_throttled")?;
        Ok(count as u64)
    }

    /// The files to which the ID of a process is written to move it into the cgroup.
    pub fn members(&self) -> Vec<PathBuf> {
        let folders = std::iter::once(&self.folder).chain(&self.cpu_time);
        folders.map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// KiB charged now: pages, page tables, sockets, and what the kernel charges in advance.
    pub fn charged(&self) -> Outcome<f64> {
        let mut bytes = number(&self.folder.join(self.usage))?;
        if self.is_v1() {
            bytes += number(&self.folder.join(SOCKETS_V1))?;
        }
        Ok(bytes / 1024.0)
    }

    /// KiB of pages, page tables, kernel objects and socket buffers: [`Cgroup::charged`] without what the kernel charges in
    /// advance, which is up to 256 KiB for each CPU.
    pub fn used(&self) -> Outcome<f64> {
        let stat = read(&self.folder.join("memory.stat"))?;
        let members: &[&str] = match self.is_v1() {
            true => &["rss", "cache"],
            false => &["anon", "file", "kernel", "sock"],
        };
        let mut bytes = 0.0;
        for name in members {
            bytes += member(&stat, name)?;
        }
        if self.is_v1() {
            bytes += number(&self.folder.join("memory.kmem.usage_in_bytes"))?;
            bytes += number(&self.folder.join(SOCKETS_V1))?;
        }
        Ok(bytes / 1024.0)
    }

    /// Nanoseconds of CPU time of its processes, ended ones and ended threads included.
    pub fn cpu_nanos(&self) -> Outcome<f64> {
        match &self.cpu_time {
            Some(folder) => number(&folder.join("cpuacct.usage")),
            None => Ok(member(&read(&self.folder.join("cpu.stat"))?, "usage_usec")? * 1e3),
        }
    }

    fn is_v1(&self) -> bool {
        self.usage != "memory.current"
    }
}

fn create_folder(root: &str, name: &str) -> Outcome<PathBuf> {
    let folder = Path::new(root).join(name);
    fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn number(path: &Path) -> Outcome<f64> {
    let text = read(path)?;
    let number = text.trim().parse();
    number.map_err(|_| format!("{}: not a number", path.display()))
}

/// The number behind `name` in a file of such lines.
fn member(text: &str, name: &str) -> Outcome<f64> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let mut found = lines.filter(|(member, _)| *member == name);
    let value = found.next().and_then(|(_, value)| value.parse().ok());
    value.ok_or_else(|| format!("no {name} in the cgroup's figures"))
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in std::iter::once(&self.folder).chain(&self.cpu_time) {
            if let Err(error) = fs::remove_dir(folder) {
                eprintln!("left behind: {}: {error}", folder.display());
            }
        }
    }
}
