//! A cgroup, v1 or v2, if the bench may create one: the memory that Kubernetes accounts to a pod, and its CPU limit.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;

const ROOT_V1: &str = "/sys/fs/cgroup/memory";
const ROOT_V2: &str = "/sys/fs/cgroup";
const CPU_ROOT_V1: &str = "/sys/fs/cgroup/cpu";

/// The period of a CPU quota, as kubelet sets it (`pkg/kubelet/cm/helpers_linux.go`: `QuotaPeriod`).
const PERIOD_MICROS: u32 = 100_000;

/// A cgroup. Dropping it removes it, after its processes have exited.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
    usage: &'static str,
}

impl Cgroup {
    /// Creates a cgroup that accounts memory.
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
        let folder = Path::new(root).join(name);
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Cgroup { folder, usage })
    }

    /// Creates a cgroup whose processes get at most this many thousandths of a CPU, as kubelet sets a CPU limit.
    ///
    /// # Errors
    /// If there is no CPU controller, or no permission.
    pub fn with_cpu_limit(millis: Option<u32>) -> Outcome<Cgroup> {
        let is_v1 = Path::new(CPU_ROOT_V1).join("cpu.cfs_quota_us").exists();
        let root = if is_v1 { CPU_ROOT_V1 } else { ROOT_V2 };
        let folder = Path::new(root).join(format!("probelet-bench-{}-cpu", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let cgroup = Cgroup {
            folder,
            usage: "cpu.stat",
        };
        let quota = millis.map(|millis| millis * (PERIOD_MICROS / 1000));
        let limit = quota.map(|quota| match is_v1 {
            true => ("cpu.cfs_quota_us", quota.to_string()),
            false => ("cpu.max", format!("{quota} {PERIOD_MICROS}")),
        });
        if let Some((file, text)) = limit {
            let path = cgroup.folder.join(file);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(cgroup)
    }

    /// The periods in which its processes have been throttled.
    pub fn throttled(&self) -> Outcome<u64> {
        let path = self.folder.join("cpu.stat");
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let mut lines = text.lines();
        let count = lines.find_map(|line| line.strip_prefix("nr_throttled "));
        let count = count.ok_or("cpu.stat has no nr_throttled")?;
        count
            .parse()
            .map_err(|_| "nr_throttled is not a number".into())
    }

    /// The file to which the ID of a process is written to move it into the cgroup.
    pub fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// KiB charged now: pages, page tables, sockets, and what the kernel charges in advance.
    pub fn charged(&self) -> Outcome<f64> {
        let path = self.folder.join(self.usage);
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let bytes: f64 = text.trim().parse().map_err(|_| "not a number of bytes")?;
        Ok(bytes / 1024.0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("left behind: {}: {error}", self.folder.display());
        }
    }
}
