//! epoll on one thread: which task waits for which descriptor, and the buffer that all connections share.

use core::cell::{Cell, RefCell};
use core::task::{Context, Poll, Waker};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{self, Errno};
use rustix::time::Timespec;

use super::low_priority::{Turns, Work, wait_turn};
use super::task::set_waker;
use super::timers::Timers;

/// Events per call of `epoll_wait`.
const EVENTS: usize = 32;

/// The epoll instance and the tasks that wait for it.
pub struct Reactor {
    epoll: OwnedFd,
    sources: RefCell<Vec<Source>>,
    events: RefCell<Vec<Event>>,
    pub(super) timers: RefCell<Timers>,
    scratch: RefCell<&'static mut [u8]>,
    resets_on_drop: Cell<bool>,
    /// Tasks that continue after those that are ready.
    low_priority: RefCell<Turns>,
}

/// The event that a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Interest {
    Read,
    Write,
}

/// An index into the table of sources. The generation changes at each claim, so that a late event for the previous
/// user of the index wakes no task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

#[derive(Default)]
struct Source {
    generation: u32,
    is_taken: bool,
    is_registered: bool,
    interest: EventFlags,
    /// An event since the last [`Reactor::poll_event`].
    has_fired: bool,
    /// The peer closed its side, or the connection broke.
    is_hung_up: bool,
    /// The connection broke. `HUP` does not mean that: it also follows the FINs of both sides, with bytes that are not
    /// read yet.
    is_broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Reactor {
    /// Opens an epoll instance; `scratch` is the buffer that all connections share.
    ///
    /// # Errors
    /// The kernel's, if it is out of descriptors or memory.
    pub fn new(scratch: &'static mut [u8]) -> io::Result<Reactor> {
        Ok(Reactor {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            sources: RefCell::new(Vec::new()),
            events: RefCell::new(Vec::with_capacity(EVENTS)),
            timers: RefCell::new(Timers::default()),
            scratch: RefCell::new(scratch),
            resets_on_drop: Cell::new(false),
            low_priority: RefCell::default(),
        })
    }

    /// From now on, dropping a socket resets its connection (`SO_LINGER` 0).
    pub fn set_reset_on_drop(&self) {
        self.resets_on_drop.set(true);
    }

    /// Whether dropping a socket resets its connection.
    pub(super) fn resets_on_drop(&self) -> bool {
        self.resets_on_drop.get()
    }

    /// Runs `f` with the shared buffer.
    pub fn with_scratch<T>(&self, f: impl FnOnce(&mut [u8]) -> T) -> T {
        f(&mut self.scratch.borrow_mut())
    }

    /// Lets the tasks run that are ready, and those whose events have arrived. The tasks that wait here continue one after
    /// the other, each after an `epoll_wait`, also if an event of their own wakes them before: bulk data of many
    /// connections delays a probe by little more than one of them does.
    pub async fn yield_low_priority(&self) {
        wait_turn(&self.low_priority, Work::Data).await;
    }

    /// The same, before a message of a client's handshake is processed: it may need a signature.
    #[cfg(feature = "tls")]
    pub async fn wait_handshake_turn(&self) {
        wait_turn(&self.low_priority, Work::Handshake).await;
    }

    /// Whether tasks wait that continue after those that are ready.
    pub(super) fn has_low_priority(&self) -> bool {
        !self.low_priority.borrow().is_empty()
    }

    /// Wakes the first task that waits for those that are ready.
    pub(super) fn wake_low_priority(&self) {
        if self.has_low_priority() {
            let first = self.low_priority.borrow_mut().pop();
            first.into_iter().for_each(Waker::wake);
        }
    }

    /// Calls `epoll_wait` and wakes the tasks of events and of timers that are due. If it `can_block`, it waits for an
    /// event or the next timer.
    ///
    /// # Errors
    /// The kernel's, except for an interrupted wait.
    pub(super) fn poll_events(&self, can_block: bool) -> io::Result<()> {
        let timeout = if can_block {
            self.timers.borrow().next_deadline().map(time_until)
        } else {
            Some(Timespec::default())
        };
        let mut events = self.events.borrow_mut();
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        for event in events.iter() {
            self.fire(Key::from_u64(event.data.u64()), event.flags);
        }
        self.timers.borrow_mut().fire();
        Ok(())
    }

    fn fire(&self, key: Key, flags: EventFlags) {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = find(&mut sources, key) else {
            return;
        };
        let is_closed = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        source.has_fired = true;
        source.is_hung_up |= is_closed || flags.contains(EventFlags::RDHUP);
        source.is_broken |= flags.contains(EventFlags::ERR);
        let reader = if is_closed || flags.intersects(EventFlags::IN | EventFlags::RDHUP) {
            source.reader.take()
        } else {
            None
        };
        let writer = if is_closed || flags.contains(EventFlags::OUT) {
            source.writer.take()
        } else {
            None
        };
        drop(sources);
        reader.into_iter().chain(writer).for_each(Waker::wake);
    }

    /// Reserves an entry for a descriptor that is about to wait.
    pub(super) fn claim(&self) -> Key {
        let mut sources = self.sources.borrow_mut();
        let free = sources.iter().position(|source| !source.is_taken);
        let index = free.unwrap_or_else(|| {
            sources.push(Source::default());
            sources.len() - 1
        });
        let source = &mut sources[index];
        *source = Source {
            generation: source.generation.wrapping_add(1),
            is_taken: true,
            ..Source::default()
        };
        Key {
            index: index as u32,
            generation: source.generation,
        }
    }

    /// Frees the entry. The kernel unregisters a descriptor that is closed.
    pub(super) fn release(&self, key: Key) {
        if let Some(source) = find(&mut self.sources.borrow_mut(), key) {
            source.is_taken = false;
            source.reader = None;
            source.writer = None;
        }
    }

    /// Wakes the task at the next event of `fd`. Edge-triggered: call it only after `EAGAIN`, or for a state that stays
    /// readable (`is_hung_up`, `is_broken`, a connect in progress).
    pub(super) fn wake_on_event(
        &self,
        fd: BorrowedFd<'_>,
        key: Key,
        interest: Interest,
        cx: &Context<'_>,
    ) -> io::Result<()> {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = find(&mut sources, key) else {
            return Err(Errno::BADF);
        };
        let (slot, flag) = match interest {
            Interest::Read => (&mut source.reader, EventFlags::IN | EventFlags::RDHUP),
            Interest::Write => (&mut source.writer, EventFlags::OUT),
        };
        set_waker(slot, cx);
        if source.interest.contains(flag) {
            return Ok(());
        }
        let wanted = source.interest | flag | EventFlags::ET;
        self.register(fd, key, source, wanted)
    }

    /// Enables or disables the events of a level-triggered listener.
    pub(super) fn set_listener_enabled(
        &self,
        fd: BorrowedFd<'_>,
        key: Key,
        is_enabled: bool,
    ) -> io::Result<()> {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = find(&mut sources, key) else {
            return Err(Errno::BADF);
        };
        let wanted = if is_enabled {
            EventFlags::IN
        } else {
            EventFlags::empty()
        };
        if source.is_registered && source.interest == wanted {
            return Ok(());
        }
        self.register(fd, key, source, wanted)
    }

    fn register(
        &self,
        fd: BorrowedFd<'_>,
        key: Key,
        source: &mut Source,
        wanted: EventFlags,
    ) -> io::Result<()> {
        let data = EventData::new_u64(key.to_u64());
        if source.is_registered {
            epoll::modify(&self.epoll, fd, data, wanted)?;
        } else {
            epoll::add(&self.epoll, fd, data, wanted)?;
        }
        source.is_registered = true;
        source.interest = wanted;
        Ok(())
    }

    /// Ready if the source fired since the last call; otherwise the task is woken when it does.
    pub(super) fn poll_event(&self, key: Key, cx: &Context<'_>) -> Poll<()> {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = find(&mut sources, key) else {
            return Poll::Pending;
        };
        if core::mem::take(&mut source.has_fired) {
            return Poll::Ready(());
        }
        set_waker(&mut source.reader, cx);
        Poll::Pending
    }

    /// Whether the connection broke since the source was registered.
    pub(super) fn is_broken(&self, key: Key) -> bool {
        find(&mut self.sources.borrow_mut(), key).is_some_and(|source| source.is_broken)
    }

    /// Whether the peer closed its side since the source was registered.
    pub(super) fn is_hung_up(&self, key: Key) -> bool {
        find(&mut self.sources.borrow_mut(), key).is_some_and(|source| source.is_hung_up)
    }
}

impl Key {
    fn to_u64(self) -> u64 {
        u64::from(self.index) | u64::from(self.generation) << 32
    }

    fn from_u64(data: u64) -> Key {
        Key {
            index: data as u32,
            generation: (data >> 32) as u32,
        }
    }
}

fn find(sources: &mut [Source], key: Key) -> Option<&mut Source> {
    sources
        .get_mut(key.index as usize)
        .filter(|source| source.is_taken && source.generation == key.generation)
}

/// The time until `deadline` in whole milliseconds, rounded up: a wait that ends early would have to be repeated.
fn time_until(deadline: Instant) -> Timespec {
    let wait = deadline.saturating_duration_since(Instant::now());
    let millis = i64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
    Timespec {
        tv_sec: millis / 1000,
        tv_nsec: (millis % 1000) * 1_000_000,
    }
}
