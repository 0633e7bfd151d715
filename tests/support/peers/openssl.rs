//! `openssl`: certificates that rcgen cannot make, and a server for unusual protocol versions.

use super::Process;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A server that returns its status page for every GET.
#[derive(Debug)]
pub struct Server {
    _process: Process,
    /// The port.
    pub port: u16,
}

impl Server {
    /// Starts it with a certificate, its key, and more arguments.
    ///
    /// # Errors
    /// If it does not print its address.
    pub fn start(chain: &Path, key: &Path, words: &str) -> Result<Self, String> {
        let child = Command::new("openssl")
            .args(["s_server", "-www", "-accept", "127.0.0.1:0", "-cert_chain"])
            .arg(chain)
            .arg("-cert")
            .arg(chain)
            .arg("-key")
            .arg(key)
            .args(words.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("openssl: {e}"))?;
        let mut process = Process(child);
        let mut output = BufReader::new(process.0.stdout.take().expect("piped"));
        let port = loop {
            let mut line = String::new();
            match output.read_line(&mut line) {
                Ok(n) if n > 0 => {}
                _ => return Err(format!("openssl s_server {words} does not listen")),
            }
            if let Some(address) = line.trim().strip_prefix("ACCEPT ") {
                let port = address.rsplit(':').next().and_then(|p| p.parse().ok());
                break port.ok_or(line)?;
            }
        };
        // It prints a line for each connection, and would block on a full pipe.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        Ok(Self {
            _process: process,
            port,
        })
    }
}

/// Runs an openssl command in a folder.
///
/// # Errors
/// Its output, if it fails.
pub fn run(folder: &Path, words: &str) -> Result<(), String> {
    let output = Command::new("openssl")
        .args(words.split_whitespace())
        .current_dir(folder)
        .output()
        .map_err(|e| format!("openssl: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("openssl {words}: {text}"))
}

/// Writes a self-signed certificate and its key, which `-newkey` describes, into a folder. Returns their paths.
///
/// # Errors
/// Those of `run`.
pub fn self_signed(folder: &Path, name: &str, key: &str) -> Result<(PathBuf, PathBuf), String> {
    run(
        folder,
        &format!(
            "req -x509 -nodes -days 30 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
             -newkey {key} -keyout {name}.key -out {name}.pem"
        ),
    )?;
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    Ok((file("pem"), file("key")))
}
