//! An app on Go's net/http, built from `tests/kubelet/app`.

use super::PeerProcess;
use crate::support::kubelet::build;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Starts it with a folder of certificates. It is built when it is first used.
///
/// # Errors
/// If it cannot be built or started.
pub fn start(folder: &Path) -> Result<PeerProcess, String> {
    static BUILT: OnceLock<Result<std::path::PathBuf, String>> = OnceLock::new();
    let binary = BUILT.get_or_init(|| build("./app", "go-app")).clone()?;
    PeerProcess::start(Command::new(binary).arg(folder))
}
