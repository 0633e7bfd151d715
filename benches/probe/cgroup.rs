//! A memory cgroup, v1 or v2, if the bench may create one: the memory that Kubernetes accounts to a pod.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;

const ROOT_V1: &str = "/sys/fs/cgroup/memory";
const ROOT_V2: &str = "/sys/fs/cgroup";

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
