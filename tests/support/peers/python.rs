//! Servers in Python, run by the interpreter that `PROBELET_TEST_PYTHON` names: it has
//! grpcio-health-checking and h2.

use super::Process;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use tinyjson::JsonValue;

/// What names the interpreter.
pub const PYTHON: &str = "PROBELET_TEST_PYTHON";

/// A running script of `tests/peers`, and its ports by name.
#[derive(Debug)]
pub struct Python {
    _process: Process,
    ports: HashMap<String, u16>,
}

impl Python {
    /// Starts a script on a folder of certificates and waits for its ports.
    ///
    /// # Errors
    /// When there is no interpreter, or it prints no ports.
    pub fn start(script: &str, folder: &Path) -> Result<Self, String> {
        let python = std::env::var(PYTHON).map_err(|e| format!("{PYTHON}: {e}"))?;
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        let child = Command::new(python)
            .arg(scripts.join(script))
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{script}: {e}"))?;
        let mut process = Process(child);
        let output = process.0.stdout.take().expect("piped");
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        read.map_err(|e| format!("{script}: {e}"))?;
        let Ok(JsonValue::Object(ports)) = line.parse() else {
            return Err(format!("{script} prints no ports: {line:?}"));
        };
        let port = |(name, port)| match port {
            JsonValue::Number(port) => (name, port as u16),
            other => unreachable!("{name}: {other:?}"),
        };
        Ok(Self {
            _process: process,
            ports: ports.into_iter().map(port).collect(),
        })
    }

    /// One of its ports.
    pub fn port(&self, name: &str) -> u16 {
        self.ports[name]
    }
}
