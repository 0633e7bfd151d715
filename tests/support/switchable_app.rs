//! An app with one response for all requests, which a test changes while the agent runs. One thread serves it.

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
use super::ports::wait_until_refused;

/// What the app does with the next request, and with the requests that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// This status and a short body.
    Status(u16),
    /// Waits until another mode is set.
    Hold,
    /// Closes without a response.
    Close,
    /// Redirects to this port.
    RedirectTo(u16),
    /// Redirects to another scheme.
    RedirectToHttps,
}

/// The body of every response.
pub const BODY: &str = "app\n";

/// Serves on 127.0.0.1 until dropped.
pub struct SwitchableApp {
    port: u16,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

struct Shared {
    mode: Mutex<Mode>,
    requests: AtomicUsize,
    /// Carries no messages. Closing it stops the app.
    running: (Sender<()>, Receiver<()>),
}

struct Mode {
    current: ReplyMode,
    /// Wakers of held requests.
    held: Vec<Waker>,
}

impl SwitchableApp {
    /// An app on a free port.
    pub fn start(mode: ReplyMode) -> SwitchableApp {
        let listener = Async::<TcpListener>::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.get_ref().local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode {
                current: mode,
                held: Vec::new(),
            }),
            requests: AtomicUsize::new(0),
            running: bounded(1),
        });
        let app = Arc::clone(&shared);
        let serving = Some(thread::spawn(move || app.run(&listener)));
        SwitchableApp {
            port,
            shared,
            serving,
        }
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the mode, also for held requests.
    pub fn set(&self, mode: ReplyMode) {
        let mut shared = self.shared.mode.lock().expect("not poisoned");
        shared.current = mode;
        shared.held.drain(..).for_each(Waker::wake);
    }

    /// Number of complete requests so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Waits until the app has received `count` requests since its start.
    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) {
        until(&format!("{count} requests at the app"), || {
            (self.requests() >= count).then_some(())
        });
    }
}

impl Drop for SwitchableApp {
    fn drop(&mut self) {
        // Stops the thread, which closes the port and every connection.
        self.shared.running.0.close();
        let _ = self.serving.take().map(JoinHandle::join);
        wait_until_refused(self.addr());
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

    /// Waits while the mode is `Hold`, and returns the next one.
    fn wait_for_mode(&self) -> impl Future<Output = ReplyMode> {
        poll_fn(|context| {
            let mut mode = self.mode.lock().expect("not poisoned");
            if mode.current != ReplyMode::Hold {
                return Poll::Ready(mode.current);
            }
            mode.held.push(context.waker().clone());
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
        let (status, field) = match self.wait_for_mode().await {
            ReplyMode::Status(code) => (code, String::new()),
            ReplyMode::RedirectTo(port) => (302, format!("Location: http://127.0.0.1:{port}/\r\n")),
            ReplyMode::RedirectToHttps => (302, "Location: https://127.0.0.1:9/\r\n".into()),
            ReplyMode::Hold | ReplyMode::Close => return None,
        };
        let (length, body) = match status {
            204 | 304 => (String::new(), ""),
            _ => (format!("Content-Length: {}\r\n", BODY.len()), BODY),
        };
        let head = format!("HTTP/1.1 {status} \r\n{field}{length}\r\n{body}");
        stream.write_all(head.as_bytes()).await.ok()
    }
}
