//! An app that sends what its script has, byte for byte: a port for each script. It waits for bytes or for frames
//! of HTTP/2, so that it can break off at each stage.

use super::fake_app::{Step, play};
use super::frames::{self, Frame, FrameHeader};
use super::line::{Line, Security};
use super::{WAIT_LIMIT, within};
use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// One thing the app does on a connection.
#[derive(Clone, Debug)]
pub enum Act {
    /// A step of a fake app.
    Do(Step),
    /// Waits for so many bytes.
    Bytes(usize),
    /// Waits for the end of a request in HTTP/2.
    Request,
    /// Waits for a frame of this type with these flags among its own.
    Frame(u8, u8),
}

/// What happens on one connection; at its end it is closed in order.
pub type Play = Vec<Act>;

/// Sends bytes.
pub fn send(bytes: impl Into<Vec<u8>>) -> Act {
    Act::Do(Step::Send(bytes.into()))
}

/// The app; it ends, and its connections with it, when dropped.
#[derive(Debug)]
pub struct Scripted {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    security: Security,
    plays: Vec<Play>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    stop: AtomicBool,
    streams: Mutex<HashMap<usize, TcpStream>>,
    frames: Mutex<Vec<Frame>>,
}

impl Scripted {
    /// Listens on a free port of 127.0.0.1. With several plays each connection has the next of them.
    pub fn start(security: Security, plays: Vec<Play>) -> Self {
        Self::start_on(0, security, plays)
    }

    /// The same on a port that was reserved before.
    pub fn start_on(port: u16, security: Security, plays: Vec<Play>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            security,
            plays,
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            streams: Mutex::default(),
            frames: Mutex::default(),
        });
        let accepting = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Self {
            addr,
            shared,
            accepting: Some(accepting),
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
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
        within(WAIT_LIMIT, || self.shared.open.load(Ordering::SeqCst) == 0)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
        let streams = self.shared.streams.lock();
        for (_, stream) in streams.unwrap_or_else(PoisonError::into_inner).drain() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let count = shared.accepted.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        let Ok(clone) = stream.try_clone() else {
            continue;
        };
        shared.keep(count, Some(clone));
        let shared = shared.clone();
        std::thread::spawn(move || {
            perform(stream, &shared, count % shared.plays.len());
            // Only now is it closed, in order or by a reset.
            shared.keep(count, None);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

impl Shared {
    /// Keeps a connection, so that it can be ended from outside, or no longer.
    fn keep(&self, id: usize, stream: Option<TcpStream>) {
        let streams = self.streams.lock();
        let mut streams = streams.unwrap_or_else(PoisonError::into_inner);
        match stream {
            Some(stream) => streams.insert(id, stream),
            None => streams.remove(&id),
        };
    }
}

fn perform(stream: TcpStream, shared: &Shared, which: usize) {
    let Ok(line) = Line::open(stream, &shared.security) else {
        return;
    };
    let mut stage = Stage {
        line,
        unread: VecDeque::new(),
        greeted: false,
        shared,
    };
    for act in &shared.plays[which] {
        let goes_on = match act {
            Act::Do(Step::Reset) => return stage.line.reset(),
            Act::Do(Step::HangUp) => {
                stage.line.hang_up();
                stage.line.wait_for_close(WAIT_LIMIT);
                return;
            }
            Act::Do(step) => play(step, &mut stage.line),
            Act::Bytes(count) => stage.bytes(*count).is_some(),
            Act::Request => stage.request().is_some(),
            Act::Frame(kind, flags) => stage.frame(*kind, *flags).is_some(),
        };
        if !goes_on {
            return;
        }
    }
    stage.line.end();
    stage.line.wait_for_close(WAIT_LIMIT);
}

/// A connection, and what was read of it ahead.
struct Stage<'a> {
    line: Line,
    unread: VecDeque<u8>,
    greeted: bool,
    shared: &'a Shared,
}

impl Stage<'_> {
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
