//! The state of the inbound ports: their connections, and the filters and rate limits of their log lines.

use core::cell::RefCell;
use std::rc::Rc;

use super::forward_log::{ForwardState, forward_filters};
use crate::forward::inbound::InboundTables;
use crate::telemetry::{ChangeFilters, RateLimit};

/// The state of all inbound ports.
pub struct InboundPorts {
    pub tables: Rc<InboundTables>,
    pub limit: usize,
    pub filters: ChangeFilters<ForwardState>,
    pub refused: RefCell<RateLimit>,
    pub not_allowed: RefCell<RateLimit>,
    pub evicted: RefCell<RateLimit>,
}

impl InboundPorts {
    /// State of `count` ports, which have at most `limit` connections together.
    pub fn new(count: usize, limit: usize) -> Rc<InboundPorts> {
        Rc::new(InboundPorts {
            tables: Rc::new(InboundTables::new(limit)),
            limit,
            filters: forward_filters(count),
            refused: RefCell::default(),
            not_allowed: RefCell::default(),
            evicted: RefCell::default(),
        })
    }
}
