//! An app with a script for each connection. It sends bytes as scripted and waits for bytes or for frames of HTTP/2,
//! so that it can fail at each stage of an exchange.

use super::connections::Connections;
use super::frames::{self, Frame, FrameHeader};
use super::lock;
use super::path_scripted_app::{Step, run_step};
use super::stream::{ServerStream, ServerTls};
use super::{WAIT_LIMIT, within};
use std::collections::VecDeque;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex};

/// One action of the app on a connection.
#[derive(Clone, Debug)]
pub enum Action {
    /// A step, as in a `PathScriptedApp`.
    Step(Step),
    /// Waits for this number of bytes.
    Bytes(usize),
    /// Waits for the end of an HTTP/2 request.
    Request,
    /// Waits for a frame of this type that has at least these flags.
    Frame(u8, u8),
}

/// The actions on one connection, which then closes cleanly.
pub type ConnectionScript = Vec<Action>;

/// Sends bytes.
pub fn send(bytes: impl Into<Vec<u8>>) -> Action {
    Action::Step(Step::Send(bytes.into()))
}

/// The app. Dropping it closes the port and all connections.
#[derive(Debug)]
pub struct ConnectionScriptedApp {
    connections: Connections,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server_tls: ServerTls,
    scripts: Vec<ConnectionScript>,
    frames: Mutex<Vec<Frame>>,
}

impl ConnectionScriptedApp {
    /// Listens on a free port of 127.0.0.1. Connections run the scripts in turn.
    pub fn start(server_tls: ServerTls, scripts: Vec<ConnectionScript>) -> Self {
        Self::start_on(0, server_tls, scripts)
    }

    /// Like `start`, on a reserved port.
    pub fn start_on(port: u16, server_tls: ServerTls, scripts: Vec<ConnectionScript>) -> Self {
        let shared = Arc::new(Shared {
            server_tls,
            scripts,
            frames: Mutex::default(),
        });
        let serving = shared.clone();
        let serve_one = move |number: u64, stream| {
            let which = number as usize % serving.scripts.len();
            serve(stream, &serving, which);
        };
        Self {
            connections: Connections::start((Ipv4Addr::LOCALHOST, port).into(), serve_one),
            shared,
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.connections.addr().port()
    }

    /// Number of connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.connections.accepted() as usize
    }

    /// The HTTP/2 frames read so far on all connections.
    pub fn frames(&self) -> Vec<Frame> {
        lock(&self.shared.frames).clone()
    }

    /// Waits until no connection is open. Returns whether that was in time.
    pub fn wait_idle(&self) -> bool {
        within(WAIT_LIMIT, || self.connections.open() == 0)
    }
}

fn serve(stream: TcpStream, shared: &Shared, which: usize) {
    let Ok(line) = ServerStream::open(stream, &shared.server_tls) else {
        return;
    };
    let mut connection = Connection {
        line,
        unread: VecDeque::new(),
        has_preface: false,
        shared,
    };
    for action in &shared.scripts[which] {
        let has_succeeded = match action {
            Action::Step(Step::Reset) => return connection.line.reset(),
            Action::Step(Step::HangUp) => {
                connection.line.hang_up();
                connection.line.wait_for_close(WAIT_LIMIT);
                return;
            }
            Action::Step(step) => run_step(step, &mut connection.line),
            Action::Bytes(count) => connection.read_bytes(*count).is_some(),
            Action::Request => connection.wait_for_request().is_some(),
            Action::Frame(kind, flags) => connection.wait_for_frame(*kind, *flags).is_some(),
        };
        if !has_succeeded {
            return;
        }
    }
    connection.line.end();
    connection.line.wait_for_close(WAIT_LIMIT);
}

/// A connection and its read-ahead buffer.
struct Connection<'a> {
    line: ServerStream,
    unread: VecDeque<u8>,
    has_preface: bool,
    shared: &'a Shared,
}

impl Connection<'_> {
    fn read_bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut part = [0; 4096];
        self.line.tcp().set_read_timeout(Some(WAIT_LIMIT)).ok()?;
        while self.unread.len() < count {
            let n = self.line.read(&mut part).ok().filter(|n| *n > 0)?;
            self.unread.extend(&part[..n]);
        }
        Some(self.unread.drain(..count).collect())
    }

    fn read_frame(&mut self) -> Option<Frame> {
        if !self.has_preface {
            let preface = self.read_bytes(frames::PREFACE.len())?;
            self.has_preface = true;
            (preface == frames::PREFACE).then_some(())?;
        }
        let header = FrameHeader::parse(self.read_bytes(9)?.try_into().ok()?);
        let frame = Frame {
            kind: header.kind,
            flags: header.flags,
            stream: header.stream,
            payload: self.read_bytes(header.len as usize)?,
        };
        lock(&self.shared.frames).push(frame.clone());
        Some(frame)
    }

    fn wait_for_frame(&mut self, kind: u8, flags: u8) -> Option<Frame> {
        loop {
            let frame = self.read_frame()?;
            if frame.kind == kind && frame.flags & flags == flags {
                return Some(frame);
            }
        }
    }

    fn wait_for_request(&mut self) -> Option<()> {
        let mut ends = false;
        loop {
            let frame = self.read_frame()?;
            if matches!(frame.kind, frames::DATA | frames::HEADERS) {
                ends |= frame.flags & frames::END_STREAM != 0;
            }
            let is_head = matches!(frame.kind, frames::HEADERS | frames::CONTINUATION);
            let is_whole = !is_head || frame.flags & frames::END_HEADERS != 0;
            if ends && is_whole {
                return Some(());
            }
        }
    }
}
