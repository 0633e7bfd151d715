//! An app that sends what its script has, byte for byte: a port for each script. It waits for bytes or for frames
//! of HTTP/2, so that it can break off at each stage.

use super::connections::Connections;
use super::fake_app::{Step, run_step};
use super::frames::{self, Frame, FrameHeader};
use super::stream::{Security, ServerStream};
use super::{WAIT_LIMIT, within};
use std::collections::VecDeque;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// One thing the app does on a connection.
#[derive(Clone, Debug)]
pub enum Action {
    /// A step of a fake app.
    Step(Step),
    /// Waits for so many bytes.
    Bytes(usize),
    /// Waits for the end of a request in HTTP/2.
    Request,
    /// Waits for a frame of this type with these flags among its own.
    Frame(u8, u8),
}

/// What happens on one connection; at its end it is closed in order.
pub type ConnectionScript = Vec<Action>;

/// Sends bytes.
pub fn send(bytes: impl Into<Vec<u8>>) -> Action {
    Action::Step(Step::Send(bytes.into()))
}

/// The app; it ends, and its connections with it, when dropped.
#[derive(Debug)]
pub struct Scripted {
    connections: Connections,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    security: Security,
    scripts: Vec<ConnectionScript>,
    frames: Mutex<Vec<Frame>>,
}

impl Scripted {
    /// Listens on a free port of 127.0.0.1. With several scripts each connection has the next of them.
    pub fn start(security: Security, scripts: Vec<ConnectionScript>) -> Self {
        Self::start_on(0, security, scripts)
    }

    /// The same on a port that was reserved before.
    pub fn start_on(port: u16, security: Security, scripts: Vec<ConnectionScript>) -> Self {
        let shared = Arc::new(Shared {
            security,
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

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.connections.accepted() as usize
    }

    /// The frames of HTTP/2 it read so far, of all connections.
    pub fn frames(&self) -> Vec<Frame> {
        let frames = &self.shared.frames;
        frames
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until no connection is open.
    pub fn wait_idle(&self) -> bool {
        within(WAIT_LIMIT, || self.connections.open() == 0)
    }
}

fn serve(stream: TcpStream, shared: &Shared, which: usize) {
    let Ok(line) = ServerStream::open(stream, &shared.security) else {
        return;
    };
    let mut connection = Connection {
        line,
        unread: VecDeque::new(),
        greeted: false,
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
            Action::Bytes(count) => connection.bytes(*count).is_some(),
            Action::Request => connection.request().is_some(),
            Action::Frame(kind, flags) => connection.frame(*kind, *flags).is_some(),
        };
        if !has_succeeded {
            return;
        }
    }
    connection.line.end();
    connection.line.wait_for_close(WAIT_LIMIT);
}

/// A connection, and what was read of it ahead.
struct Connection<'a> {
    line: ServerStream,
    unread: VecDeque<u8>,
    greeted: bool,
    shared: &'a Shared,
}

impl Connection<'_> {
    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut part = [0; 4096];
        self.line.tcp().set_read_timeout(Some(WAIT_LIMIT)).ok()?;
        while self.unread.len() < count {
            let n = self.line.read(&mut part).ok().filter(|n| *n > 0)?;
            self.unread.extend(&part[..n]);
        }
        Some(self.unread.drain(..count).collect())
    }

    fn next(&mut self) -> Option<Frame> {
        if !self.greeted {
            let preface = self.bytes(frames::PREFACE.len())?;
            self.greeted = true;
            (preface == frames::PREFACE).then_some(())?;
        }
        let header = FrameHeader::parse(self.bytes(9)?.try_into().ok()?);
        let frame = Frame {
            kind: header.kind,
            flags: header.flags,
            stream: header.stream,
            payload: self.bytes(header.len as usize)?,
        };
        let frames = self.shared.frames.lock();
        frames
            .unwrap_or_else(PoisonError::into_inner)
            .push(frame.clone());
        Some(frame)
    }

    fn frame(&mut self, kind: u8, flags: u8) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind && frame.flags & flags == flags {
                return Some(frame);
            }
        }
    }

    fn request(&mut self) -> Option<()> {
        let mut ends = false;
        loop {
            let frame = self.next()?;
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
