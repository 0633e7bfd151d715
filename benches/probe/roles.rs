//! The servers that the contestants probe, each in its own child process: this binary, started
//! again with a role as its first argument.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::thread;

use rustix::event::epoll;
use rustix::net::{SocketFlags, accept_with};

use crate::tls;

/// First argument of the app's process.
pub const APP: &str = "--as-app";
/// First argument of the process that is the target of the forwards.
pub const SOURCE: &str = "--as-source";

/// First argument of the process that probes an app over TLS, once for each byte.
pub const DIRECT: &str = "--as-direct";
/// First argument of the app that never finishes a handshake.
pub const STALL: &str = "--as-stall";

/// The path that never gets a response.
pub const HANG_PATH: &str = "/hang";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\
    Connection: close\r\n\r\nok\n";
const ANSWER_AND_STAY: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

/// Runs the role that the first two arguments select. Returns only if there is none, or with an error.
pub fn run(arguments: &[String]) -> Option<std::io::Error> {
    let [role, port, ..] = arguments else {
        return None;
    };
    let run: fn(TcpListener) -> std::io::Result<()> = match role.as_str() {
        APP => app,
        SOURCE => source,
        STALL => tls::stall,
        DIRECT => return tls::direct(port.parse().unwrap_or(0)).err(),
        _ => return None,
    };
    let port = port.parse().unwrap_or(0);
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .and_then(run)
        .err()
}

/// The app: returns 200 for every request as fast as one thread can, and closes the connection if the request has `Connection: close`.
fn app(listener: TcpListener) -> std::io::Result<()> {
    let queue = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let listening = listener.as_raw_fd();
    watch(&queue, &listener, listening)?;
    let mut open: HashMap<RawFd, (TcpStream, Vec<u8>)> = HashMap::new();
    let mut events = [MaybeUninit::uninit(); 64];
    loop {
        let (ready, _) = epoll::wait(&queue, &mut events, None)?;
        for event in ready {
            let ready = event.data.u64() as RawFd;
            if ready != listening {
                if let Some((mut stream, mut head)) = open.remove(&ready)
                    && serve(&mut stream, &mut head)
                {
                    open.insert(ready, (stream, head));
                }
                continue;
            }
            let accepted = accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC);
            let Ok(accepted) = accepted else { continue };
            let (mut stream, mut head) = (TcpStream::from(accepted), Vec::new());
            if serve(&mut stream, &mut head) {
                watch(&queue, &stream, stream.as_raw_fd())?;
                open.insert(stream.as_raw_fd(), (stream, head));
            }
        }
    }
}

fn watch(
    queue: impl rustix::fd::AsFd,
    what: impl rustix::fd::AsFd,
    token: RawFd,
) -> std::io::Result<()> {
    let token = epoll::EventData::new_u64(token as u64);
    Ok(epoll::add(queue, what, token, epoll::EventFlags::IN)?)
}

/// Reads the available bytes and responds to a complete head. Returns whether the connection stays open.
fn serve(stream: &mut TcpStream, head: &mut Vec<u8>) -> bool {
    let mut bytes = [0; 16 * 1024];
    match stream.read(&mut bytes) {
        Ok(0) => return false,
        Ok(count) => head.extend_from_slice(&bytes[..count]),
        Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
    }
    if !head.ends_with(b"\r\n\r\n") {
        return true;
    }
    if head.starts_with(format!("GET {HANG_PATH}").as_bytes()) {
        head.clear();
        return true;
    }
    let close = contains(head, b"onnection: close");
    head.clear();
    let answer = if close { ANSWER } else { ANSWER_AND_STAY };
    stream.write_all(answer).is_ok() && !close
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// The target of a forward: each connection requests a number of bytes in 8 bytes, little-endian, gets them, and may
/// request more.
fn source(listener: TcpListener) -> std::io::Result<()> {
    for stream in listener.incoming() {
        let mut stream = stream?;
        thread::spawn(move || {
            let bytes = vec![b'x'; 256 * 1024];
            let mut wanted = [0; 8];
            while stream.read_exact(&mut wanted).is_ok() {
                let mut left = u64::from_le_bytes(wanted) as usize;
                while left > 0 {
                    match stream.write(&bytes[..left.min(bytes.len())]) {
                        Ok(count) => left -= count,
                        Err(_) => return,
                    }
                }
            }
        });
    }
    Ok(())
}
