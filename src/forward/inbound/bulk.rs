//! Bulk data: larger socket buffers for a few directions of connections at a time, so that those of all connections stay
//! small, and the buffer that all connections decrypt into.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

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

/// One direction of a connection.
#[derive(Default)]
pub(super) struct BulkDirection {
    /// Bytes moved since the last pause, or since the last attempt to get a permit.
    moved: usize,
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

impl BulkDirection {
    /// Whether it moves bulk data, and has a permit for it.
    pub(super) fn is_bulk(&self) -> bool {
        self.permit.is_some()
    }

    /// Counts bytes that have moved. Enlarges the buffers once it is bulk data, if there is a permit.
    pub(super) fn count(
        &mut self,
        bytes: usize,
        shared: &Rc<BulkShared>,
        [from, to]: [&Socket; 2],
    ) {
        if self.is_bulk() {
            return;
        }
        self.moved += bytes;
        if self.moved >= limits::INBOUND_BULK_BYTES {
            self.moved = 0;
            self.permit = shared.permit();
            if self.is_bulk() {
                from.set_receive_buffer(limits::INBOUND_BULK_BUFFER_BYTES);
                to.set_send_buffer(limits::INBOUND_BULK_BUFFER_BYTES);
            }
        }
    }

    /// No byte has moved for a while: returns the permit, unless the reader has not accepted what it permitted.
    pub(super) fn pause(&mut self, [from, to]: [&Socket; 2]) {
        self.moved = 0;
        if !self.is_bulk() {
            return;
        }
        to.set_send_buffer(limits::INBOUND_BUFFER_BYTES);
        if to.is_writable() {
            from.set_receive_buffer(limits::INBOUND_BUFFER_BYTES);
            self.permit = None;
        } else {
            to.set_send_buffer(limits::INBOUND_BULK_BUFFER_BYTES);
        }
    }
}
