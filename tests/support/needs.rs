//! Requirements of a test, such as root or a program. If one is missing, the test is ignored with the reason, or fails
//! with `PROBELET_TEST_NO_SKIP=1`.

use super::Outcome;
#[cfg(feature = "inject")]
use super::cgroup::MemoryCgroup;
use super::trials::trial;
use libtest_mimic::Trial;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// One requirement.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// User 0, for network namespaces and the like.
    Root,
    /// Go, or a driver built before (`PROBELET_KUBELET_DRIVER`).
    Go,
    /// An IPv6 loopback address.
    Ipv6,
    /// A memory cgroup that the test may create.
    #[cfg(feature = "inject")]
    MemoryCgroup,
    /// A program on the PATH.
    Peer(&'static str),
    /// A file whose path is in an environment variable, for programs that are not on the PATH.
    File(&'static str),
}

/// A trial that runs only where all of `all` is available.
pub fn needs(all: &[Need], name: &str, body: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    let missing: Vec<String> = all.iter().filter_map(Need::missing).collect();
    if missing.is_empty() {
        return trial(name, body);
    }
    let reason = format!("needs {}", missing.join(", "));
    let kind = reason.clone();
    let trial = Trial::test(name, move || Err(reason.into())).with_kind(kind);
    let no_skip = std::env::var_os("PROBELET_TEST_NO_SKIP").is_some_and(|v| v == "1");
    trial.with_ignored_flag(!no_skip)
}

impl Need {
    /// The name of what is missing, if anything is.
    fn missing(&self) -> Option<String> {
        match self {
            Need::Root => (!rustix::process::geteuid().is_root()).then(|| "root".into()),
            Need::Go => (!has_go()).then(|| "Go".into()),
            Need::Ipv6 => std::net::TcpListener::bind("[::1]:0")
                .is_err()
                .then(|| "IPv6".into()),
            #[cfg(feature = "inject")]
            Need::MemoryCgroup => MemoryCgroup::create("need", 1 << 20)
                .is_err()
                .then(|| "a memory cgroup, which root can create".into()),
            Need::Peer(name) => on_path(name).is_none().then(|| (*name).into()),
            Need::File(variable) => match std::env::var_os(variable) {
                Some(path) if PathBuf::from(&path).exists() => None,
                _ => Some(format!("a file named by {variable}")),
            },
        }
    }
}

fn has_go() -> bool {
    static GO: OnceLock<bool> = OnceLock::new();
    *GO.get_or_init(|| {
        std::env::var_os("PROBELET_KUBELET_DRIVER").is_some()
            || Command::new("go")
                .arg("version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|s| s.success())
    })
}

/// Where a program is.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
