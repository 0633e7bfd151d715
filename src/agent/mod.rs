//! The status port: accept, route, answer, log, metrics, drain.

mod answer;
mod forwards;
mod memory;
mod metrics;
mod metrics_page;
mod notes;
mod report;
mod serve;
mod slots;

use core::cell::RefCell;
use core::fmt;
use core::net::SocketAddr;
use core::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use rustix::io::Errno;
use smol::LocalExecutor;

use crate::config::{Config, Forward};
use crate::forward::{self, Entry, Places};
use crate::limits;
use crate::net::tls::Tls;
use crate::net::{self, Listener, Reactor, Signals};
use crate::probe::{Dialler, TlsSettingError, load_tls};
use crate::telemetry::{Level, Logger};

use forwards::Forwards;
use metrics::Metrics;
use notes::Limits;
use report::Reports;
use serve::SLOT_BYTES;
use slots::{Accepted, Admitted, Slots};

/// Why the agent could not begin, or go on.
#[derive(Debug)]
pub enum RunError {
    /// The kernel refused something that everything rests on.
    Kernel(&'static str, Errno),
    /// An address could not be listened on.
    Bind(SocketAddr, Errno),
    /// Descriptors there are, and needed at least.
    Descriptors(usize, usize),
    /// A file for TLS that the settings name cannot be used.
    Tls(TlsSettingError),
}

impl RunError {
    /// The exit code: 2 if a setting is wrong, as for all others, and 1 if the agent cannot run here.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Tls(_) => 2,
            RunError::Kernel(..) | RunError::Bind(..) | RunError::Descriptors(..) => 1,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Kernel(what, error) => write!(f, "{what}: {error}"),
            RunError::Bind(addr, Errno::ADDRINUSE) => write!(
                f,
                "{addr} is in use by another process: free it or choose another port"
            ),
            RunError::Bind(addr, error) => write!(f, "cannot listen on {addr}: {error}"),
            RunError::Tls(error) => error.fmt(f),
            RunError::Descriptors(have, need) => write!(
                f,
                "{have} file descriptors are too few: raise the limit (ulimit -n) to {need} or more"
            ),
        }
    }
}

/// All that the tasks share.
struct Agent {
    config: Config,
    reactor: Rc<Reactor>,
    dialler: Dialler,
    slots: Slots,
    places: Rc<Places>,
    metrics: Metrics,
    reports: Reports,
    forwards: Forwards,
    log: Logger,
    limits: RefCell<Limits>,
}

/// Serves until SIGTERM or SIGINT, and then until what is in flight has ended.
///
/// # Errors
/// What keeps it from beginning, when nothing is served; or an epoll that fails, which ends it.
pub fn run(config: Config) -> Result<(), RunError> {
    let tls = load_tls(&config.tls).map_err(RunError::Tls)?;
    let kernel = |what| move |error| RunError::Kernel(what, error);
    // One piece for all buffers, which the kernel gives page by page as they come to be used. The
    // agent lives as long as the process, and so does this.
    let memory = vec![0; limits::SCRATCH_BYTES + limits::SLOTS * SLOT_BYTES].leak();
    let (scratch, memory) = memory.split_at_mut(limits::SCRATCH_BYTES);
    let reactor = Rc::new(Reactor::new(scratch).map_err(kernel("epoll"))?);
    let signals = Signals::new(&reactor).map_err(|error| {
        RunError::Kernel("signals", Errno::from_io_error(&error).unwrap_or(Errno::IO))
    })?;
    let mut wanted = config.capacity;
    if config.forwards.is_empty() {
        wanted.forwards = 0;
    }
    let capacity = memory::fit(wanted, config.forwards.len())
        .map_err(|(have, need)| RunError::Descriptors(have, need))?;
    let bind = |listen: crate::config::Listen| {
        Listener::bind(&reactor, listen.addr, listen.port)
            .map_err(|net::BindError { addr, error }| RunError::Bind(addr, error))
    };
    let status = bind(config.status)?;
    let forwards = config
        .forwards
        .iter()
        .map(|forward| Ok((bind(forward.listen)?, *forward)));
    let forwards = forwards.collect::<Result<Vec<_>, RunError>>()?;
    let agent = Rc::new(Agent::new(
        Config { capacity, ..config },
        reactor.clone(),
        tls,
    ));
    if capacity != wanted {
        agent.note_capacity(capacity);
    }
    let executor = Rc::new(LocalExecutor::new());
    let main = agent.main(executor.clone(), (status, memory), forwards, signals);
    net::run(&reactor, &executor, main).map_err(kernel("epoll_wait"))
}

impl Agent {
    fn new(config: Config, reactor: Rc<Reactor>, tls: Rc<Tls>) -> Agent {
        let probers = config.probers.len();
        let ours = config.forwards.iter().map(|forward| forward.listen.port);
        Agent {
            dialler: Dialler {
                reactor: reactor.clone(),
                target: config.target,
                source: config.source,
                own_ports: ours.chain([config.status.port]).collect(),
                tls,
                observer: None,
            },
            slots: Slots::new(config.capacity),
            places: Places::new(config.capacity.forwards, config.forwards.len()),
            metrics: Metrics::new(probers),
            reports: Reports::new(probers),
            forwards: Forwards::new(config.forwards.len()),
            log: Logger::new(config.log, limits::LOG_VALUE_BYTES),
            limits: RefCell::default(),
            reactor,
            config,
        }
    }

    async fn main(
        self: Rc<Self>,
        executor: Rc<LocalExecutor<'static>>,
        (status, memory): (Listener, &'static mut [u8]),
        forwards: Vec<(Listener, Forward)>,
        signals: Signals,
    ) {
        self.note_started();
        self.note_listening("status", status.addr(), None);
        let mut acceptors = Vec::new();
        for (index, (listener, forward)) in forwards.into_iter().enumerate() {
            self.note_listening("forward", listener.addr(), Some(forward.target));
            // Interception treats a connection to the app's address alike, whoever it is for.
            let is_app = forward.target.ip() == self.config.target;
            let source = self.config.source.filter(|_| is_app);
            let entry = Entry {
                index,
                listener,
                forward,
                source,
            };
            acceptors.push(executor.spawn(forward::serve(
                entry,
                self.reactor.clone(),
                executor.clone(),
                self.places.clone(),
                self.clone(),
            )));
        }
        acceptors.push(executor.spawn(self.clone().accept(executor.clone(), status, memory)));
        signals.received().await;
        let delay = self.config.shutdown_delay;
        self.log
            .line(Level::Info, "stopping")
            .field("delay_s", delay.as_secs());
        self.reactor.sleep_until(Instant::now() + delay).await;
        // Ends the tasks, and their listeners with them.
        drop(acceptors);
        let _ = self
            .reactor
            .before(Instant::now() + limits::DRAIN_TIME, pin!(self.drained()))
            .await;
        let open = self.slots.open() + self.places.open();
        let level = if open == 0 { Level::Info } else { Level::Warn };
        self.log.line(level, "stopped").field("open", open);
        // What is cut off now must not look as if it had ended.
        self.reactor.reset_open_sockets();
    }

    /// Accepts for good, and starts a slot's task when its first connection comes.
    async fn accept(
        self: Rc<Self>,
        executor: Rc<LocalExecutor<'static>>,
        listener: Listener,
        memory: &'static mut [u8],
    ) {
        let mut memory = memory.chunks_mut(SLOT_BYTES);
        loop {
            listener.waiting().await;
            if !self.slots.make_room() {
                // A listener that is left alone stays ready: it must not wake us for nothing.
                let _ = listener.set_paused(true);
                self.slots.room().await;
                let _ = listener.set_paused(false);
                continue;
            }
            let socket = match listener.accept_now() {
                Ok(Some(socket)) => socket,
                Ok(None) => continue,
                Err(error) => {
                    self.note_accept_failed(error);
                    listener.back_off().await;
                    continue;
                }
            };
            let at = Instant::now();
            match self.slots.admit(Accepted { socket, at }) {
                Ok(Admitted::Handed) => {}
                Ok(Admitted::Start(index)) => {
                    let memory = memory.next().unwrap_or_default();
                    executor.spawn(self.clone().serve(index, memory)).detach();
                }
                // Room was made sure of before the accept.
                Err(connection) => connection.socket.reset(),
            }
        }
    }

    /// Waits until nothing is in flight.
    async fn drained(&self) {
        while self.slots.open() + self.places.open() > 0 {
            self.reactor
                .sleep_until(Instant::now() + limits::DRAIN_POLL_INTERVAL)
                .await;
        }
    }
}
