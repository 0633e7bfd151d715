//! The agent's life cycle: bind, accept, drain.

use core::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use rustix::io::Errno;
use smol::LocalExecutor;

use super::connection::SLOT_BYTES;
use super::resources;
use super::run_error::RunError;
use super::slots::{Admission, Connected};
use super::state::Agent;
use crate::config::{Config, Listen};
use crate::forward::{self, ForwardListener};
use crate::limits;
use crate::net::{self, Accepted, ListenError, ListenFlags, Listener, Reactor, Signals};
use crate::probe::load_tls;

/// The flags of the status port.
const STATUS_FLAGS: ListenFlags = ListenFlags {
    port: "--status-port",
    addr: "--status-addr",
};

/// The flag of a forward, which sets port and address.
const FORWARD_FLAGS: ListenFlags = ListenFlags {
    port: "--forward",
    addr: "--forward",
};

/// The flag of an inbound port, which sets port and address.
const INBOUND_FLAGS: ListenFlags = ListenFlags {
    port: "--inbound",
    addr: "--inbound",
};

/// Bytes after the buffers that are never used. musl's malloc precedes an allocation with 16 bytes and follows it with 4,
/// rounds it up to pages, and writes to the end of what is left. With this length nothing is left, so the last page stays
/// untouched. With another allocator or larger pages it saves nothing.
const UNUSED_BYTES: usize = 4096 - 16 - 4;
const _: () =
    assert!(limits::SCRATCH_BYTES.is_multiple_of(4096) && SLOT_BYTES.is_multiple_of(4096));

/// The status port and the memory of its slots.
struct StatusPort {
    listener: Listener,
    slot_memory: &'static mut [u8],
}

/// An agent whose listeners are bound.
struct BoundAgent {
    agent: Rc<Agent>,
    status_port: StatusPort,
    forward_listeners: Vec<Listener>,
    inbound_listeners: Vec<Listener>,
    signals: Signals,
}

/// Serves until SIGTERM or SIGINT, and for the shutdown delay after it while the app listens. Then closes the listeners and drains
/// connections for at most `limits::DRAIN_TIMEOUT`.
///
/// # Errors
/// At start-up, any [`RunError`]. After that only a failed `epoll_wait`.
pub fn run(config: Config) -> Result<(), RunError> {
    let bound = start(config)?;
    let (reactor, executor) = (bound.agent.reactor.clone(), Rc::new(LocalExecutor::new()));
    let main = bound.run_until_signal(executor.clone());
    net::run(&reactor, &executor, main).map_err(kernel_error("wait for events"))
}

fn kernel_error(action: &'static str) -> impl Fn(Errno) -> RunError {
    move |error| RunError::Kernel { action, error }
}

/// Loads the files of TLS, installs the signal handlers and binds the listeners. Not inlined, so that its large stack frame
/// is released before the agent serves.
#[inline(never)]
fn start(config: Config) -> Result<BoundAgent, RunError> {
    // No exec may gain privileges from now on. It fails only under a seccomp filter, and the agent executes no program.
    let _ = rustix::thread::set_no_new_privs(true);
    let tls = load_tls(&config.tls).map_err(RunError::Tls)?;
    let (capacity, is_lowered) = resources::fit_capacity(&config).map_err(RunError::Descriptors)?;
    let slot_bytes = capacity.slots(config.probers.len()) * SLOT_BYTES;
    // One allocation for all buffers. The kernel backs a page once it is used. It is never freed: the agent
    // lives as long as the process.
    let memory = vec![0; limits::SCRATCH_BYTES + slot_bytes + UNUSED_BYTES].leak();
    let (scratch, memory) = memory.split_at_mut(limits::SCRATCH_BYTES);
    let slot_memory = &mut memory[..slot_bytes];
    let reactor = Rc::new(Reactor::new(scratch).map_err(kernel_error("create an epoll instance"))?);
    let signals = Signals::new(&reactor).map_err(|error| {
        kernel_error("install signal handlers")(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    })?;
    let status_port = StatusPort {
        listener: bind(
            &reactor,
            config.status,
            Some(limits::RECEIVE_BUFFER_BYTES),
            STATUS_FLAGS,
        )?,
        slot_memory,
    };
    let forward_listeners = config
        .forwards
        .iter()
        .map(|forward| bind(&reactor, forward.listen, None, FORWARD_FLAGS));
    let forward_listeners = forward_listeners.collect::<Result<Vec<_>, RunError>>()?;
    let mut inbound_listeners = Vec::new();
    for inbound in &config.inbounds {
        let receive_buffer = Some(limits::INBOUND_BUFFER_BYTES);
        let listener = bind(&reactor, inbound.listen, receive_buffer, INBOUND_FLAGS)?;
        inbound_listeners.push(listener);
    }
    let agent = Rc::new(Agent::new(config, capacity, reactor.clone(), tls));
    agent.log_reloads();
    if is_lowered {
        agent.log.capacity_lowered(capacity);
    }
    Ok(BoundAgent {
        agent,
        status_port,
        forward_listeners,
        inbound_listeners,
        signals,
    })
}

#[inline(never)]
fn bind(
    reactor: &Rc<Reactor>,
    listen: Listen,
    receive_buffer: Option<usize>,
    flags: ListenFlags,
) -> Result<Listener, RunError> {
    Listener::bind(reactor, listen.addr, listen.port, receive_buffer)
        .map_err(|error| RunError::Listen(ListenError { flags, error }))
}

impl BoundAgent {
    async fn run_until_signal(self, executor: Rc<LocalExecutor<'static>>) {
        let BoundAgent {
            agent,
            status_port,
            forward_listeners,
            inbound_listeners,
            signals,
        } = self;
        agent.log.started(&agent.config);
        agent
            .log
            .listening("status", status_port.listener.addr(), None);
        let mut acceptors = Vec::new();
        let forwards = forward_listeners.into_iter().zip(&agent.config.forwards);
        for (index, (listener, forward)) in forwards.enumerate() {
            agent
                .log
                .listening("forward", listener.addr(), Some(forward.target));
            // A service mesh intercepts connections to the app's address, also those of a forward. `source` bypasses
            // that.
            let targets_app = forward.target.ip() == agent.config.target;
            let source = agent.config.source.filter(|_| targets_app);
            let listener = ForwardListener {
                index,
                connections: agent.forward_connections[index].clone(),
                listener,
                forward: *forward,
                source,
                allow_from: agent.config.allow_from.clone(),
            };
            acceptors.push(executor.spawn(forward::accept_loop(
                listener,
                agent.reactor.clone(),
                executor.clone(),
                agent.clone(),
            )));
        }
        #[cfg(feature = "tls")]
        if !inbound_listeners.is_empty() {
            agent.start_inbound(&executor, inbound_listeners, &mut acceptors);
        }
        #[cfg(not(feature = "tls"))]
        drop(inbound_listeners);
        acceptors.push(executor.spawn(agent.clone().accept(executor.clone(), status_port)));
        executor.spawn(agent.clone().expire()).detach();
        signals.wait().await;
        agent.log.stopping(agent.config.shutdown_delay);
        agent.wait_shutdown_delay().await;
        // Ends the tasks, which closes their listeners.
        drop(acceptors);
        let deadline = Instant::now() + limits::DRAIN_TIMEOUT;
        let drained = pin!(agent.wait_drained());
        // Connections that are open after the deadline are reset below.
        let _ = agent.reactor.timeout_at(deadline, drained).await;
        #[cfg(feature = "tls")]
        agent.close_inbound().await;
        agent.log.stopped(agent.open_connections());
        // A client must not mistake the end of the process for the end of a response.
        agent.reactor.set_reset_on_drop();
    }
}

impl Agent {
    /// Accepts until the task is dropped. Starts a slot's task with the slot's first connection.
    async fn accept(self: Rc<Self>, executor: Rc<LocalExecutor<'static>>, port: StatusPort) {
        let listener = port.listener;
        let mut slot_memory = port.slot_memory.chunks_mut(SLOT_BYTES);
        loop {
            listener.wait_readable().await;
            if !self.slots.has_free_slot() {
                // The listener is level-triggered and stays ready until the connection is accepted, so its events
                // are disabled while no slot is free. Neither call can fail: the registration exists, so the
                // kernel allocates nothing.
                let _ = listener.pause();
                self.slots.wait_for_slot().await;
                let _ = listener.resume();
                continue;
            }
            let Accepted { socket, peer } = match listener.try_accept() {
                Ok(Some(accepted)) if !self.config.allow_from.permits(accepted.peer) => {
                    self.count_peer_not_allowed(self.config.status.port, accepted.peer);
                    accepted.socket.reset();
                    continue;
                }
                Ok(Some(accepted)) => accepted,
                Ok(None) => continue,
                Err(error) => {
                    self.log.accept_failed(self.config.status.port, error);
                    listener.back_off().await;
                    continue;
                }
            };
            let connected = Connected {
                socket,
                client: peer,
                accepted_at: Instant::now(),
            };
            match self.slots.admit(peer, connected) {
                Ok(Admission::Reused) => {}
                Ok(Admission::New(index)) => {
                    let memory = slot_memory.next().expect("memory for each slot");
                    executor
                        .spawn(self.clone().run_slot(index, memory))
                        .detach();
                }
                // Does not happen: there was room before the accept.
                Err(connected) => connected.socket.reset(),
            }
        }
    }

    /// Responds to waiting requests when their deadline passes.
    async fn expire(self: Rc<Self>) {
        loop {
            self.next_expiry.wait(&self.reactor).await;
            self.expire_waiting();
        }
    }

    /// Waits until no connection is open.
    async fn wait_drained(&self) {
        while self.open_connections() > 0 {
            self.reactor
                .sleep_until(Instant::now() + limits::DRAIN_POLL_INTERVAL)
                .await;
        }
    }
}
