//! An app that misbehaves as scripted: the path of a request selects a script, a list of steps. It records the
//! requests that it receives.

use super::connections::Connections;
use super::lock;
use super::stream::{ServerStream, ServerTls};
use super::{WAIT_LIMIT, within};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One action of the app after it has read a request head.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends the bytes one by one, with a pause before each.
    Drip(Vec<u8>, Duration),
    /// Repeats the bytes until the total number is sent.
    Flood(Vec<u8>, u64),
    /// Waits.
    Pause(Duration),
    /// Waits until the client closes.
    Hold,
    /// Continues if the request has this field line, otherwise returns 401.
    Demand(&'static str),
    /// Closes with a reset. A script without it ends with a clean close.
    Reset,
    /// Closes without close_notify.
    HangUp,
    /// Sends bytes outside TLS.
    SendOutsideTls(Vec<u8>),
}

/// The actions for one request.
pub type Script = Vec<Step>;

/// A received request.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// The number of its connection, from 0.
    pub connection: u64,
    /// The path, without the query.
    pub path: String,
    /// The head, byte for byte, with its blank line.
    pub head: Vec<u8>,
    /// Whether the client closed before the end of the script.
    pub is_aborted: bool,
}

#[derive(Debug, Default)]
struct Shared {
    scripts: Mutex<HashMap<String, Arc<Script>>>,
    default: Mutex<Option<Arc<Script>>>,
    requests: Mutex<Vec<RecordedRequest>>,
    server_tls: ServerTls,
}

/// The app. Dropping it closes the port and all connections.
#[derive(Debug)]
pub struct PathScriptedApp {
    connections: Connections,
    shared: Arc<Shared>,
}

impl PathScriptedApp {
    /// Listens on a free port of 127.0.0.1. A path without a script gets 404.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1:0".parse().expect("an address"))
    }

    /// Listens on this address.
    pub fn start_on(addr: SocketAddr) -> Self {
        Self::start_with(addr, None)
    }

    /// Listens on a free port of 127.0.0.1 with this TLS configuration.
    pub fn start_tls(server_tls: ServerTls) -> Self {
        Self::start_with("127.0.0.1:0".parse().expect("an address"), server_tls)
    }

    fn start_with(addr: SocketAddr, server_tls: ServerTls) -> Self {
        let shared = Arc::new(Shared {
            server_tls,
            ..Shared::default()
        });
        let serving = shared.clone();
        let serve = move |number, stream| serve(number, stream, &serving);
        Self {
            connections: Connections::start(addr, serve),
            shared,
        }
    }

    /// The address that it listens on.
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

    /// Sets the script of every path that has none.
    pub fn set_default(&self, script: Script) {
        *lock(&self.shared.default) = Some(Arc::new(script));
    }

    /// Closes all open connections.
    pub fn hang_up(&self) {
        self.connections.hang_up();
    }

    /// Number of connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.connections.accepted()
    }

    /// Number of open connections.
    pub fn open(&self) -> usize {
        self.connections.open()
    }

    /// Requests so far, in the order in which their heads were complete.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        lock(&self.shared.requests).clone()
    }

    /// Requests for a path.
    pub fn requests_for(&self, path: &str) -> Vec<RecordedRequest> {
        self.requests()
            .into_iter()
            .filter(|s| s.path == path)
            .collect()
    }

    /// Removes and returns the recorded requests.
    pub fn take_requests(&self) -> Vec<RecordedRequest> {
        std::mem::take(&mut lock(&self.shared.requests))
    }

    /// Waits for `count` requests of a path. Returns whether they arrived in time.
    pub fn wait_for_requests(&self, path: &str, count: usize) -> bool {
        within(WAIT_LIMIT, || self.requests_for(path).len() >= count)
    }

    /// Waits until no connection is open. Returns whether that was in time.
    pub fn wait_idle(&self) -> bool {
        within(WAIT_LIMIT, || self.open() == 0)
    }
}

fn serve(id: u64, stream: TcpStream, shared: &Shared) {
    let Ok(mut line) = ServerStream::open(stream, &shared.server_tls) else {
        return;
    };
    let Some(head) = read_head(&mut line) else {
        return;
    };
    let path = path_of(&head);
    let script = lock(&shared.scripts).get(&path).cloned();
    let script = script.or_else(|| lock(&shared.default).clone());
    lock(&shared.requests).push(RecordedRequest {
        connection: id,
        path,
        head: head.clone(),
        is_aborted: false,
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
            let mut requests = lock(&shared.requests);
            requests
                .iter_mut()
                .filter(|r| r.connection == id)
                .for_each(|r| r.is_aborted = true);
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

/// Runs a step that does not end the connection. Returns false if the client has closed.
pub(super) fn run_step(step: &Step, line: &mut ServerStream) -> bool {
    match step {
        Step::Send(bytes) => line.write_all(bytes).is_ok(),
        Step::SendOutsideTls(bytes) => line.write_outside_tls(bytes).is_ok(),
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
    // A plaintext port responds to a ClientHello (record type 22) in HTTP, as most servers do.
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
