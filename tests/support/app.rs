//! An app whose answer a test sets, and changes while the agent runs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use super::observe::until;
use super::{PATIENCE, within};

/// What the app does with the next request, and with the ones it is holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This status and a short body.
    Status(u16),
    /// Nothing, until another answer is set.
    Hold,
    /// Closes without a word.
    Close,
    /// Redirects to this port.
    RedirectTo(u16),
    /// Redirects to another scheme.
    RedirectToHttps,
}

/// The body of every answer.
pub const BODY: &str = "app\n";

/// Serves on 127.0.0.1 until dropped.
pub struct App {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    answer: Mutex<Option<Reply>>,
    changed: Condvar,
    requests: AtomicUsize,
}

impl App {
    /// An app on a port of its own.
    pub fn start(answer: Reply) -> App {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            answer: Mutex::new(Some(answer)),
            changed: Condvar::new(),
            requests: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.current().is_none() {
                    return;
                }
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(stream));
            }
        });
        App {
            port,
            shared,
            accepting: Some(accepting),
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the answer, also of the requests that are held.
    pub fn set(&self, answer: Reply) {
        self.shared.set(Some(answer));
    }

    /// Requests that have come in whole so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Waits until so many requests have come in since the start.
    #[track_caller]
    pub fn until_requests(&self, count: usize) {
        until(&format!("{count} requests at the app"), || {
            (self.requests() >= count).then_some(())
        });
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.shared.set(None);
        // Wakes the accepting thread, which finds the answer gone and closes the port.
        let _ = TcpStream::connect(self.addr());
        let _ = self.accepting.take().map(JoinHandle::join);
        // A process that another test is just starting holds a copy of the listener until its exec.
        within(PATIENCE, || TcpStream::connect(self.addr()).is_err());
    }
}

impl Shared {
    fn current(&self) -> Option<Reply> {
        *self.answer.lock().expect("no panic while it is held")
    }

    fn set(&self, answer: Option<Reply>) {
        *self.answer.lock().expect("no panic while it is held") = answer;
        self.changed.notify_all();
    }

    /// The answer, once it is another than to hold.
    fn decided(&self) -> Option<Reply> {
        let answer = self.answer.lock().expect("no panic while it is held");
        *self
            .changed
            .wait_while(answer, |a| *a == Some(Reply::Hold))
            .expect("no panic while it is held")
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        let mut buffer = [0; 4096];
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            let n = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
            head.extend_from_slice(&buffer[..n]);
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        let (status, field) = match self.decided()? {
            Reply::Status(code) => (code, String::new()),
            Reply::RedirectTo(port) => (302, format!("Location: http://127.0.0.1:{port}/\r\n")),
            Reply::RedirectToHttps => (302, "Location: https://127.0.0.1:9/\r\n".into()),
            Reply::Hold | Reply::Close => return None,
        };
        let body = if matches!(status, 204 | 304) {
            ""
        } else {
            BODY
        };
        let length = match body.len() {
            0 => String::new(),
            len => format!("Content-Length: {len}\r\n"),
        };
        let head = format!("HTTP/1.1 {status} \r\n{field}{length}\r\n{body}");
        stream.write_all(head.as_bytes()).ok()
    }
}
