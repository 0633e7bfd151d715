//! Relays the data of a TLS connection to the app and back. One read of each direction is processed at a time; then all
//! other tasks run. Nothing more is read from one side while the other has bytes that it does not accept.

use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};
use std::time::Instant;

use rustix::io::Errno;

use super::bulk::BulkData;
use super::port::Port;
use crate::forward::Sender;
use crate::forward::connections::ConnectionEntry;
use crate::forward::relay::BrokenBy;
use crate::limits;
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
    /// The app accepts no more, and has sent data or EOF before: the client has to receive the rest.
    AppGone {
        /// It has not sent EOF: the client has to be reset then.
        is_reset: bool,
    },
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
    bulk: BulkData,
    /// The last attempt to make the buffers small again.
    paused_at: Option<Instant>,
    /// The app has sent data.
    has_app_sent: bool,
    /// The client has sent `close_notify`, and the app has our FIN.
    is_client_done: bool,
    /// The app has sent EOF.
    is_app_done: bool,
    /// All of that and `close_notify` were sent to the client, and our FIN.
    is_client_shut: bool,
}

/// Why a step failed.
enum StepFailure {
    Client(StreamError),
    /// The connection to the app has broken.
    App(BrokenBy),
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
        let mut relay = TlsRelay {
            to_app,
            port,
            client,
            app,
            entry,
            bulk: BulkData::new(entry.last_active()),
            paused_at: None,
            has_app_sent: false,
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
            let (was_half_closed, idle) = (entry.is_half_closed(), entry.idle_deadline());
            let deadline = match self.bulk.has_permit() {
                true => {
                    let since = self.paused_at.max(Some(entry.last_active()));
                    since.map_or(idle, |since| idle.min(since + limits::INBOUND_BULK_PAUSE))
                }
                false => idle,
            };
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
                Err(failure) => Poll::Ready(Next::End(self.fail(cx, failure))),
            }));
            match reactor.timeout_at(deadline, step).await {
                Ok(Next::Yield) => reactor.yield_low_priority().await,
                Ok(Next::Wait) => {}
                Ok(Next::End(end)) => return end,
                Err(_) if deadline < idle => self.pause(),
                Err(_) if entry.idle_deadline() > deadline => {}
                Err(_) => return poll_fn(|cx| Poll::Ready(self.close(cx))).await,
            }
        }
    }

    /// Moves at most one read of each direction.
    fn poll(&mut self, cx: &Context<'_>) -> Result<Progress, StepFailure> {
        let up = self.poll_up(cx)?;
        let down = self.poll_down(cx)?;
        Ok(match (up, down) {
            (Progress::None, Progress::None) => Progress::None,
            _ => Progress::Some,
        })
    }

    /// From the client to the app.
    fn poll_up(&mut self, cx: &Context<'_>) -> Result<Progress, StepFailure> {
        if !self.to_app.is_empty() {
            return self.poll_write_rest(cx);
        }
        if self.is_client_done {
            // Nothing more is read, so a reset is polled for.
            return self.poll_client_broken(cx);
        }
        if self.client.is_peer_closed() {
            // The other direction stays open until the app ends it.
            self.app.shutdown();
            self.entry.record_eof();
            self.is_client_done = true;
            return Ok(Progress::Some);
        }
        let is_bulk = self.bulk.is_large(Sender::Client);
        let TlsRelay {
            port,
            client,
            app,
            to_app,
            ..
        } = self;
        let (len, written, received) = port.tables.bulk.with_buffer(|data| {
            let mut len = 0;
            let received = client.poll_receive(cx, is_bulk, &mut |record| {
                data[len..len + record.len()].copy_from_slice(record);
                len += record.len();
            });
            if len == 0 {
                return (0, Ok(0), received);
            }
            // One call for the data of all records.
            let written = match app.poll_write(cx, &data[..len]) {
                Poll::Ready(written) => written,
                Poll::Pending => Ok(0),
            };
            to_app.extend_from_slice(&data[written.unwrap_or(0)..len]);
            (len, written, received)
        });
        if len > 0 {
            self.record(Sender::Client, len);
        }
        written.map_err(write_failure)?;
        match received {
            Poll::Ready(received) => match received.map_err(StepFailure::Client)? {
                Received::Bytes | Received::CloseNotify => Ok(Progress::Some),
            },
            Poll::Pending => Ok(Progress::None),
        }
    }

    /// Writes the rest as fast as the app accepts it. Nothing is read meanwhile, so a reset is polled for.
    fn poll_write_rest(&mut self, cx: &Context<'_>) -> Result<Progress, StepFailure> {
        match self.app.poll_write(cx, &self.to_app) {
            Poll::Ready(written) => {
                let written = written.map_err(write_failure)?;
                match written == self.to_app.len() {
                    true => self.to_app = Vec::new(),
                    false => drop(self.to_app.drain(..written)),
                }
                self.entry.record_bytes(Sender::Client);
                Ok(Progress::Some)
            }
            Poll::Pending => self.poll_client_broken(cx),
        }
    }

    /// From the app to the client.
    fn poll_down(&mut self, cx: &Context<'_>) -> Result<Progress, StepFailure> {
        match self.client.poll_flush(cx) {
            Poll::Ready(flushed) => flushed.map_err(StepFailure::Client)?,
            Poll::Pending => return self.poll_app_broken(cx),
        }
        match (self.is_app_done, self.is_client_shut) {
            (true, true) => return self.poll_app_broken(cx),
            (true, false) => {
                self.client.socket().shutdown();
                self.is_client_shut = true;
                return Ok(Progress::Some);
            }
            (false, _) => {}
        }
        match self.poll_read_app(cx) {
            Poll::Ready(Ok(0)) => {
                self.is_app_done = true;
                self.entry.record_eof();
                let closed = self.client.send_close_notify(cx);
                closed.map_err(StepFailure::Client)?;
                Ok(Progress::Some)
            }
            Poll::Ready(Ok(_)) => Ok(Progress::Some),
            Poll::Ready(Err(failure)) => Err(failure),
            Poll::Pending => Ok(Progress::None),
        }
    }

    /// Reads once from the app, and sends that to the client as far as it accepts it. Returns 0 at EOF.
    fn poll_read_app(&mut self, cx: &Context<'_>) -> Poll<Result<usize, StepFailure>> {
        let max = match self.bulk.is_large(Sender::App) {
            true => limits::INBOUND_BULK_STEP_BYTES,
            false => limits::SCRATCH_BYTES,
        };
        let TlsRelay {
            port, client, app, ..
        } = self;
        let read = port.tables.bulk.with_buffer(|data| {
            let len = match app.poll_read(cx, &mut data[..max])? {
                Poll::Ready(len) => len,
                Poll::Pending => return Poll::Pending,
            };
            Poll::Ready(Ok::<_, Errno>(match len {
                0 => (0, Ok(())),
                len => (len, client.send(cx, &data[..len])),
            }))
        });
        read.map(|read| {
            let (len, sent) = read.map_err(|_| StepFailure::App(BrokenBy::Reset))?;
            if len > 0 {
                self.has_app_sent = true;
                self.record(Sender::App, len);
            }
            sent.map(|()| len).map_err(StepFailure::Client)
        })
    }

    fn record(&mut self, sender: Sender, bytes: usize) {
        self.entry.record_bytes(sender);
        self.port.observer.passed(self.port.index, sender, bytes);
        // No clock is read for it: the entry has just been set.
        let (now, shared) = (self.entry.last_active(), &self.port.tables.bulk);
        let sockets = [self.client.socket(), self.app];
        self.bulk.record(sender, bytes, now, shared, sockets);
    }

    /// No byte has moved for a while.
    fn pause(&mut self) {
        self.paused_at = Some(Instant::now());
        self.bulk.pause([self.client.socket(), self.app]);
    }

    fn fail(&mut self, cx: &Context<'_>, failure: StepFailure) -> RelayEnd {
        match failure {
            StepFailure::Client(StreamError::Tls(_)) => RelayEnd::ClientViolation,
            StepFailure::Client(StreamError::Io(_)) => RelayEnd::Broken,
            StepFailure::App(broken) => self.end_of_app(cx, broken),
        }
    }

    /// The app accepts no more data. It may have answered before it read all, and closed: the kernel then resets our
    /// connection, and has data that the app sent before.
    fn end_of_app(&mut self, cx: &Context<'_>, broken: BrokenBy) -> RelayEnd {
        while !self.is_app_done {
            match self.poll_read_app(cx) {
                Poll::Ready(Ok(0)) if broken == BrokenBy::Unknown => {
                    if self.client.send_close_notify(cx).is_err() {
                        return RelayEnd::Broken;
                    }
                    self.is_app_done = true;
                }
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Err(StepFailure::Client(_))) => return RelayEnd::Broken,
                // A reset: the client gets no `close_notify`, because data may be missing.
                Poll::Ready(Ok(0) | Err(_)) | Poll::Pending => break,
            }
        }
        match self.is_app_done || self.has_app_sent {
            true => RelayEnd::AppGone {
                is_reset: !self.is_app_done,
            },
            false => RelayEnd::Broken,
        }
    }

    fn poll_client_broken(&self, cx: &Context<'_>) -> Result<Progress, StepFailure> {
        match self.client.poll_broken(cx) {
            Poll::Ready(error) => Err(StepFailure::Client(error.into())),
            Poll::Pending => Ok(Progress::None),
        }
    }

    fn poll_app_broken(&self, cx: &Context<'_>) -> Result<Progress, StepFailure> {
        match self.app.poll_broken(cx) {
            Poll::Ready(_) => Err(StepFailure::App(BrokenBy::Unknown)),
            Poll::Pending => Ok(Progress::None),
        }
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

fn write_failure(error: Errno) -> StepFailure {
    StepFailure::App(BrokenBy::write_error(error))
}
