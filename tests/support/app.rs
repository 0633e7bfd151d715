//! An app whose answer a test sets, and changes while the agent runs. One thread serves it.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};

use async_io::Async;
use smol::channel::{Receiver, Sender, bounded};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{LocalExecutor, future::or};

use super::observe::until;
use super::{WAIT_LIMIT, within};

/// What the app does with the next request, and with the ones it is holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This status and a short body.
    Status(u16),
    /// Nothing, until another answer is set.
    Hold,
    /// Closes without an answer.
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
    serving: Option<JoinHandle<()>>,
}

struct Shared {
    /// The answer, and the requests that wait for another one.
    answer: Mutex<(Reply, Vec<Waker>)>,
    requests: AtomicUsize,
    /// Carries nothing; closed, it ends the app.
    running: (Sender<()>, Receiver<()>),
}

impl App {
    /// An app on a free port.
    pub fn start(answer: Reply) -> App {
        let listener = Async::<TcpListener>::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.get_ref().local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            answer: Mutex::new((answer, Vec::new())),
            requests: AtomicUsize::new(0),
            running: bounded(1),
        });
        let app = Arc::clone(&shared);
        let serving = Some(thread::spawn(move || app.run(&listener)));
        App {
            port,
            shared,
            serving,
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
        let mut current = self.shared.answer.lock().expect("no panic under it");
        current.0 = answer;
        current.1.drain(..).for_each(Waker::wake);
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
        // Ends the thread, which closes the port and every connection.
        self.shared.running.0.close();
        let _ = self.serving.take().map(JoinHandle::join);
        // A process that another test is just starting holds a copy of the listener until its exec.
        within(WAIT_LIMIT, || TcpStream::connect(self.addr()).is_err());
    }
}

impl Shared {
    fn run(&self, listener: &Async<TcpListener>) {
        let executor = LocalExecutor::new();
        let accepting = async {
            while let Ok((stream, _)) = listener.accept().await {
                executor.spawn(self.serve(stream)).detach();
            }
        };
        let stopped = async { self.running.1.recv().await.unwrap_or_default() };
        async_io::block_on(executor.run(or(stopped, accepting)));
    }

    /// The answer, once it is not to hold.
    fn decided(&self) -> impl Future<Output = Reply> {
        poll_fn(|context| {
            let mut current = self.answer.lock().expect("no panic under it");
            if current.0 != Reply::Hold {
                return Poll::Ready(current.0);
            }
            current.1.push(context.waker().clone());
            Poll::Pending
        })
    }

    async fn serve(&self, mut stream: Async<TcpStream>) -> Option<()> {
        let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
            head.extend_from_slice(&buffer[..n]);
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        let (status, field) = match self.decided().await {
            Reply::Status(code) => (code, String::new()),
            Reply::RedirectTo(port) => (302, format!("Location: http://127.0.0.1:{port}/\r\n")),
            Reply::RedirectToHttps => (302, "Location: https://127.0.0.1:9/\r\n".into()),
            Reply::Hold | Reply::Close => return None,
        };
        let (length, body) = match status {
            204 | 304 => (String::new(), ""),
            _ => (format!("Content-Length: {}\r\n", BODY.len()), BODY),
        };
        let head = format!("HTTP/1.1 {status} \r\n{field}{length}\r\n{body}");
        stream.write_all(head.as_bytes()).await.ok()
    }
}
