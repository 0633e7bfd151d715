//! The server: start, accept loop, graceful shutdown; and errors that prevent the start.

use super::api_client::{ApiClient, ApiError, webhook_configuration_path};
use super::client_ca::ClientCa;
use super::cluster::{ClusterReader, PodFinder};
use super::connection;
use super::options::{CertSource, NotInjectedPods, Options};
use super::refresher::Refresher;
use super::secret_cert_store::SecretCertStore;
use super::server_state::ServerState;
use super::serving_cert::{CertWatcher, ServingCert};
use super::settings::{ReloadableSettings, ValuesFileError};
use super::stream_io::timeout_at;
use crate::config::Listen;
use crate::limits;
use crate::net::{self, KernelQueues, ListenError, ListenFlags, yield_now};
use crate::pem::FileError;
use crate::telemetry::Level;
use async_io::{Async, Timer};
use core::fmt;
use core::time::Duration;
use smol::io::AsyncReadExt;
use smol::{LocalExecutor, future};
use std::io;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Instant;

/// Descriptors other than those of connections: standard streams, reactor, signals, listener, a file, the API server.
const RESERVED_DESCRIPTORS: usize = 32;

/// An error that prevents the start.
#[derive(Debug)]
pub enum StartError {
    /// The kernel refused this resource.
    Kernel(&'static str, io::Error),
    /// The listener could not be bound.
    Listen(ListenError),
    /// The certificate, its key, or the CA of the clients cannot be used.
    Certificate(FileError),
    /// The TLS configuration is invalid.
    Tls(rustls::Error),
    /// The ConfigMap's `values` cannot be used.
    Values(ValuesFileError),
    /// The API server that a self-signed certificate needs is unknown, or its options are invalid.
    Api(ApiError),
}

impl core::error::Error for StartError {}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Kernel(what, error) => write!(f, "cannot create the {what}: {error}"),
            StartError::Listen(error) => error.fmt(f),
            StartError::Certificate(error) => error.fmt(f),
            StartError::Tls(error) => error.fmt(f),
            StartError::Values(error) => error.fmt(f),
            StartError::Api(error) => error.fmt(f),
        }
    }
}

/// Serves until SIGTERM or SIGINT, then until the requests in flight have ended.
///
/// # Errors
/// An error that prevents the start.
pub fn run(options: Options) -> Result<(), StartError> {
    // No exec may gain privileges from now on. Threads inherit it, so it comes before the first one. It fails only under
    // a seccomp filter, and the webhook executes no program.
    let _ = rustix::thread::set_no_new_privs(true);
    let executor = Rc::new(LocalExecutor::new());
    let main = run_until_shutdown(executor.clone(), options);
    async_io::block_on(future::or(main, run_tasks(&executor)))
}

/// Runs tasks one by one, between which `block_on` reads the events of sockets: `LocalExecutor::run` would run 200 first,
/// and a task may be a TLS handshake.
async fn run_tasks<T>(executor: &LocalExecutor<'static>) -> T {
    loop {
        executor.tick().await;
        yield_now().await;
    }
}

async fn run_until_shutdown(
    executor: Rc<LocalExecutor<'static>>,
    options: Options,
) -> Result<(), StartError> {
    let mut signals = termination_signals()?;
    let max_sockets = raise_descriptor_limit();
    let settings = ReloadableSettings::load(options.flags, options.config.as_deref());
    let settings = settings.map_err(StartError::Values)?;
    let cert = load_cert(&options.certificate)?;
    let client_ca = options.client_ca_path.as_deref().map(ClientCa::load);
    let client_ca = client_ca.transpose().map_err(StartError::Certificate)?;
    let state = ServerState::new(options.log, settings, cert, client_ca, max_sockets);
    let state = state.map_err(StartError::Tls)?;
    let state = Rc::new(state);
    let client = ApiClient::from_options(&options.api_server, |name| std::env::var(name).ok());
    let client = client.map_err(StartError::Api)?.map(Rc::new);
    let configuration_path = webhook_configuration_path(&options.webhook_configuration);
    let configuration_path = configuration_path.map_err(StartError::Api)?;
    let store = cert_store(&options.certificate, client.as_ref(), &configuration_path)?;
    let reader = client.clone();
    let reader = reader.map(|client| ClusterReader::new(state.clone(), client));
    let finder = pod_finder(
        &state,
        client.as_ref(),
        configuration_path,
        options.not_injected_pods,
    )?;
    // kubelet's first probes wait in the backlog until there is a certificate, instead of failing.
    let listener = bind(options.listen)?;
    let refresher = Refresher::new(state.clone(), client, store);
    let shutdown = async {
        wait_for_signal(&mut signals).await;
        true
    };
    let ready = async {
        let read = async {
            if let Some(reader) = &reader {
                reader.wait_until_ready().await;
            }
        };
        future::zip(refresher.wait_until_ready(), read).await;
        false
    };
    let is_shutdown = future::or(shutdown, ready).await;
    if is_shutdown {
        return Ok(());
    }
    executor
        .spawn(async move { refresher.run().await })
        .detach();
    if let Some(reader) = reader {
        executor.spawn(async move { reader.run().await }).detach();
    }
    if let Some(finder) = finder {
        executor.spawn(finder.run()).detach();
    }
    let server = Server {
        executor,
        state,
        listener,
    };
    server.serve(signals, options.shutdown_delay).await;
    Ok(())
}

fn load_cert(source: &CertSource) -> Result<Option<(CertWatcher, ServingCert)>, StartError> {
    match source {
        CertSource::Files {
            certificate_path,
            key_path,
        } => CertWatcher::load(certificate_path, key_path)
            .map(Some)
            .map_err(StartError::Certificate),
        CertSource::SelfSigned(_) => Ok(None),
    }
}

fn cert_store(
    source: &CertSource,
    client: Option<&Rc<ApiClient>>,
    configuration_path: &str,
) -> Result<Option<SecretCertStore>, StartError> {
    match (source, client) {
        (CertSource::Files { .. }, _) => Ok(None),
        (CertSource::SelfSigned(names), Some(client)) => {
            let store = SecretCertStore::new(client.clone(), names, configuration_path.into());
            store.map(Some).map_err(StartError::Api)
        }
        (CertSource::SelfSigned(_), None) => Err(StartError::Api(ApiError(
            "--self-signed needs an API server: run it in a pod, or write --api-server https://HOST:PORT".into(),
        ))),
    }
}

/// The finder of pods that are not injected, if it is wanted.
fn pod_finder(
    state: &Rc<ServerState>,
    client: Option<&Rc<ApiClient>>,
    configuration_path: String,
    task: NotInjectedPods,
) -> Result<Option<PodFinder>, StartError> {
    match (task, client) {
        (NotInjectedPods::Ignore, _) => Ok(None),
        (_, None) => Err(StartError::Api(ApiError(
            "--find-pods and --repair need an API server: run it in a pod, or write --api-server https://HOST:PORT".into(),
        ))),
        (task, Some(client)) => {
            let (state, client) = (state.clone(), client.clone());
            Ok(PodFinder::new(state, client, configuration_path, task))
        }
    }
}

/// A server that listens.
struct Server {
    executor: Rc<LocalExecutor<'static>>,
    state: Rc<ServerState>,
    listener: Async<TcpListener>,
}

impl Server {
    async fn serve(self, mut signals: Async<UnixStream>, shutdown_delay: Duration) {
        let log = &self.state.log;
        let addr = self.listener.get_ref().local_addr();
        let addr = addr.map_or_else(|_| String::new(), |addr| addr.to_string());
        log.line(Level::Info, "listening").field("addr", addr);
        let shutdown = async {
            wait_for_signal(&mut signals).await;
            log.line(Level::Info, "stopping")
                .field("delay_seconds", shutdown_delay.as_secs());
            Timer::after(shutdown_delay).await;
        };
        let state = &self.state;
        let evictors = future::or(state.run_body_evictor(), state.run_handshake_evictor());
        future::or(shutdown, future::or(self.accept_loop(), evictors)).await;
        let Server {
            state, listener, ..
        } = self;
        drop(listener);
        state.drain();
        let deadline = Instant::now() + limits::WEBHOOK_DRAIN_TIMEOUT;
        let drained = async {
            timeout_at(deadline, state.connections.wait_until_empty()).await;
        };
        // Reviews in flight may wait for the memory of bodies that do not arrive.
        future::or(drained, state.run_body_evictor()).await;
        let open_connections = state.connections.count();
        let level = match open_connections {
            0 => Level::Info,
            _ => Level::Warn,
        };
        state
            .log
            .line(level, "stopped")
            .field("open_connections", open_connections);
    }

    async fn accept_loop(&self) {
        loop {
            for _ in 0..limits::WEBHOOK_ACCEPT_BATCH {
                self.state.connections.wait_for_socket().await;
                match self.listener.accept().await {
                    Ok((socket, addr)) => self.admit(socket, addr.ip().to_canonical()),
                    Err(error) => {
                        self.state.log_accept_failure(&error);
                        Timer::after(limits::ACCEPT_BACKOFF).await;
                    }
                }
            }
            self.run_ready_tasks().await;
        }
    }

    /// Waits until all tasks that are ready have run once: the executor runs them in order, so a new one is the last.
    async fn run_ready_tasks(&self) {
        self.executor.spawn(async {}).await;
    }

    /// Serves a connection, for which another one is evicted if necessary. It is closed if there is none to evict: its
    /// address has most connections then, and all of them are busy.
    fn admit(&self, socket: Async<TcpStream>, client: IpAddr) {
        let connections = &self.state.connections;
        if connections.is_full() {
            let Some(evicted) = connections.evict_for(client) else {
                self.state.record_rejected(client);
                return;
            };
            self.state.log_evicted(evicted);
        }
        let id = connections.insert(client);
        let open_socket = connections.open_socket();
        let state = self.state.clone();
        let task = self.executor.spawn(async move {
            let _open_socket = open_socket;
            connection::serve(&state, socket, client, id).await;
            state.connections.remove(id);
        });
        connections.set_task(id, task);
    }
}

/// Raises the limit of descriptors to what `limits::WEBHOOK_CONNECTIONS` need, as far as allowed. Returns the number of
/// sockets that fit: a connection is evicted before descriptors run out.
fn raise_descriptor_limit() -> usize {
    let connections = limits::WEBHOOK_CONNECTIONS + limits::WEBHOOK_CLOSING_CONNECTIONS;
    let wanted = connections + RESERVED_DESCRIPTORS;
    let available = net::raise_descriptor_limit(wanted).min(wanted);
    available.saturating_sub(RESERVED_DESCRIPTORS).max(1)
}

/// The flags of the address.
const FLAGS: ListenFlags = ListenFlags {
    port: "--port",
    addr: "--addr",
};

fn bind(listen: Listen) -> Result<Async<TcpListener>, StartError> {
    let queues = KernelQueues {
        backlog: limits::WEBHOOK_BACKLOG,
        receive_buffer: Some(limits::RECEIVE_BUFFER_BYTES),
    };
    let socket = net::bind(listen.addr, listen.port, queues).map_err(|error| {
        StartError::Listen(ListenError {
            flags: FLAGS,
            error,
        })
    })?;
    Async::new(TcpListener::from(socket.fd))
        .map_err(|error| StartError::Kernel("epoll instance", error))
}

fn termination_signals() -> Result<Async<UnixStream>, StartError> {
    net::termination_signals()
        .and_then(Async::new)
        .map_err(|error| StartError::Kernel("signal pipe", error))
}

/// Waits for the first signal. A failed read means that the pair is broken; ending is the only safe reaction.
async fn wait_for_signal(signals: &mut Async<UnixStream>) {
    let _ = signals.read(&mut [0]).await;
}
