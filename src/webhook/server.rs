//! Start, accept, drain.

use super::api::Client;
use super::keeper::Keeper;
use super::serving_cert::CertWatcher;
use super::settings::Live;
use super::share::Sharing;
use super::shared::Shared;
use super::stream::before;
use super::{Certificate, Error, Options, connection};
use crate::config::Listen;
use crate::limits;
use crate::net::{self, BindError};
use crate::telemetry::Level;
use async_io::{Async, Timer};
use core::time::Duration;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smol::io::AsyncReadExt;
use smol::{LocalExecutor, future};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Instant;

/// Descriptors beside those of connections: standard streams, reactor, signals, listener, a file, the API server.
const OWN_DESCRIPTORS: u64 = 32;

/// Serves until SIGTERM or SIGINT, and then until what is in flight has ended.
///
/// # Errors
/// What keeps it from beginning; then nothing is served.
pub fn run(options: Options) -> Result<(), Error> {
    let executor = Rc::new(LocalExecutor::new());
    let main = start(executor.clone(), options);
    async_io::block_on(executor.run(main))
}

async fn start(executor: Rc<LocalExecutor<'static>>, options: Options) -> Result<(), Error> {
    let mut signals = signals()?;
    let connections = connections();
    let live = Live::load(options.flags, options.config.as_deref()).map_err(Error::Values)?;
    let files = match &options.certificate {
        Certificate::Files(paths) => Some(
            CertWatcher::load(paths)
                .map_err(|error| Error::Certificate(error.to_string().into()))?,
        ),
        Certificate::SelfSigned(_) => None,
    };
    let shared = Rc::new(
        Shared::new(options.log, live, files, connections)
            .map_err(|error| Error::Certificate(error.to_string().into()))?,
    );
    let client = Client::find(&options.api, |name| std::env::var(name).ok());
    let client = client.map_err(|error| Error::Api(error.0))?.map(Rc::new);
    let sharing = match (&options.certificate, &client) {
        (Certificate::Files(_), _) => None,
        (Certificate::SelfSigned(names), Some(client)) => Some(Sharing::new(client.clone(), names)?),
        (Certificate::SelfSigned(_), None) => return Err(Error::Api(
            "--self-signed needs an API server: run it in a pod, or say --api-server https://HOST:PORT".into(),
        )),
    };
    let keeper = Keeper::new(shared.clone(), client, sharing);
    let ended = async {
        received(&mut signals).await;
        true
    };
    let begun = async {
        keeper.begin().await;
        false
    };
    if future::or(ended, begun).await {
        return Ok(());
    }
    let listener = bind(options.listen)?;
    executor.spawn(async move { keeper.keep().await }).detach();
    serve(
        &executor,
        &shared,
        listener,
        signals,
        options.shutdown_delay,
    )
    .await;
    Ok(())
}

async fn serve(
    executor: &Rc<LocalExecutor<'static>>,
    shared: &Rc<Shared>,
    listener: Async<TcpListener>,
    mut signals: Async<UnixStream>,
    delay: Duration,
) {
    let addr = listener.get_ref().local_addr();
    let line = shared.log.line(Level::Info, "listening");
    drop(line.field(
        "addr",
        addr.map_or_else(|_| String::new(), |addr| addr.to_string()),
    ));
    let ended = async {
        received(&mut signals).await;
        let line = shared.log.line(Level::Info, "stopping");
        drop(line.field("delay", delay.as_secs()));
        Timer::after(delay).await;
    };
    future::or(ended, accept(executor, shared, &listener)).await;
    drop(listener);
    shared.drain();
    let late = Instant::now() + limits::WEBHOOK_DRAIN_TIME;
    before(late, shared.places.ended()).await;
    let left = shared.places.count();
    drop(
        shared
            .log
            .line(Level::Info, "stopped")
            .field("unfinished", left),
    );
}

async fn accept(
    executor: &Rc<LocalExecutor<'static>>,
    shared: &Rc<Shared>,
    listener: &Async<TcpListener>,
) {
    loop {
        // Nobody makes room before somebody else is there.
        let accepted = match listener.readable().await {
            Ok(()) => {
                shared.places.room().await;
                listener.accept().await
            }
            Err(error) => Err(error),
        };
        match accepted {
            Ok((socket, _)) => admit(executor, shared, socket),
            Err(error) => {
                shared.note_handshake(&error.to_string());
                Timer::after(limits::ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn admit(executor: &LocalExecutor<'static>, shared: &Rc<Shared>, socket: Async<TcpStream>) {
    let id = shared.places.open();
    let served = {
        let shared = shared.clone();
        async move {
            connection::serve(&shared, socket, id).await;
            shared.places.close(id);
        }
    };
    shared.places.keep(id, executor.spawn(served));
}

/// How many connections there are descriptors for, of which as many are asked for as all connections need: idle ones
/// make room before they run out.
fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limits::WEBHOOK_CONNECTIONS as u64 + OWN_DESCRIPTORS;
    if limit.current.is_some_and(|current| current < wanted) {
        let current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        let _ = setrlimit(Resource::Nofile, Rlimit { current, ..limit });
    }
    let there = getrlimit(Resource::Nofile).current.unwrap_or(wanted);
    let left = there.min(wanted).saturating_sub(OWN_DESCRIPTORS);
    usize::try_from(left).unwrap_or_default().max(1)
}

fn bind(listen: Listen) -> Result<Async<TcpListener>, Error> {
    let socket = net::bind(listen.addr, listen.port, limits::WEBHOOK_BACKLOG)
        .map_err(|BindError { addr, error }| Error::Bind(addr, error.into()))?;
    Async::new(TcpListener::from(socket.fd)).map_err(|error| Error::Kernel("epoll", error))
}

fn signals() -> Result<Async<UnixStream>, Error> {
    net::termination_signals()
        .and_then(Async::new)
        .map_err(|error| Error::Kernel("signals", error))
}

/// Waits for the first signal. A failed read means that the pair is broken; ending is the only safe reaction.
async fn received(signals: &mut Async<UnixStream>) {
    let _ = signals.read(&mut [0]).await;
}
