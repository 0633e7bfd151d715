//! A connection of the client to a terminator, or in plaintext to the app.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::Outcome;
use crate::app::{self, COMMAND_LEN};
use crate::certs::{SERVER_NAME, Suite};
use crate::client;

/// Bytes of a read or write call.
const CHUNK: usize = 256 * 1024;

/// Timeout of a read or write, so that a terminator that hangs does not hang the bench.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An established connection.
pub struct Session {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Session {
    /// Connects from the loopback address with this last byte and completes the handshake. The app has answered, so the
    /// terminator has verified the client's certificate and reached the app.
    pub fn open(port: u16, from: u8, config: &Arc<ClientConfig>) -> Outcome<Session> {
        let fault = |error: std::io::Error| format!("a connection failed: {error}");
        let name = ServerName::try_from(SERVER_NAME).map_err(|error| error.to_string())?;
        let tls = ClientConnection::new(config.clone(), name).map_err(|error| error.to_string())?;
        let tcp = client::connect_from(from, port).map_err(fault)?;
        tcp.set_nodelay(true).map_err(fault)?;
        tcp.set_read_timeout(Some(TIMEOUT)).map_err(fault)?;
        tcp.set_write_timeout(Some(TIMEOUT)).map_err(fault)?;
        let mut session = Session {
            stream: StreamOwned::new(tls, tcp),
        };
        session.echo()?;
        Ok(session)
    }

    /// Checks that the conditions are those of all terminators: the suite, and no tickets.
    pub fn check(&self, suite: Suite) -> Outcome<()> {
        let negotiated = self.stream.conn.negotiated_cipher_suite();
        if negotiated != Some(suite.suite()) {
            return Err(format!("negotiated {negotiated:?}, not {}", suite.name()));
        }
        match self.stream.conn.tls13_tickets_received() {
            0 => Ok(()),
            count => Err(format!(
                "sends {count} session tickets, which others do not"
            )),
        }
    }

    /// Sends a command that the app returns, and returns the time that it takes.
    pub fn echo(&mut self) -> Outcome<Duration> {
        echo(&mut self.stream)
    }

    /// Closes with close_notify.
    pub fn close(mut self) {
        self.stream.conn.send_close_notify();
        // The terminator may have closed already.
        let _ = self.stream.flush();
    }

    /// Downloads and decrypts `length` bytes. The connection stays open.
    pub fn fetch(&mut self, length: u64) -> Outcome<()> {
        let mut fetch = || {
            self.stream.write_all(&app::command(app::FETCH, length))?;
            let mut buffer = vec![0; CHUNK];
            let mut left = length as usize;
            while left > 0 {
                let room = left.min(buffer.len());
                match self.stream.read(&mut buffer[..room])? {
                    0 => return Err(ErrorKind::UnexpectedEof.into()),
                    count if buffer[..count].iter().all(|byte| *byte == b'x') => left -= count,
                    _ => return Err(ErrorKind::InvalidData.into()),
                }
            }
            Ok(())
        };
        fetch().map_err(|error: std::io::Error| format!("a download failed: {error}"))
    }

    /// Downloads `length` bytes and does not decrypt them, so that the client is faster than the terminator. The session can
    /// then only be closed.
    pub fn download(&mut self, length: u64) -> Outcome<()> {
        let mut download = || {
            self.stream.write_all(&app::command(app::FETCH, length))?;
            self.stream.flush()?;
            let mut buffer = vec![0; CHUNK];
            let mut records = RecordCounter::default();
            while records.plaintext < length {
                match self.stream.sock.read(&mut buffer)? {
                    0 => return Err(ErrorKind::UnexpectedEof.into()),
                    count => records.add(&buffer[..count]),
                }
            }
            Ok(())
        };
        download().map_err(|error: std::io::Error| format!("a download failed: {error}"))
    }

    /// Receives without an end and does not decrypt, until the flag is set.
    pub fn receive_until(&mut self, stop: &AtomicBool) -> Outcome<()> {
        let mut receive = || {
            self.stream.write_all(&app::command(app::STUFF, 0))?;
            self.stream.flush()?;
            let mut buffer = vec![0; CHUNK];
            while !stop.load(Ordering::Relaxed) {
                if self.stream.sock.read(&mut buffer)? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            Ok(())
        };
        receive().map_err(|error: std::io::Error| format!("a download failed: {error}"))
    }

    /// Uploads `length` bytes and waits until the app has read them.
    pub fn upload(&mut self, length: u64) -> Outcome<()> {
        let mut upload = || {
            self.stream.write_all(&app::command(app::UPLOAD, length))?;
            let buffer = vec![b'x'; CHUNK];
            let mut left = length as usize;
            while left > 0 {
                let count = left.min(buffer.len());
                self.stream.write_all(&buffer[..count])?;
                left -= count;
            }
            self.stream.flush()?;
            self.stream.read_exact(&mut [0])
        };
        upload().map_err(|error| format!("an upload failed: {error}"))
    }

    /// Makes the app send without an end. Nobody reads: [`Session::stuff`] fills the other direction.
    pub fn start_stuffing(&mut self) -> Outcome<()> {
        let command = app::command(app::STUFF, 0);
        let sent = self
            .stream
            .write_all(&command)
            .and_then(|()| self.stream.flush());
        sent.and_then(|()| self.stream.sock.set_nonblocking(true))
            .map_err(|error| format!("a connection failed: {error}"))
    }

    /// Sends as much as the sockets accept without waiting, and reads nothing.
    pub fn stuff(&mut self) -> Outcome<()> {
        let chunk = [b'x'; 16 * 1024];
        loop {
            if !self.stream.conn.wants_write() {
                let written = self.stream.conn.writer().write(&chunk);
                written.map_err(|error| error.to_string())?;
            }
            match self.stream.conn.write_tls(&mut self.stream.sock) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(format!("a connection failed: {error}")),
            }
        }
    }
}

/// Sends a command that the app returns, over TLS or in plaintext, and returns the time that it takes.
pub fn echo(stream: &mut (impl Read + Write)) -> Outcome<Duration> {
    let command = app::command(app::ECHO, 0);
    let mut answer = [0; COMMAND_LEN];
    let start = Instant::now();
    let exchanged = stream
        .write_all(&command)
        .and_then(|()| stream.flush())
        .and_then(|()| stream.read_exact(&mut answer));
    let took = start.elapsed();
    exchanged.map_err(|error| format!("an exchange failed: {error}"))?;
    match answer == command {
        true => Ok(took),
        false => Err("the app's answer arrived changed".into()),
    }
}

/// Counts the plaintext in records of TLS 1.3 without decrypting them (RFC 8446 section 5.2).
#[derive(Default)]
struct RecordCounter {
    header: [u8; 5],
    header_len: usize,
    /// Bytes of the current record that are still to come.
    rest: usize,
    /// Bytes of plaintext in all records that have begun.
    plaintext: u64,
}

impl RecordCounter {
    /// Bytes of a record that are not plaintext: its content type and the tag of both cipher suites.
    const OVERHEAD: usize = 1 + 16;

    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let count = self.rest.min(bytes.len());
                (self.rest, bytes) = (self.rest - count, &bytes[count..]);
                continue;
            }
            self.header[self.header_len] = bytes[0];
            (self.header_len, bytes) = (self.header_len + 1, &bytes[1..]);
            if self.header_len == self.header.len() {
                self.header_len = 0;
                self.rest = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                self.plaintext += self.rest.saturating_sub(Self::OVERHEAD) as u64;
            }
        }
    }
}
