//! Sockets, timers and signals on one thread: the only layer that blocks or sleeps.
//!
//! [`fn@run`] drives smol's `LocalExecutor` on a [`Reactor`] over epoll. A call is tried before epoll is
//! asked, a descriptor is registered when a call first would have blocked, and timers are the timeout
//! of `epoll_wait`: a probe that nobody delays costs no call beyond its own reads and writes.

mod deadline;
mod listener;
mod reactor;
mod run;
mod semaphore;
mod signal;
mod socket;
mod stream;
mod stream_error;
mod task;
mod timers;
#[cfg_attr(not(feature = "tls"), path = "tls_absent.rs")]
pub mod tls;
mod tls_options;

pub use deadline::Elapsed;
pub use listener::{BindError, BoundSocket, Listener, bind};
pub use reactor::Reactor;
pub use run::{apart, run};
pub use semaphore::{BytePermit, ByteSemaphore, Bytes, Permit, Policy, Semaphore};
pub use signal::{Signals, termination_signals};
pub use socket::Socket;
pub use stream::Stream;
pub use stream_error::{StreamError, TlsFault};
pub use task::{set_waker, yield_now};
pub use tls_options::{Alpn, Curves, TlsFiles, TlsReload};

use rustix::io::Errno;

/// This process or this machine has no descriptor to give: nothing is wrong with the peer.
pub fn is_out_of_descriptors(error: Errno) -> bool {
    matches!(
        error,
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM
    )
}
