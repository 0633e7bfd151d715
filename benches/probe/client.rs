//! A prober like kubelet: a new connection for each probe, kubelet's request, a read to the end, close.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use crate::Outcome;

/// The requested path, which only probelet and the floor look up.
pub const PATH: &str = "/app-health/bench/livez";

/// Read timeout, so that a lost probe does not hang the bench.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The head kubelet 1.37 sends to `path` on `port`.
pub fn head(path: &str, port: u16) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: kube-probe/1.37\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    )
}

/// Opens a connection with a read timeout.
pub fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Opens a connection from another address of the loopback network.
pub fn connect_from(client: u8, port: u16) -> std::io::Result<TcpStream> {
    let flags = SocketFlags::CLOEXEC;
    let fd = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    net::bind(
        &fd,
        &SocketAddr::from((Ipv4Addr::new(127, 0, 0, client), 0)),
    )?;
    net::connect(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(TcpStream::from(fd))
}

/// Repeats the same probe.
pub enum Prober {
    /// A port, with the same head.
    Port {
        /// The port.
        port: u16,
        /// The head.
        head: String,
    },
    /// A child that probes the app for each byte and returns a byte.
    Child(File, File),
}

impl Prober {
    /// A prober of [`PATH`] on `port`.
    pub fn new(port: u16) -> Prober {
        Prober::of(PATH, port)
    }

    /// A prober of `path` on `port`.
    pub fn of(path: &str, port: u16) -> Prober {
        let head = head(path, port);
        Prober::Port { port, head }
    }

    /// Probes once. Returns the time from before the connect, or the byte, to the end of the response.
    pub fn probe(&self) -> Outcome<Duration> {
        match self {
            Prober::Port { port, head } => request(*port, head),
            Prober::Child(requests, done) => {
                let start = Instant::now();
                let (mut requests, mut done): (&File, &File) = (requests, done);
                requests
                    .write_all(b".")
                    .and_then(|()| done.read_exact(&mut [0]))
                    .map_err(|error| format!("a probe failed: {error}"))?;
                Ok(start.elapsed())
            }
        }
    }

    /// Probes `count` times in a loop. Returns the latencies in microseconds.
    pub fn tight(&self, count: usize) -> Outcome<Vec<f64>> {
        (0..count).map(|_| Ok(micros(self.probe()?))).collect()
    }

    /// Probes once in each `period`. Calls `rested` at the end of each. Returns the latencies in microseconds.
    pub fn spaced(
        &self,
        count: usize,
        period: Duration,
        mut rested: impl FnMut() -> Outcome<()>,
    ) -> Outcome<Vec<f64>> {
        let start = Instant::now();
        let mut latencies = Vec::with_capacity(count);
        for number in 1..=count {
            latencies.push(micros(self.probe()?));
            let due = start + period * number as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            rested()?;
        }
        Ok(latencies)
    }
}

/// One probe on a new connection. Returns the time from before the connect to the end of the response.
fn request(port: u16, head: &str) -> Outcome<Duration> {
    let mut answer = [0; 4096];
    let mut length = 0;
    let start = Instant::now();
    let exchange = |answer: &mut [u8; 4096], length: &mut usize| -> std::io::Result<()> {
        let mut stream = connect(port)?;
        stream.write_all(head.as_bytes())?;
        loop {
            match stream.read(&mut answer[*length..])? {
                0 => return Ok(()),
                count => *length += count,
            }
        }
    };
    let result = exchange(&mut answer, &mut length);
    let took = start.elapsed();
    result.map_err(|error| format!("a probe failed: {error}"))?;
    if answer[..length].starts_with(b"HTTP/1.1 200") {
        return Ok(took);
    }
    let line = answer[..length].split(|byte| *byte == b'\r').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    Err(format!("a probe got {line:?}"))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
