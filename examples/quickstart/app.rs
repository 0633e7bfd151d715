//! The guide's app, `liveness-http`: `/foo` in plaintext on 127.0.0.1, port 8001 for regular traffic and 8002 for health
//! checks. It can fail, hang and stop.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// Regular traffic. Outside the pod, the mesh requires mutual TLS on this port.
pub const REGULAR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8001);
/// Health checks, without a certificate.
pub const HEALTH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8002);

/// The app's state: it returns 200, returns 500, never responds, or does not listen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AppState {
    Healthy,
    Failing,
    Hanging,
    Stopped,
}

pub struct App(Arc<Mutex<AppState>>, Vec<JoinHandle<()>>);

impl App {
    pub fn start() -> Result<Self, String> {
        let state = Arc::new(Mutex::new(AppState::Healthy));
        let mut threads = Vec::new();
        for addr in [REGULAR, HEALTH] {
            let (listener, state) = (bind(addr, "the app")?, state.clone());
            threads.push(thread::spawn(move || serve(&listener, &state)));
        }
        Ok(Self(state, threads))
    }

    /// Changes the state. `Stopped` is final.
    pub fn set_state(&mut self, state: AppState) {
        *self.0.lock().unwrap() = state;
        if state == AppState::Stopped {
            // A connection wakes up the listener, which then closes.
            drop([REGULAR, HEALTH].map(TcpStream::connect));
            self.1.drain(..).for_each(|thread| thread.join().unwrap());
        }
    }
}

/// Binds an address. The error names the address and its user.
pub fn bind(addr: SocketAddr, who: &str) -> Result<TcpListener, String> {
    TcpListener::bind(addr).map_err(|error| format!("{who} cannot listen on {addr}: {error}"))
}

fn serve(listener: &TcpListener, state: &Mutex<AppState>) {
    for stream in listener.incoming().flatten() {
        let state = *state.lock().unwrap();
        if state == AppState::Stopped {
            return;
        }
        answer(stream, state);
    }
}

/// Serves one request. A client that closes early is not an error.
fn answer(mut stream: TcpStream, state: AppState) -> Option<()> {
    let path = read_path(&mut stream)?;
    let (status, body) = match state {
        AppState::Hanging => return stream.read(&mut [0]).map(drop).ok(),
        AppState::Failing => ("500 Internal Server Error", "broken"),
        _ if path == "/foo" => ("200 OK", "well"),
        _ => ("404 Not Found", "no such page"),
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).ok()
}

/// Reads a head to its blank line and returns the path that it requests.
pub fn read_path(stream: &mut impl Read) -> Option<String> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    first.split(' ').nth(1).map(str::to_owned)
}
