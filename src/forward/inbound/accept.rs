//! Accepts the connections of an inbound port: a handshake, then a connection to the app, then the relay.

use core::convert::Infallible;
use core::future::{Future, pending, poll_fn};
use core::net::IpAddr;
use core::pin::{Pin, pin};
use core::task::Poll;
use std::rc::Rc;
use std::time::Instant;

use smol::LocalExecutor;

use super::handshake::{Authorized, HandshakeEntry};
use super::port::{InboundTables, Port};
use super::queue::HandshakeQueue;
use super::relay::{RelayEnd, TlsRelay};
use super::result::{InboundObserver, InboundResult};
use crate::config::{AllowFrom, Inbound};
use crate::forward::Sender;
use crate::forward::accept::{accept_allowed, admit, connect};
use crate::forward::connections::{Admission, ConnectionEntry};
use crate::forward::relay::{PlainRelayEnd, relay};
use crate::limits;
use crate::net::tls::{HandshakeWait, TlsAcceptor, TlsServerStream};
use crate::net::{Accepted, Elapsed, Listener, Reactor, Socket};

/// One inbound port that listens.
pub struct InboundListener {
    /// Its number for the [`InboundObserver`].
    pub index: usize,
    /// The connections of all ports.
    pub tables: Rc<InboundTables>,
    /// Accepts its clients.
    pub listener: Listener,
    /// Its settings.
    pub inbound: Inbound,
    /// Starts TLS.
    pub acceptor: TlsAcceptor,
    /// The peers that may connect.
    pub allow_from: AllowFrom,
}

/// Accepts and relays until the task is dropped. One task per connection, see [`accept_loop`](crate::forward::accept_loop).
pub async fn accept_loop(
    inbound_listener: InboundListener,
    reactor: Rc<Reactor>,
    executor: Rc<LocalExecutor<'static>>,
    observer: Rc<dyn InboundObserver>,
) {
    let InboundListener {
        index,
        tables,
        listener,
        inbound,
        acceptor,
        allow_from,
    } = inbound_listener;
    let port = Rc::new(Port {
        index,
        tables,
        inbound,
        acceptor,
        reactor,
        observer,
    });
    let mut queue = HandshakeQueue::new(port.tables.clone());
    loop {
        let accepted = {
            let accepting = accept_allowed(&listener, &allow_from, index, &*port.observer);
            let mut accepting = pin!(accepting);
            loop {
                let event = accepting.as_mut();
                if let Some(accepted) = port.admit_next(&mut queue, &executor, event).await {
                    break accepted;
                }
            }
        };
        if let Some(rejected) = queue.push(accepted) {
            port.decided(rejected.peer, InboundResult::HandshakeLimitReached, None);
            rejected.socket.reset();
        }
        if queue.is_full() {
            let _ = listener.pause();
            while queue.is_full() {
                let never = pin!(pending::<Infallible>());
                port.admit_next(&mut queue, &executor, never).await;
            }
            let _ = listener.resume();
        }
    }
}

impl Port {
    /// Waits for `event`, or until a connection of the queue was admitted for its handshake, or for a short time. Returns the
    /// result of the event.
    async fn admit_next<T>(
        self: &Rc<Self>,
        queue: &mut HandshakeQueue,
        executor: &Rc<LocalExecutor<'static>>,
        mut event: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        if queue.is_empty() {
            return Some(event.await);
        }
        let next = pin!(poll_fn(|cx| match queue.poll_admission(cx) {
            Poll::Ready(admitted) => Poll::Ready(Next::Admitted(admitted)),
            Poll::Pending => event.as_mut().poll(cx).map(Next::Event),
        }));
        // A handshake may be evicted then that may not be yet.
        let retry = Instant::now() + limits::INBOUND_HANDSHAKE_STEP;
        match self.reactor.timeout_at(retry, next).await {
            Ok(Next::Event(result)) => return Some(result),
            Ok(Next::Admitted(Some((accepted, entry)))) => {
                entry.record_handshake(HandshakeWait::Hello);
                accepted.socket.set_buffers(limits::INBOUND_BUFFER_BYTES);
                let connection = HandshakeEntry {
                    port: self.clone(),
                    peer: accepted.peer,
                    entry,
                };
                executor.spawn(connection.run(accepted.socket)).detach();
            }
            Ok(Next::Admitted(None)) | Err(Elapsed) => {}
        }
        None
    }
}

/// The end of a wait of [`Port::admit_next`].
enum Next<T> {
    Admitted(Option<(Accepted, ConnectionEntry)>),
    Event(T),
}

impl Port {
    /// Admits a connection whose peer is authorized, and connects to the app. `None` if there are too many, if the app was
    /// not reached, or if the connection was evicted.
    async fn open(&self, peer: IpAddr) -> Option<(ConnectionEntry, Socket)> {
        let admission = admit(&self.tables.established, peer, &self.reactor).await;
        let Some(Admission { entry, .. }) = admission else {
            self.decided(peer, InboundResult::LimitReached, None);
            return None;
        };
        let buffers = Some(limits::INBOUND_BUFFER_BYTES);
        let connecting = pin!(connect(&self.reactor, self.inbound.target, None, buffers));
        let result = match entry.unless_evicted(connecting).await {
            Some(Ok(app)) => {
                entry.record_connected();
                app.set_nodelay();
                return Some((entry, app));
            }
            Some(Err(failure)) => InboundResult::AppUnreachable(failure),
            None => InboundResult::Evicted,
        };
        self.decided(peer, result, None);
        None
    }
}

impl HandshakeEntry {
    /// Runs the connection to its end.
    async fn run(self, client: Socket) {
        let (port, peer) = (self.port.clone(), self.peer);
        port.observer.opened(port.index);
        client.set_nodelay();
        // In boxes, so that a connection over TLS stores no more than `serve` needs.
        match Box::pin(self.authorize(client)).await {
            Some(Authorized::Tls(client)) => port.serve(peer, client).await,
            Some(Authorized::Plaintext { client, first }) => {
                Box::pin(port.serve_plaintext(peer, client, first)).await;
            }
            None => {}
        }
        port.observer.closed(port.index);
    }
}

impl Port {
    async fn serve(&self, peer: IpAddr, mut client: Box<TlsServerStream>) {
        let Some((entry, app)) = self.open(peer).await else {
            return client.into_socket().reset();
        };
        self.decided(peer, InboundResult::Served, None);
        let end = {
            let mut relay = TlsRelay::new(self, &mut client, &app, &entry);
            let relaying = pin!(relay.run());
            entry.unless_evicted(relaying).await
        };
        match end {
            Some(RelayEnd::Complete) => {}
            Some(RelayEnd::Closed) => {
                drop(app);
                self.linger(client.socket(), &entry).await;
            }
            // An alert says why, so the client may read it.
            Some(RelayEnd::ClientViolation) => {
                app.reset();
                self.linger(client.socket(), &entry).await;
            }
            Some(RelayEnd::AppGone { is_reset }) => {
                drop(app);
                self.deliver(peer, client, &entry, is_reset).await;
            }
            Some(RelayEnd::Broken) => {
                app.reset();
                client.into_socket().reset();
            }
            None => {
                self.observer.evicted(self.index, peer);
                app.reset();
                client.into_socket().reset();
            }
        }
    }

    async fn serve_plaintext(&self, peer: IpAddr, client: Socket, first: Vec<u8>) {
        let Some((entry, app)) = self.open(peer).await else {
            return client.reset();
        };
        self.decided(peer, InboundResult::Plaintext, None);
        let end = {
            let relaying = pin!(async {
                if !first.is_empty() {
                    entry.record_bytes(Sender::Client);
                }
                // The buffer of a new socket accepts them.
                match app.write_all(&first).await {
                    Ok(()) => relay(&self.reactor, &client, &app, &entry).await,
                    Err(_) => PlainRelayEnd::Broken,
                }
            });
            entry.unless_evicted(relaying).await
        };
        match end {
            Some(PlainRelayEnd::Complete) => return,
            Some(PlainRelayEnd::Expired { is_flushed: true })
                if entry.is_quiet() && !entry.is_half_closed() =>
            {
                drop(app);
                return self.linger(&client, &entry).await;
            }
            Some(PlainRelayEnd::Expired { .. } | PlainRelayEnd::Broken) => {}
            None => self.observer.evicted(self.index, peer),
        }
        client.reset();
        app.reset();
    }
}
