//! The listener and connections of a fake app, with a thread for each connection. All close with the app.

use super::lock;
use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A listener and its connections. Dropping it closes them.
#[derive(Debug)]
pub struct Connections {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<HashMap<u64, TcpStream>>,
    accepted: AtomicU64,
    stop: AtomicBool,
}

impl Connections {
    /// Listens on an address. `serve` gets each connection with its number, from 0.
    pub fn start(addr: SocketAddr, serve: impl Fn(u64, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(addr).expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared::default());
        let accepting = std::thread::spawn({
            let (shared, serve) = (shared.clone(), Arc::new(serve));
            move || accept(&listener, &shared, &serve)
        });
        Self {
            addr,
            shared,
            accepting: Some(accepting),
        }
    }

    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Number of connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Number of open connections.
    pub fn open(&self) -> usize {
        lock(&self.shared.open).len()
    }

    /// Closes all open connections.
    pub fn hang_up(&self) {
        for stream in lock(&self.shared.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
        self.hang_up();
    }
}

fn accept(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    serve: &Arc<impl Fn(u64, TcpStream) + Send + Sync + 'static>,
) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        let Ok(clone) = stream.try_clone() else {
            continue;
        };
        lock(&shared.open).insert(number, clone);
        let (shared, serve) = (shared.clone(), serve.clone());
        let serve = move || {
            serve(number, stream);
            // `serve` has closed the connection, cleanly or by a reset.
            lock(&shared.open).remove(&number);
        };
        // Hundreds of connections may be held. A TLS handshake needs most of this stack.
        let small = std::thread::Builder::new().stack_size(512 * 1024);
        small.spawn(serve).expect("a thread");
    }
}
