//! Relays the data of a TLS connection to the app and back. One record of each direction is processed at a time; then all
//! other tasks run. Nothing more is read from one side while the other has bytes that it does not accept.

use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};

use rustix::io::Errno;

use super::port::Port;
use crate::forward::Sender;
use crate::forward::connections::ConnectionEntry;
use crate::net::tls::{Received, TlsServerStream};
use crate::net::{Socket, StreamError};

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelayEnd {
    /// Both sides have ended.
    Complete,
    /// We have ended it with `close_notify`. The client has not ended its side.
    Closed,
    /// The client violated TLS, and was sent an alert. The app has to be reset.
    ClientViolation,
    /// One side broke, or did not answer in time: both have to be reset.
    Broken,
}

/// The state of a relay.
pub(super) struct TlsRelay<'a> {
    port: &'a Port,
    client: &'a mut TlsServerStream,
    app: &'a Socket,
    entry: &'a ConnectionEntry,
    /// Data of the client that the app has not accepted yet.
    to_app: Vec<u8>,
    /// The client has sent `close_notify`, and the app has our FIN.
    is_client_done: bool,
    /// The app has sent EOF.
    is_app_done: bool,
    /// All of that and `close_notify` were sent to the client, and our FIN.
    is_client_shut: bool,
}

/// Whether bytes moved in a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Some,
    None,
}

/// What [`TlsRelay::run`] does next.
enum Next {
    /// Other tasks run first.
    Yield,
    /// The deadline has changed.
    Wait,
    End(RelayEnd),
}

impl<'a> TlsRelay<'a> {
    pub(super) fn new(
        port: &'a Port,
        client: &'a mut TlsServerStream,
        app: &'a Socket,
        entry: &'a ConnectionEntry,
    ) -> TlsRelay<'a> {
        let to_app = client.take_early();
        let relay = TlsRelay {
            to_app,
            port,
            client,
            app,
            entry,
            is_client_done: false,
            is_app_done: false,
            is_client_shut: false,
        };
        if !relay.to_app.is_empty() {
            relay.record(Sender::Client, relay.to_app.len());
        }
        relay
    }

    pub(super) async fn run(&mut self) -> RelayEnd {
        loop {
            let (entry, reactor) = (self.entry, &self.port.reactor);
            let (was_half_closed, deadline) = (entry.is_half_closed(), entry.idle_deadline());
            let step = pin!(poll_fn(|cx| match self.poll(cx) {
                Ok(Progress::Some) => Poll::Ready(Next::Yield),
                Ok(Progress::None) if self.is_client_done && self.is_client_shut => {
                    Poll::Ready(Next::End(RelayEnd::Complete))
                }
                Ok(Progress::None) if entry.is_closing() => Poll::Ready(Next::End(self.close(cx))),
                Ok(Progress::None) if entry.is_half_closed() != was_half_closed => {
                    Poll::Ready(Next::Wait)
                }
                Ok(Progress::None) => Poll::Pending,
                Err(StreamError::Tls(_)) => Poll::Ready(Next::End(RelayEnd::ClientViolation)),
                Err(StreamError::Io(_)) => Poll::Ready(Next::End(RelayEnd::Broken)),
            }));
            match reactor.timeout_at(deadline, step).await {
                Ok(Next::Yield) => reactor.yield_low_priority().await,
                Ok(Next::Wait) => {}
                Ok(Next::End(end)) => return end,
                Err(_) if entry.idle_deadline() > deadline => {}
                Err(_) => return poll_fn(|cx| Poll::Ready(self.close(cx))).await,
            }
        }
    }

    /// Moves at most one read of each direction.
    fn poll(&mut self, cx: &Context<'_>) -> Result<Progress, StreamError> {
        let up = self.poll_up(cx)?;
        let down = self.poll_down(cx)?;
        Ok(match (up, down) {
            (Progress::None, Progress::None) => Progress::None,
            _ => Progress::Some,
        })
    }

    /// From the client to the app.
    fn poll_up(&mut self, cx: &Context<'_>) -> Result<Progress, StreamError> {
        if !self.to_app.is_empty() {
            return self.poll_write_rest(cx);
        }
        if self.is_client_done {
            // Nothing more is read, so a reset is polled for.
            return unless_broken(self.client.poll_broken(cx));
        }
        if self.client.is_peer_closed() {
            // The other direction stays open until the app ends it.
            self.app.shutdown();
            self.entry.record_eof();
            self.is_client_done = true;
            return Ok(Progress::Some);
        }
        let TlsRelay {
            client,
            app,
            to_app,
            ..
        } = self;
        let (mut bytes, mut failed) = (0, None);
        let received = client.poll_receive(cx, &mut |data| {
            bytes += data.len();
            let mut rest = data;
            if to_app.is_empty() {
                match app.poll_write(cx, data) {
                    Poll::Ready(Ok(written)) => rest = &data[written..],
                    Poll::Ready(Err(error)) => failed = Some(error),
                    Poll::Pending => {}
                }
            }
            to_app.extend_from_slice(rest);
        });
        if bytes > 0 {
            self.record(Sender::Client, bytes);
        }
        match (failed, received) {
            (Some(error), _) => Err(error.into()),
            (None, Poll::Ready(received)) => match received? {
                Received::Bytes | Received::CloseNotify => Ok(Progress::Some),
            },
            (None, Poll::Pending) => Ok(Progress::None),
        }
    }

    /// Writes the rest as fast as the app accepts it. Nothing is read meanwhile, so a reset is polled for.
    fn poll_write_rest(&mut self, cx: &Context<'_>) -> Result<Progress, StreamError> {
        match self.app.poll_write(cx, &self.to_app) {
            Poll::Ready(written) => {
                let written = written?;
                match written == self.to_app.len() {
                    true => self.to_app = Vec::new(),
                    false => drop(self.to_app.drain(..written)),
                }
                self.entry.record_bytes(Sender::Client);
                Ok(Progress::Some)
            }
            Poll::Pending => unless_broken(self.client.poll_broken(cx)),
        }
    }

    /// From the app to the client.
    fn poll_down(&mut self, cx: &Context<'_>) -> Result<Progress, StreamError> {
        match self.client.poll_flush(cx) {
            Poll::Ready(flushed) => flushed?,
            Poll::Pending => {
                return unless_broken(self.app.poll_broken(cx));
            }
        }
        match (self.is_app_done, self.is_client_shut) {
            (true, true) => {
                return unless_broken(self.app.poll_broken(cx));
            }
            (true, false) => {
                self.client.socket().shutdown();
                self.is_client_shut = true;
                return Ok(Progress::Some);
            }
            (false, _) => {}
        }
        let client = &mut *self.client;
        let app = self.app;
        let sent = self.port.reactor.with_scratch(|buf| {
            let len = match app.poll_read(cx, buf) {
                Poll::Ready(len) => len?,
                Poll::Pending => return Ok(None),
            };
            match len {
                0 => client.send_close_notify(cx)?,
                len => client.send(cx, &buf[..len])?,
            }
            Ok::<_, StreamError>(Some(len))
        });
        match sent? {
            None => Ok(Progress::None),
            Some(0) => {
                self.is_app_done = true;
                self.entry.record_eof();
                Ok(Progress::Some)
            }
            Some(len) => {
                self.record(Sender::App, len);
                Ok(Progress::Some)
            }
        }
    }

    fn record(&self, sender: Sender, bytes: usize) {
        self.entry.record_bytes(sender);
        self.port.observer.passed(self.port.index, sender, bytes);
    }

    /// Ends a connection because the agent stops, or after the idle timeout: like Envoy with `close_notify`, as if the app
    /// had ended it, if all bytes were passed on and both sides are quiet. Who has sent last does not matter: a client of
    /// HTTP/2 acknowledges what it has received.
    fn close(&mut self, cx: &Context<'_>) -> RelayEnd {
        let is_complete = self.to_app.is_empty() && self.is_flushed(cx) && self.entry.is_quiet();
        // A client that has ended its side waits for the response.
        if !is_complete || self.is_client_done && !self.is_app_done {
            return RelayEnd::Broken;
        }
        if !self.is_app_done && (self.client.send_close_notify(cx).is_err() || !self.is_flushed(cx))
        {
            return RelayEnd::Broken;
        }
        RelayEnd::Closed
    }

    fn is_flushed(&mut self, cx: &Context<'_>) -> bool {
        matches!(self.client.poll_flush(cx), Poll::Ready(Ok(())))
    }
}

/// The result of a direction that waits for one side: no progress, or the error with which its connection has broken.
fn unless_broken(broken: Poll<Errno>) -> Result<Progress, StreamError> {
    match broken {
        Poll::Ready(error) => Err(error.into()),
        Poll::Pending => Ok(Progress::None),
    }
}
