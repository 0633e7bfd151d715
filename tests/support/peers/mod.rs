//! Servers of other people as processes, with certificates made for the test: OpenSSL, nghttp2, grpcio,
//! PyPI's h2, Envoy, nginx.

pub mod envoy;
pub mod openssl;
pub mod python;
pub mod secret;

use super::certs::{Authority, Folder};
use super::{PATIENCE, within};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A program; it is killed when dropped.
#[derive(Debug)]
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts it with nothing to read and waits until it listens on a port of 127.0.0.1.
    ///
    /// # Errors
    /// When it ends before, or does not listen in time.
    pub fn listening(command: &mut Command, port: u16) -> Result<Self, String> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
        let mut process = Self(child);
        let mut ended = false;
        let listens = within(PATIENCE, || {
            ended = !matches!(process.0.try_wait(), Ok(None));
            ended || TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        if listens && !ended {
            return Ok(process);
        }
        Err(format!("does not listen on {port}: {command:?}"))
    }
}

/// A folder with `app.pem` and `app.key` for 127.0.0.1 and the `ca.pem` that signed it, and its
/// authority.
pub fn folder() -> (Folder, Authority) {
    let folder = Folder::new();
    let authority = Authority::new("peers");
    folder.file("ca.pem", &authority.pem());
    authority.sign("127.0.0.1").write(&folder, "app");
    (folder, authority)
}
