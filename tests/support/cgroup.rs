//! A memory cgroup with a limit, v1 or v2, as Kubernetes makes one of `resources.limits.memory`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROOT_V1: &str = "/sys/fs/cgroup/memory";
const ROOT_V2: &str = "/sys/fs/cgroup";

/// A cgroup. Dropping it removes it, after its processes have exited.
#[derive(Debug)]
pub struct MemoryCgroup {
    folder: PathBuf,
    is_v1: bool,
}

impl MemoryCgroup {
    /// Creates a cgroup whose processes get at most this memory.
    ///
    /// # Errors
    /// If there is no memory controller, or no permission.
    pub fn create(name: &str, limit_bytes: u64) -> io::Result<MemoryCgroup> {
        let is_v1 = Path::new(ROOT_V1).join("memory.limit_in_bytes").exists();
        let (root, limit) = match is_v1 {
            true => (ROOT_V1, "memory.limit_in_bytes"),
            false => (ROOT_V2, "memory.max"),
        };
        let name = format!("probelet-test-{}-{name}", std::process::id());
        let folder = Path::new(root).join(name);
        fs::create_dir(&folder)?;
        let cgroup = MemoryCgroup { folder, is_v1 };
        fs::write(cgroup.folder.join(limit), limit_bytes.to_string())?;
        Ok(cgroup)
    }

    /// The file to which the ID of a process is written to move it into the cgroup.
    pub fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// The most bytes that were charged; 0 if the kernel does not say so.
    pub fn peak_bytes(&self) -> u64 {
        let file = match self.is_v1 {
            true => "memory.max_usage_in_bytes",
            false => "memory.peak",
        };
        let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }

    /// Number of processes that the kernel killed because of the limit.
    #[track_caller]
    pub fn killed(&self) -> u64 {
        let file = match self.is_v1 {
            true => "memory.oom_control",
            false => "memory.events",
        };
        let text = fs::read_to_string(self.folder.join(file)).expect("a file of the cgroup");
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.map_or(0, |count| count.trim().parse().expect("a number"))
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
