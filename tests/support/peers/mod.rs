//! Third-party servers as processes, with certificates made for the test: OpenSSL, nghttp2, grpcio, PyPI's h2, Go's
//! net/http, Envoy, nginx.

pub mod envoy;
pub mod go;
pub mod openssl;
pub mod python;
pub mod secret;

use super::certs::Authority;
use super::folder::Folder;
use super::{WAIT_LIMIT, within};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use tinyjson::JsonValue;

/// A process. Dropping it kills it.
#[derive(Debug)]
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts it without standard input and waits until it listens on a port of 127.0.0.1.
    ///
    /// # Errors
    /// If it exits or does not listen in time.
    pub fn listening(command: &mut Command, port: u16) -> Result<Self, String> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
        let mut process = Self(child);
        let mut ended = false;
        let listens = within(WAIT_LIMIT, || {
            ended = !matches!(process.0.try_wait(), Ok(None));
            ended || TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        if listens && !ended {
            return Ok(process);
        }
        Err(format!("does not listen on {port}: {command:?}"))
    }
}

/// A program that prints its ports as one line of JSON and serves until its standard input ends.
#[derive(Debug)]
pub struct PeerProcess {
    _process: Process,
    ports: HashMap<String, u16>,
}

impl PeerProcess {
    /// Starts it and waits for its ports.
    ///
    /// # Errors
    /// If it cannot be started or prints no ports.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
        let mut process = Process(child);
        let output = process.0.stdout.take().expect("piped");
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        read.map_err(|e| format!("{command:?}: {e}"))?;
        let Ok(JsonValue::Object(ports)) = line.parse() else {
            return Err(format!("{command:?} prints no ports: {line:?}"));
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

/// A folder with `app.pem` and `app.key` for 127.0.0.1 and the `ca.pem` that signed it, and the authority.
pub fn folder() -> (Folder, Authority) {
    let folder = Folder::new();
    let authority = Authority::new("peers");
    folder.file("ca.pem", &authority.pem());
    authority.sign("127.0.0.1").write(&folder, "app");
    (folder, authority)
}
