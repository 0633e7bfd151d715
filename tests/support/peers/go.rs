//! An app on Go's net/http, built from `tests/kubelet/app`, and a client with a certificate, built from
//! `tests/kubelet/client`.

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

/// Runs the client with a folder of certificates against a port of 127.0.0.1. Returns what it prints.
///
/// # Errors
/// If it cannot be built; what it prints to standard error, if it fails.
pub fn client(folder: &Path, case: &str, port: u16) -> Result<String, String> {
    static BUILT: OnceLock<Result<std::path::PathBuf, String>> = OnceLock::new();
    let binary = BUILT
        .get_or_init(|| build("./client", "go-client"))
        .clone()?;
    let output = Command::new(binary)
        .arg(folder)
        .args([case, &port.to_string()])
        .output()
        .map_err(|e| format!("go-client: {e}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
