//! Bulk data: larger socket buffers for a few directions of connections at a time, so that those of all connections stay
//! small, and the buffer that all connections decrypt into.

use core::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use crate::forward::Sender;
use crate::limits;
use crate::net::Socket;
use crate::net::tls::TLS_SERVER_BUFFER_BYTES;

/// What the connections of all inbound ports share for bulk data.
#[derive(Default)]
pub(super) struct BulkShared {
    /// Permits in use.
    used: Cell<usize>,
    /// Allocated at the first use.
    buffer: RefCell<Box<[u8]>>,
}

/// Permits larger buffers. Dropping it returns it.
struct BulkPermit(Rc<BulkShared>);

/// The bulk data of a connection, in both directions.
pub(super) struct BulkData {
    /// From the client to the app.
    up: BulkDirection,
    /// From the app to the client.
    down: BulkDirection,
    window_start: Instant,
}

/// One direction of a connection.
#[derive(Default)]
struct BulkDirection {
    /// Bytes moved in the current window, since the last pause.
    moved: usize,
    /// The buffers are large. Only with a permit.
    is_large: bool,
    permit: Option<BulkPermit>,
}

impl BulkShared {
    /// Calls `f` with the shared buffer of data. It has room for the data of any read.
    pub(super) fn with_buffer<T>(&self, f: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.is_empty() {
            *buffer = vec![0; TLS_SERVER_BUFFER_BYTES].into();
        }
        f(&mut buffer)
    }

    fn permit(self: &Rc<Self>) -> Option<BulkPermit> {
        let used = self.used.get() + 1;
        (used <= limits::INBOUND_BULK_PERMITS).then(|| {
            self.used.set(used);
            BulkPermit(self.clone())
        })
    }
}

impl Drop for BulkPermit {
    fn drop(&mut self) {
        self.0.used.set(self.0.used.get() - 1);
    }
}

impl BulkData {
    pub(super) fn new(now: Instant) -> BulkData {
        BulkData {
            up: BulkDirection::default(),
            down: BulkDirection::default(),
            window_start: now,
        }
    }

    /// Whether the buffers of this direction are large.
    pub(super) fn is_large(&self, sender: Sender) -> bool {
        match sender {
            Sender::Client => self.up.is_large,
            Sender::App => self.down.is_large,
        }
    }

    /// Whether a direction has a permit. Call [`pause`](Self::pause) then when no byte has moved for a while.
    pub(super) fn has_permit(&self) -> bool {
        self.up.permit.is_some() || self.down.permit.is_some()
    }

    /// Counts bytes of `sender` that have moved. Enlarges its buffers once they are bulk data, if there is a permit. Ends the
    /// window of both directions: while one moves small messages, the other may move nothing.
    pub(super) fn record(
        &mut self,
        sender: Sender,
        bytes: usize,
        now: Instant,
        shared: &Rc<BulkShared>,
        [client, app]: [&Socket; 2],
    ) {
        if now.saturating_duration_since(self.window_start) >= limits::INBOUND_BULK_WINDOW {
            self.window_start = now;
            self.up.end_window([client, app]);
            self.down.end_window([app, client]);
        }
        match sender {
            Sender::Client => self.up.count(bytes, shared, [client, app]),
            Sender::App => self.down.count(bytes, shared, [app, client]),
        }
    }

    /// No byte has moved for a while in either direction.
    pub(super) fn pause(&mut self, [client, app]: [&Socket; 2]) {
        self.up.pause([client, app]);
        self.down.pause([app, client]);
    }
}

impl BulkDirection {
    fn count(&mut self, bytes: usize, shared: &Rc<BulkShared>, [from, to]: [&Socket; 2]) {
        self.moved += bytes;
        if self.is_large || self.moved < limits::INBOUND_BULK_BYTES {
            return;
        }
        if self.permit.is_none() {
            self.permit = shared.permit();
        }
        if self.permit.is_some() {
            self.is_large = true;
            from.set_receive_buffer(limits::INBOUND_BULK_BUFFER_BYTES);
            to.set_send_buffer(limits::INBOUND_BULK_BUFFER_BYTES);
        }
    }

    fn end_window(&mut self, sockets: [&Socket; 2]) {
        if self.moved < limits::INBOUND_BULK_BYTES {
            self.pause(sockets);
        }
        self.moved = 0;
    }

    /// Makes the buffers small, and returns the permit unless the reader has not accepted yet what it permitted.
    fn pause(&mut self, [from, to]: [&Socket; 2]) {
        self.moved = 0;
        if self.permit.is_none() {
            return;
        }
        self.is_large = false;
        to.set_send_buffer(limits::INBOUND_BUFFER_BYTES);
        if to.is_writable() {
            // Not before: the kernel drops data beyond it that the sender was permitted to send.
            from.set_receive_buffer(limits::INBOUND_BUFFER_BYTES);
            self.permit = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::net::Reactor;

    const WINDOW: core::time::Duration = limits::INBOUND_BULK_WINDOW;
    const PART: usize = limits::INBOUND_BULK_STEP_BYTES;

    struct Fixture {
        shared: Rc<BulkShared>,
        sockets: [Socket; 2],
        start: Instant,
        _listener: TcpListener,
    }

    impl Fixture {
        fn new() -> Fixture {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let addr = listener.local_addr().expect("bound");
            let reactor = Rc::new(Reactor::new(Box::leak(Box::default())).expect("epoll"));
            let connect = || Socket::start_connect(&reactor, addr, None).expect("it starts");
            Fixture {
                shared: Rc::default(),
                sockets: [connect(), connect()],
                start: Instant::now(),
                _listener: listener,
            }
        }

        fn record(&self, data: &mut BulkData, sender: Sender, bytes: usize, at: Instant) {
            let sockets = self.sockets.each_ref();
            data.record(sender, bytes, at, &self.shared, sockets);
        }

        /// A connection with bulk data of the app.
        fn bulk(&self) -> BulkData {
            let mut data = BulkData::new(self.start);
            for _ in 0..limits::INBOUND_BULK_BYTES.div_ceil(PART) {
                self.record(&mut data, Sender::App, PART, self.start);
            }
            data
        }
    }

    #[test]
    fn small_messages_of_a_long_connection_are_no_bulk_data() {
        let fixture = Fixture::new();
        let mut data = BulkData::new(fixture.start);
        for n in 0..1000 {
            let at = fixture.start + WINDOW / 4 * n;
            fixture.record(&mut data, Sender::Client, 4096, at);
            assert!(!data.has_permit(), "message {n}");
        }
    }

    #[test]
    fn a_direction_returns_its_permit_while_the_other_one_moves_small_messages() {
        let fixture = Fixture::new();
        let mut holders: Vec<_> = (0..limits::INBOUND_BULK_PERMITS)
            .map(|_| fixture.bulk())
            .collect();
        assert!(holders.iter().all(BulkData::has_permit));
        assert!(!fixture.bulk().has_permit(), "all permits are in use");
        let messages = |data: &mut BulkData| {
            // The bulk data were in the first window.
            for n in 1..=2 {
                let at = fixture.start + WINDOW * n;
                fixture.record(data, Sender::Client, 100, at);
            }
        };
        holders.iter_mut().for_each(messages);
        assert!(!holders.iter().any(BulkData::has_permit));
        assert!(fixture.bulk().is_large(Sender::App));
    }

    #[test]
    fn bulk_data_hold_their_permit_from_window_to_window() {
        let fixture = Fixture::new();
        let mut data = fixture.bulk();
        for n in 1..100 {
            let at = fixture.start + WINDOW / 4 * n;
            fixture.record(&mut data, Sender::App, PART, at);
            assert!(data.is_large(Sender::App), "part {n}");
        }
    }
}
