//! Servers in Python, run by the interpreter of `PROBELET_TEST_PYTHON`, which has grpcio-health-checking and h2.

use super::PeerProcess;
use std::path::Path;
use std::process::Command;

/// The variable with the path of the interpreter.
pub const PYTHON: &str = "PROBELET_TEST_PYTHON";

/// Starts a script of `tests/peers` on a folder of certificates.
///
/// # Errors
/// If there is no interpreter, or the script prints no ports.
pub fn start(script: &str, folder: &Path) -> Result<PeerProcess, String> {
    let python = std::env::var(PYTHON).map_err(|e| format!("{PYTHON}: {e}"))?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    PeerProcess::start(Command::new(python).arg(scripts.join(script)).arg(folder))
}
