//! Counters of the status port, in fixed memory.

use core::cell::RefCell;
use core::time::Duration;
#[cfg(feature = "tls")]
use std::rc::Rc;

#[cfg(feature = "tls")]
use super::inbound_metrics::InboundMetrics;
#[cfg(feature = "tls")]
use crate::config::Inbound;
use crate::probe::{Failure, Outcome};
use crate::telemetry::{Counter, Histogram, StatusCounter};
use crate::wire::health::GrpcCode;

/// Status codes counted one by one for each path; the others are counted as `other`.
const CODES: usize = 6;

/// Upper bounds of the duration histogram, in milliseconds: kubelet's timeouts are whole seconds, an
/// app on the same node responds within a few milliseconds.
const BUCKETS_MS: [u32; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000];

/// Why a connection got no complete response, or one without a probe result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The peer is in no network of `--allow-from`.
    PeerNotAllowed,
    /// The path has no prober.
    UnknownPath,
    /// The method is neither GET nor HEAD.
    MethodNotAllowed,
    /// The head is not HTTP/1, or the request has a body.
    Malformed,
    /// The head exceeds its limit of bytes or fields.
    HeadTooLarge,
    /// The head was not complete in time.
    HeadTimeout,
    /// The connection was evicted for a newer one.
    Evicted,
    /// No slot of the prober was free for the client, and the request could not wait, or not longer.
    Busy,
    /// The same for a hook.
    HookSlotsFull,
    /// The client disconnected before the app's response.
    ClientDisconnected,
}

impl Rejection {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Rejection; 10] = [
        Rejection::PeerNotAllowed,
        Rejection::UnknownPath,
        Rejection::MethodNotAllowed,
        Rejection::Malformed,
        Rejection::HeadTooLarge,
        Rejection::HeadTimeout,
        Rejection::Evicted,
        Rejection::Busy,
        Rejection::HookSlotsFull,
        Rejection::ClientDisconnected,
    ];

    /// The value of `reason` in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Rejection::PeerNotAllowed => "peer_not_allowed",
            Rejection::UnknownPath => "unknown_path",
            Rejection::MethodNotAllowed => "method_not_allowed",
            Rejection::Malformed => "malformed",
            Rejection::HeadTooLarge => "head_too_large",
            Rejection::HeadTimeout => "head_timeout",
            Rejection::Evicted => "evicted",
            Rejection::Busy => "busy",
            Rejection::HookSlotsFull => "hook_slots_full",
            Rejection::ClientDisconnected => "client_disconnected",
        }
    }
}

/// All counters.
pub struct Metrics {
    pub(super) codes: RefCell<Box<[StatusCounter<CODES>]>>,
    pub(super) failures: [Counter; Failure::ALL.len()],
    pub(super) bodies_broken: Counter,
    /// By [`GrpcCode::label_index`].
    pub(super) grpc_errors: [Counter; GrpcCode::LABEL_COUNT],
    pub(super) rejections: [Counter; Rejection::ALL.len()],
    /// Forwarded connections that were evicted for a new one.
    pub(super) forwards_evicted: Counter,
    /// New connections of a forward that was full.
    pub(super) forwards_rejected: Counter,
    /// Those of the inbound ports, if there are any.
    #[cfg(feature = "tls")]
    pub(super) inbound: Option<Rc<InboundMetrics>>,
    pub(super) durations: Histogram<{ BUCKETS_MS.len() }>,
}

impl Metrics {
    /// All zero, for a table of `probers`.
    pub fn new(probers: usize) -> Metrics {
        Metrics {
            codes: RefCell::new(vec![StatusCounter::default(); probers].into_boxed_slice()),
            failures: [const { Counter::new() }; Failure::ALL.len()],
            bodies_broken: Counter::new(),
            grpc_errors: [const { Counter::new() }; GrpcCode::LABEL_COUNT],
            rejections: [const { Counter::new() }; Rejection::ALL.len()],
            forwards_evicted: Counter::new(),
            forwards_rejected: Counter::new(),
            #[cfg(feature = "tls")]
            inbound: None,
            durations: Histogram::new(BUCKETS_MS),
        }
    }

    /// The same with the metrics of inbound ports.
    #[cfg(feature = "tls")]
    pub fn with_inbound(mut self, inbounds: &[Inbound]) -> Metrics {
        self.inbound = Some(InboundMetrics::new(inbounds));
        self
    }

    /// Counts a probe of prober number `index`. Without `duration` for a hook, which runs as long as the
    /// app needs.
    pub fn count_probe(&self, index: usize, outcome: Outcome, duration: Option<Duration>) {
        self.codes.borrow_mut()[index].increment(outcome.status());
        match outcome {
            Outcome::Failed(failure) => self.failures[failure as usize].increment(),
            Outcome::BodyBroken(_) => self.bodies_broken.increment(),
            Outcome::GrpcError(code) => self.grpc_errors[code.label_index()].increment(),
            Outcome::TlsRequired(_) => self.failures[Failure::TlsRequired as usize].increment(),
            Outcome::UnexpectedStatus(_) => {
                self.failures[Failure::UnexpectedStatus as usize].increment();
            }
            Outcome::Answered(_) | Outcome::Expected(_) | Outcome::Connected | Outcome::Serving => {
            }
        }
        if let Some(duration) = duration {
            self.durations.observe(duration);
        }
    }

    /// Counts a connection without a complete response, or with one that has no probe result.
    pub fn count_rejection(&self, rejection: Rejection) {
        self.rejections[rejection as usize].increment();
    }
}
