//! A body or response that holds memory: what it waits for, how long its client has let us wait, and its eviction.

use crate::limits;
use crate::net::set_waker;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Wake;
use std::time::Instant;

/// A body or response, and how long its client has let us wait for its bytes.
pub(super) struct Holder {
    pub(super) peer: IpAddr,
    pub(super) began: Instant,
    pub(super) bytes: usize,
    pub(super) state: HolderState,
    /// How long its client has let us wait so far, the current wait excluded.
    pub(super) client_wait: Duration,
    pub(super) is_evicted: bool,
    /// Its bytes arrived when it was about to be evicted, which happens once.
    is_spared: bool,
    waker: Option<Waker>,
    client_waker: Option<Arc<ClientWaker>>,
}

/// Wakes the task of a body or response, and records that its client has sent or read bytes.
struct ClientWaker {
    task: Waker,
    is_woken: AtomicBool,
}

impl Wake for ClientWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

/// What a body or response waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HolderState {
    /// It continues by itself.
    Running,
    AwaitsClient {
        since: Instant,
        /// The CPU time of all turns until then.
        cpu_time: Duration,
    },
    AwaitsMemory,
}

impl Holder {
    /// A body or response that has no memory yet.
    pub(super) fn new(peer: IpAddr) -> Holder {
        Holder {
            peer,
            began: Instant::now(),
            bytes: 0,
            state: HolderState::Running,
            client_wait: Duration::ZERO,
            is_evicted: false,
            is_spared: false,
            waker: None,
            client_waker: None,
        }
    }

    /// How long its client has let us wait until `now`, at which it has not sent anything.
    pub(super) fn client_wait(&self, now: Instant) -> Duration {
        let current = match self.state {
            HolderState::AwaitsClient { since, .. } => now.saturating_duration_since(since),
            HolderState::Running | HolderState::AwaitsMemory => Duration::ZERO,
        };
        self.client_wait + current
    }

    /// Whether its client lets us wait now, and has for long. Once its task is woken, it waits for us.
    pub(super) fn is_slow(&self, now: Instant) -> bool {
        let awaits_client = matches!(self.state, HolderState::AwaitsClient { .. });
        awaits_client
            && !self.is_woken()
            && !self.is_evicted
            && self.bytes > 0
            && self.client_wait(now) >= limits::SLOW_BODY
    }

    fn is_woken(&self) -> bool {
        let waker = self.client_waker.as_ref();
        waker.is_some_and(|waker| waker.is_woken.load(Ordering::Relaxed))
    }

    /// Ends a wait of `now`, of which the CPU time of turns was not the client's.
    pub(super) fn set_state(&mut self, state: HolderState, now: Instant, cpu_time: Duration) {
        if let HolderState::AwaitsClient {
            since,
            cpu_time: previous,
        } = self.state
        {
            let others = cpu_time.saturating_sub(previous);
            let wait = now.saturating_duration_since(since).saturating_sub(others);
            self.client_wait += wait;
        }
        self.state = state;
    }

    /// Takes its memory for others when its task runs next.
    pub(super) fn evict(&mut self) {
        self.is_evicted = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The waker for the next poll of a read or a write. It is used again while the task has the same one.
    pub(super) fn client_waker(&mut self, cx: &Context<'_>) -> Waker {
        let reused = self.client_waker.take();
        let reused = reused.filter(|waker| waker.task.will_wake(cx.waker()));
        let waker = reused.unwrap_or_else(|| {
            Arc::new(ClientWaker {
                task: cx.waker().clone(),
                is_woken: AtomicBool::new(false),
            })
        });
        waker.is_woken.store(false, Ordering::Relaxed);
        self.client_waker = Some(waker.clone());
        waker.into()
    }

    /// Withdraws an eviction, once, as the bytes have arrived: they may have arrived before it.
    pub(super) fn spare_once(&mut self) {
        if self.is_evicted && !self.is_spared {
            (self.is_evicted, self.is_spared) = (false, true);
        }
    }

    /// Ready once it is evicted.
    pub(super) fn poll_evicted(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.is_evicted {
            return Poll::Ready(());
        }
        set_waker(&mut self.waker, cx);
        Poll::Pending
    }
}
