//! One probe of the app: from a target and a deadline to an [`Outcome`]. One file a kind.

mod dialled;
mod event;
mod failure;
mod grpc;
mod hop;
mod http;
mod outcome;
mod reply;
mod tcp;
mod tls_files;

pub use dialled::{Dialled, UrlAuthority};
pub use event::{Event, Observer};
pub use failure::Failure;
pub use grpc::GrpcProbe;
pub use http::{HttpProbe, PROBE_BYTES, RedirectSpace};
pub use outcome::Outcome;
pub use tls_files::{TlsSettingError, load_tls};

use core::future::Future;
use core::net::{IpAddr, SocketAddr};
use core::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use rustix::io;

use crate::limits;
use crate::net::tls::{Tls, TlsStream};
use crate::net::{
    Alpn, Curves, Elapsed, Reactor, Socket, Stream, StreamError, TlsFault, TlsHello,
    is_out_of_descriptors,
};
use crate::wire::url::Scheme;

/// Where the app is, and from where it is dialled: the same for every probe of a pod.
pub struct Dialler {
    /// Runs the connections.
    pub reactor: Rc<Reactor>,
    /// The app's address.
    pub target: IpAddr,
    /// The address probes are dialled from, where interception must be passed by.
    pub source: Option<IpAddr>,
    /// Ports at the app's address that are our own: no redirect may lead there.
    pub own_ports: Box<[u16]>,
    /// What TLS goes by.
    pub tls: Rc<Tls>,
    /// Is told how far a probe has come. The agent wants to know how it ends and nothing else.
    pub observer: Option<Rc<dyn Observer>>,
}

impl Dialler {
    /// Begins a connection to the app. A process that is short of descriptors may have one again a
    /// moment later.
    async fn dial(&self, port: u16) -> io::Result<Socket> {
        let app = SocketAddr::new(self.target, port);
        self.tell(|| Event::Dialling(app));
        for _ in 0..limits::DESCRIPTOR_TRIES {
            match Socket::connect(&self.reactor, app, self.source) {
                Err(error) if is_out_of_descriptors(error) => {
                    let later = Instant::now() + limits::DESCRIPTOR_WAIT;
                    self.reactor.sleep_until(later).await;
                }
                result => return result,
            }
        }
        Socket::connect(&self.reactor, app, self.source)
    }

    /// Makes the connection ready for requests. The TLS handshake has memory of its own while it lasts: a
    /// slot would pay for it for good.
    async fn open(
        &self,
        socket: Socket,
        (scheme, port): (Scheme, u16),
        (name, alpn): (Option<&str>, Alpn),
    ) -> Result<Stream, StreamError> {
        self.connected(&socket).await?;
        match scheme {
            Scheme::Http => Ok(Stream::Plain(socket)),
            Scheme::Https => {
                let stream = Box::pin(self.secure(socket, port, name, alpn)).await?;
                self.tell(|| Event::Secured(&stream));
                Ok(Stream::Tls(stream))
            }
        }
    }

    /// Makes it TLS; an app that has nothing in common with us may have, once more is named.
    async fn secure(
        &self,
        socket: Socket,
        port: u16,
        name: Option<&str>,
        alpn: Alpn,
    ) -> Result<Box<TlsStream>, StreamError> {
        let hello = |curves| TlsHello {
            port,
            server_name: name,
            alpn,
            curves,
        };
        self.tell(|| Event::Securing);
        match self.tls.connect(socket, hello(Curves::Usable)).await {
            Err(StreamError::Tls(TlsFault::NoCommonCipher)) => {
                let again = async {
                    let socket = self.dial(port).await?;
                    self.connected(&socket).await?;
                    self.tell(|| Event::Securing);
                    self.tls.connect(socket, hello(Curves::AndP521)).await
                };
                // Where the second try does not get as far, the first one said what is wrong.
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

    /// Waits for the connection where somebody wants to know when it stands; otherwise the first write
    /// does.
    async fn connected(&self, socket: &Socket) -> io::Result<()> {
        if self.observer.is_some() {
            socket.connected().await?;
            self.tell(|| Event::Connected);
        }
        Ok(())
    }

    fn tell<'e>(&self, event: impl FnOnce() -> Event<'e>) {
        if let Some(observer) = &self.observer {
            observer.on(event());
        }
    }

    /// Runs `future` until `deadline`, or for as long as it takes: a hook has no deadline.
    async fn until<T>(
        &self,
        deadline: Option<Instant>,
        future: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Elapsed> {
        match deadline {
            Some(at) => self.reactor.before(at, future).await,
            None => Ok(future.await),
        }
    }
}
