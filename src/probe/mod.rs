//! One probe of the app: from a target and a deadline to an [`Outcome`].

mod event;
mod failure;
mod grpc;
mod http;
mod http_probe;
mod outcome;
mod request_attempt;
mod request_origin;
mod response_reader;
mod tcp;
mod tls_files;

pub use event::{Event, Observer};
pub use failure::Failure;
pub use grpc::{CallOptions, GrpcProbe};
pub use http_probe::{HttpProbe, PROBE_BYTES, RedirectSpace};
pub use outcome::Outcome;
pub use request_origin::{RequestOrigin, UrlAuthority};
pub use tls_files::{TlsSettingError, load_tls};

pub use crate::wire::upstream::Method;

use core::future::Future;
use core::net::{IpAddr, SocketAddr};
use core::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use rustix::io;

use crate::config::Listen;
use crate::limits;
use crate::net::tls::{Tls, TlsStream};
use crate::net::{
    Curves, Elapsed, Reactor, Socket, Stream, StreamError, TlsConnectOptions, TlsFault,
    is_out_of_resources,
};
use crate::wire::url::Scheme;

/// Connects to the app. The same for all probes of a pod.
pub struct Dialler {
    /// Runs the connections.
    pub reactor: Rc<Reactor>,
    /// The app's address.
    pub target: IpAddr,
    /// The source address of probes of `target`, to bypass interception.
    pub source: Option<IpAddr>,
    /// probelet's own listeners: no redirect may lead there.
    pub own_listeners: Box<[Listen]>,
    /// TLS to the app.
    pub tls: Rc<Tls>,
    /// Observes the steps of a probe. The agent has none.
    pub observer: Option<Rc<dyn Observer>>,
    /// Connects in place of the dialler. The agent has none.
    pub connector: Option<Rc<dyn Connector>>,
}

/// Connects in place of a [`Dialler`]: to a UNIX socket, or over a connection that is established already.
pub trait Connector {
    /// A connection to the app; `None` for one to its address.
    fn connect(&self) -> Option<io::Result<Socket>>;
}

impl Dialler {
    /// Starts a connection to the app. Retries while the process is out of file descriptors or socket memory.
    async fn dial(&self, app: SocketAddr) -> io::Result<Socket> {
        let source = self.source.filter(|_| app.ip() == self.target);
        self.notify(|| Event::Connecting(app));
        if let Some(socket) = self.connector.as_ref().and_then(|own| own.connect()) {
            return socket;
        }
        for _ in 0..limits::SOCKET_RETRIES {
            match Socket::start_connect(&self.reactor, app, source) {
                Err(error) if is_out_of_resources(error) => {
                    let later = Instant::now() + limits::SOCKET_RETRY_BACKOFF;
                    self.reactor.sleep_until(later).await;
                }
                result => return result,
            }
        }
        Socket::start_connect(&self.reactor, app, source)
    }

    /// Whether a connection to `app` reaches probelet itself.
    fn is_own(&self, app: SocketAddr) -> bool {
        let mut listeners = self.own_listeners.iter();
        listeners.any(|listener| listener.is_reached_by(app, &[self.target]))
    }

    /// Prepares the connection to `app` for requests, with a TLS handshake if `scheme` needs it. The handshake's future is
    /// boxed: in the slot it would occupy memory for good.
    async fn open(
        &self,
        socket: Socket,
        app: SocketAddr,
        scheme: Scheme,
        options: TlsConnectOptions<'_>,
    ) -> Result<Stream, StreamError> {
        self.connected(&socket).await?;
        match scheme {
            Scheme::Http => Ok(Stream::Plain(socket)),
            Scheme::Https => {
                let stream = Box::pin(self.handshake(socket, app, options)).await?;
                self.notify(|| Event::TlsHandshakeDone(&stream));
                Ok(Stream::Tls(stream))
            }
        }
    }

    /// Runs the TLS handshake. On `no_common_cipher`, retries once and also offers P-521.
    async fn handshake(
        &self,
        socket: Socket,
        app: SocketAddr,
        options: TlsConnectOptions<'_>,
    ) -> Result<Box<TlsStream>, StreamError> {
        self.notify(|| Event::TlsHandshakeStarted);
        let redial = async || {
            let socket = self.dial(app).await?;
            self.connected(&socket).await?;
            self.notify(|| Event::TlsHandshakeStarted);
            Ok(socket)
        };
        match self.tls.connect(socket, &redial, options).await {
            Err(StreamError::Tls(TlsFault::NoCommonCipher)) => {
                let again = async {
                    let socket = redial().await?;
                    let curves = Curves::WithP521;
                    let options = TlsConnectOptions { curves, ..options };
                    self.tls.connect(socket, &redial, options).await
                };
                // If the second handshake gets less far, the first one's error is the cause.
                again.await.map_err(|error| match error {
                    StreamError::Io(_) | StreamError::Tls(TlsFault::ClosedEarly) => {
                        TlsFault::NoCommonCipher.into()
                    }
                    error => error,
                })
            }
            result => result,
        }
    }

    /// Waits until connected if an observer needs the timestamp. Otherwise the first write waits.
    async fn connected(&self, socket: &Socket) -> io::Result<()> {
        if self.observer.is_some() {
            socket.wait_connected().await?;
            self.notify(|| Event::Connected);
        }
        Ok(())
    }

    fn notify<'e>(&self, event: impl FnOnce() -> Event<'e>) {
        if let Some(observer) = &self.observer {
            observer.on_event(event());
        }
    }

    /// Runs `future` until `deadline`, or to its end without one: a hook has no deadline.
    async fn with_deadline<T>(
        &self,
        deadline: Option<Instant>,
        future: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Elapsed> {
        match deadline {
            Some(at) => self.reactor.timeout_at(at, future).await,
            None => Ok(future.await),
        }
    }
}
