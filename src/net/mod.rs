//! Sockets, timers, signals and TLS to the app, on one thread over epoll.
//!
//! [`fn@run`] drives smol's `LocalExecutor` on a [`Reactor`] over epoll. A call is tried before it waits in epoll, a
//! descriptor is registered when its first call would block, and timers are the timeout of `epoll_wait`: a probe
//! without delays costs no system call beyond its own reads and writes.
//!
//! The webhook runs on async-io instead. It shares only what needs no reactor, such as [`bind`],
//! [`termination_signals`], [`Semaphore`] and [`FairShares`].

mod cold;
mod connect;
mod connect_unix;
mod deadline;
mod descriptor_limit;
mod fair_share;
mod listen_error;
mod listener;
mod low_priority;
mod no_wait;
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

pub use cold::poll_out_of_line;
pub use deadline::{Alarm, Elapsed};
pub use descriptor_limit::raise_descriptor_limit;
#[cfg(feature = "tls")]
pub use fair_share::network_of;
pub use fair_share::{Candidate, FairShares, Share, select_victim};
pub use listen_error::{ListenError, ListenFlags};
pub use listener::{Accepted, BindError, BoundSocket, KernelQueues, Listener, bind};
pub use reactor::Reactor;
pub use run::run;
pub use semaphore::{Permit, Policy, Semaphore};
pub use signal::{Signals, termination_signals};
pub use socket::Socket;
pub use stream::Stream;
pub use stream_error::{StreamError, TlsFault, is_out_of_resources};
pub use task::{set_waker, yield_now};
pub use tls_options::{
    CaPath, CertFile, Curves, IdentityPaths, KeyPairPaths, TlsConnectOptions, TlsOptions,
    TlsPurpose, TlsReload,
};
