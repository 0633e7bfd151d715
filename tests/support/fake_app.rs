//! An app that misbehaves on demand: the path of a request selects a script, a script is a list of
//! steps. It records the requests that it received.

use super::connections::Connections;
use super::pass::lock;
use super::stream::{Security, ServerStream};
use super::{WAIT_LIMIT, within};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One thing the app does after it has read a request head.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends bytes one at a time, a pause before each.
    Drip(Vec<u8>, Duration),
    /// Sends bytes again and again, so many bytes in all.
    Flood(Vec<u8>, u64),
    /// Does nothing for a while.
    Pause(Duration),
    /// Does nothing until the client closes.
    Hold,
    /// Continues if the request has this field line, else answers 401.
    Demand(&'static str),
    /// Closes with a reset; without it the end of the script is a clean close.
    Reset,
    /// Closes without the close_notify that ends TLS.
    HangUp,
    /// Sends bytes past TLS.
    SendBelow(Vec<u8>),
}

/// What the app does with one request.
pub type Script = Vec<Step>;

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which connection it came on, counted from 0.
    pub connection: u64,
    /// Path, without the query.
    pub path: String,
    /// The head as it came, its blank line included.
    pub head: Vec<u8>,
    /// The client closed before the script was done.
    pub left_early: bool,
}

#[derive(Debug, Default)]
struct Shared {
    scripts: Mutex<HashMap<String, Arc<Script>>>,
    otherwise: Mutex<Option<Arc<Script>>>,
    seen: Mutex<Vec<Seen>>,
    security: Security,
}

/// The app; it ends, and its connections with it, when dropped.
#[derive(Debug)]
pub struct FakeApp {
    connections: Connections,
    shared: Arc<Shared>,
}

impl FakeApp {
    /// Listens on a free port of 127.0.0.1. A path without a script is answered 404.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1:0".parse().expect("an address"))
    }

    /// Listens on this address.
    pub fn start_on(addr: SocketAddr) -> Self {
        Self::start_with(addr, None)
    }

    /// Listens on a free port of 127.0.0.1 with this TLS.
    pub fn secure(security: Security) -> Self {
        Self::start_with("127.0.0.1:0".parse().expect("an address"), security)
    }

    fn start_with(addr: SocketAddr, security: Security) -> Self {
        let shared = Arc::new(Shared {
            security,
            ..Shared::default()
        });
        let serving = shared.clone();
        let serve = move |number, stream| serve(number, stream, &serving);
        Self {
            connections: Connections::start(addr, serve),
            shared,
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.connections.addr()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// Sets the script of a path.
    pub fn on(&self, path: &str, script: Script) {
        lock(&self.shared.scripts).insert(path.into(), Arc::new(script));
    }

    /// Sets the script of every other path.
    pub fn otherwise(&self, script: Script) {
        *lock(&self.shared.otherwise) = Some(Arc::new(script));
    }

    /// Ends all connections that are open now.
    pub fn hang_up(&self) {
        self.connections.hang_up();
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.connections.accepted()
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.connections.open()
    }

    /// Requests so far, in the order of their heads' ends.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Requests for a path.
    pub fn seen_at(&self, path: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|s| s.path == path).collect()
    }

    /// Takes the recorded requests.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut lock(&self.shared.seen))
    }

    /// Waits until so many requests for a path have arrived.
    pub fn wait_seen(&self, path: &str, count: usize) -> bool {
        within(WAIT_LIMIT, || self.seen_at(path).len() >= count)
    }

    /// Waits until no connection is open.
    pub fn wait_idle(&self) -> bool {
        within(WAIT_LIMIT, || self.open() == 0)
    }
}

fn serve(id: u64, stream: TcpStream, shared: &Shared) {
    let Ok(mut line) = ServerStream::open(stream, &shared.security) else {
        return;
    };
    let Some(head) = read_head(&mut line) else {
        return;
    };
    let path = path_of(&head);
    let script = lock(&shared.scripts).get(&path).cloned();
    let script = script.or_else(|| lock(&shared.otherwise).clone());
    lock(&shared.seen).push(Seen {
        connection: id,
        path,
        head: head.clone(),
        left_early: false,
    });
    let not_found = Arc::new(vec![Step::Send(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    )]);
    for step in script.unwrap_or(not_found).iter() {
        match step {
            Step::Reset => return line.reset(),
            Step::HangUp => {
                line.hang_up();
                line.wait_for_close(WAIT_LIMIT);
                return;
            }
            Step::Demand(field) if has_field(&head, field) => continue,
            Step::Demand(_) => {
                let _ = line.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
                break;
            }
            _ => {}
        }
        if !run_step(step, &mut line) {
            let mut seen = lock(&shared.seen);
            seen.iter_mut()
                .filter(|s| s.connection == id)
                .for_each(|s| s.left_early = true);
            return;
        }
    }
    line.end();
    line.wait_for_close(WAIT_LIMIT);
}

fn has_field(head: &[u8], field: &str) -> bool {
    head.split(|b| *b == b'\n')
        .any(|line| line.trim_ascii_end() == field.as_bytes())
}

/// Runs a step that does not end the connection; false if the client has closed.
pub(super) fn run_step(step: &Step, line: &mut ServerStream) -> bool {
    match step {
        Step::Send(bytes) => line.write_all(bytes).is_ok(),
        Step::SendBelow(bytes) => line.write_below(bytes).is_ok(),
        Step::Drip(bytes, each) => bytes
            .iter()
            .all(|byte| !line.wait_for_close(*each) && line.write_all(&[*byte]).is_ok()),
        Step::Flood(bytes, total) => {
            let mut left = *total;
            while left > 0 {
                let part = usize::try_from(left).map_or(bytes.len(), |n| n.min(bytes.len()));
                if line.write_all(&bytes[..part]).is_err() {
                    return false;
                }
                left -= part as u64;
            }
            true
        }
        Step::Pause(time) => !line.wait_for_close(*time),
        Step::Hold => !line.wait_for_close(Duration::from_secs(600)),
        Step::Demand(_) | Step::Reset | Step::HangUp => unreachable!("run by the caller"),
    }
}

fn read_head(line: &mut ServerStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0; 4096];
    let _ = line.tcp().set_read_timeout(Some(WAIT_LIMIT));
    // A ClientHello at a plaintext port is answered in HTTP, as most servers do.
    while !head.windows(4).any(|w| w == b"\r\n\r\n") && head.first() != Some(&22) {
        match line.read(&mut byte) {
            Ok(n) if n > 0 => head.extend_from_slice(&byte[..n]),
            _ => return None,
        }
    }
    Some(head)
}

fn path_of(head: &[u8]) -> String {
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let target = line.split(|b| *b == b' ').nth(1).unwrap_or_default();
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    String::from_utf8_lossy(path).into_owned()
}
