//! One connection of the status port: read the request, find its route, ask the app, answer, close.

use core::time::Duration;
use std::time::Instant;

use rustix::io;

use super::Agent;
use super::metrics::{Gauges, Rejection};
use super::slots::{Accepted, Place};
use crate::config::{Action, Prober};
use crate::limits;
use crate::net::Socket;
use crate::probe::{Failure, HttpProbe, Outcome, REDIRECT_BYTES};
use crate::wire::answer::{ANSWER_BYTES, AnswerBody, write_answer};
use crate::wire::request::{Method, RequestError, RequestHead, RequestParser};

/// Memory of a slot: a request head, and what redirects need.
pub const SLOT_BYTES: usize = limits::REQUEST_HEAD_BYTES + REDIRECT_BYTES;

/// A request that is complete, and what came behind it.
struct Request {
    head: RequestHead,
    surplus: bool,
}

/// How a connection is to end.
enum End {
    /// The client may take what was written and then reads the end.
    Close,
    /// The same, but more may come in, and a close on unread bytes would reset the connection and
    /// lose the answer (RFC 9112 section 9.6).
    Linger,
    /// No answer, and no orderly end that could be taken for one.
    Reset,
}

impl Agent {
    /// Serves the connections that come to slot number `index`, for good.
    pub async fn serve(self: std::rc::Rc<Self>, index: usize, memory: &'static mut [u8]) {
        loop {
            let connection = self.slots.next(index).await;
            self.serve_one(index, connection, memory).await;
            self.slots.free(index);
        }
    }

    async fn serve_one(&self, index: usize, connection: Accepted, memory: &mut [u8]) {
        let Accepted { socket, at } = connection;
        let (buf, space) = memory.split_at_mut(limits::REQUEST_HEAD_BYTES);
        let end = match self.read_head(index, &socket, at, buf).await {
            Ok(Ok(request)) => self.answer(index, &socket, at, &request, buf, space).await,
            Ok(Err(error)) => self.refuse(index, &socket, error).await,
            Err(end) => end,
        };
        match end {
            End::Close => drop(socket),
            End::Linger => self.linger(index, &socket).await,
            End::Reset => socket.reset(),
        }
    }

    /// Reads until the head is complete or wrong. Without either there is nobody to answer.
    async fn read_head(
        &self,
        index: usize,
        socket: &Socket,
        at: Instant,
        buf: &mut [u8],
    ) -> Result<Result<Request, RequestError>, End> {
        let deadline = at + limits::REQUEST_HEAD_TIME;
        let reading = self.reactor.before(deadline, read_head(socket, buf));
        match self.slots.unless_evicted(index, reading).await {
            Some(Ok(Ok(Some(parsed)))) => Ok(parsed),
            // The client went away.
            Some(Ok(Ok(None) | Err(_))) => Err(End::Close),
            Some(Err(_)) => Err(self.reject(Rejection::HeadTimeout, End::Reset)),
            None => Err(self.reject(Rejection::Evicted, End::Reset)),
        }
    }

    async fn refuse(&self, index: usize, socket: &Socket, error: RequestError) -> End {
        let (rejection, status) = if error.is_too_large() {
            (Rejection::HeadTooLarge, 431)
        } else {
            (Rejection::Malformed, 400)
        };
        self.note_bad_request(rejection, error.as_str());
        self.metrics.rejected(rejection);
        self.say(index, socket, status, AnswerBody::Empty, End::Linger)
            .await
    }

    async fn answer(
        &self,
        index: usize,
        socket: &Socket,
        at: Instant,
        request: &Request,
        buf: &mut [u8],
        space: &mut [u8],
    ) -> End {
        let head = &request.head;
        let path = head.path(buf);
        let found = self.config.probers.find(path);
        let known = found.is_some() || matches!(path, b"/healthz/ready" | b"/metrics");
        let end = if request.surplus {
            End::Linger
        } else {
            End::Close
        };
        let status = if head.has_body() {
            self.note_bad_request(Rejection::Malformed, "the request has a body");
            self.metrics.rejected(Rejection::Malformed);
            return self
                .say(index, socket, 400, AnswerBody::Empty, End::Linger)
                .await;
        } else if !known {
            self.note_unknown_path(path);
            self.reject(Rejection::UnknownPath, 404)
        } else if head.method() == Method::Other {
            self.reject(Rejection::Method, 405)
        } else if let Some((number, prober)) = found {
            if self.slots.place(index) == Place::Reserve && !prober.is_hook {
                self.reject(Rejection::Busy, 503)
            } else {
                let probe = (number, prober, at);
                return self
                    .probe(index, socket, probe, head, buf, space, end)
                    .await;
            }
        } else if path == b"/metrics" && head.method() == Method::Get {
            return self.page(index, socket, buf, end).await;
        } else {
            200
        };
        self.say(index, socket, status, AnswerBody::Empty, end)
            .await
    }

    #[allow(clippy::too_many_arguments)]
    async fn probe(
        &self,
        index: usize,
        client: &Socket,
        (number, prober, at): (usize, &Prober, Instant),
        head: &RequestHead,
        buf: &[u8],
        space: &mut [u8],
        end: End,
    ) -> End {
        if prober.is_hook && !self.slots.move_to_hook(index) {
            self.note_hook_refused(prober);
            return self.reject(Rejection::HookSlotsFull, End::Reset);
        }
        self.slots.start_probing(index);
        let request = (head, buf);
        let outcome = if prober.is_hook {
            // kubelet sets a hook no deadline: it ends when the app answers or kubelet goes away.
            smol::future::or(
                async { Some(self.ask(client, prober, None, request, space).await) },
                async {
                    client.closed().await;
                    None
                },
            )
            .await
        } else {
            let deadline = at + prober.timeout - self.config.deadline_margin;
            Some(
                self.ask(client, prober, Some(deadline), request, space)
                    .await,
            )
        };
        self.slots.stop_probing(index);
        let Some(outcome) = outcome else {
            return End::Close;
        };
        self.record(number, prober, outcome, at.elapsed());
        let body = match outcome {
            // kubelet fails a hook on transport errors alone, and has no eyes for its status.
            // An odd code is an answer: only where there was none does kubelet fail a hook.
            Outcome::Failed(Failure::StatusOutOfRange | Failure::SwitchingProtocols)
                if prober.is_hook =>
            {
                AnswerBody::Empty
            }
            Outcome::Failed(_) if prober.is_hook => return End::Reset,
            Outcome::BodyBroken(_) if !prober.is_hook => AnswerBody::Broken,
            _ => AnswerBody::Empty,
        };
        self.say(index, client, outcome.status(), body, end).await
    }

    async fn ask(
        &self,
        client: &Socket,
        prober: &Prober,
        deadline: Option<Instant>,
        (head, bytes): (&RequestHead, &[u8]),
        space: &mut [u8],
    ) -> Outcome {
        match &prober.action {
            Action::Http(get) => {
                let probe = HttpProbe {
                    head,
                    bytes,
                    get,
                    client,
                    status_port: self.config.status.port,
                };
                self.dialler.probe_http(&probe, deadline, space).await
            }
            Action::Tcp { port } => self.dialler.probe_tcp(*port, deadline).await,
            Action::Grpc { .. } => Outcome::Failed(Failure::NotBuilt),
        }
    }

    fn record(&self, number: usize, prober: &Prober, outcome: Outcome, took: Duration) {
        self.metrics.probed(number, outcome, took);
        let target = std::net::SocketAddr::new(self.config.target, prober.action.port());
        self.reports
            .result(&self.log, number, prober, &target, outcome, took);
    }

    /// Says a status code.
    async fn say(
        &self,
        index: usize,
        socket: &Socket,
        status: u16,
        body: AnswerBody,
        end: End,
    ) -> End {
        let mut answer = [0; ANSWER_BYTES];
        let len = write_answer(&mut answer, status, body);
        self.write(index, end, socket.write_all(&answer[..len]))
            .await
    }

    /// Says the page of metrics. The request was read: its buffer serves for the page.
    async fn page(&self, index: usize, socket: &Socket, buf: &mut [u8], end: End) -> End {
        let gauges = Gauges {
            status: self.slots.open(),
            forwards: self.places.open(),
            resident: super::memory::resident(buf),
        };
        let page = async {
            let body = AnswerBody::UntilClose("text/plain; version=0.0.4; charset=utf-8");
            let mut len = write_answer(buf, 200, body);
            let mut line = 0;
            loop {
                let (more, next) =
                    self.metrics
                        .render(&self.config.probers, &gauges, line, &mut buf[len..]);
                if len + more == 0 {
                    return Ok(());
                }
                socket.write_all(&buf[..len + more]).await?;
                (line, len) = (next, 0);
            }
        };
        self.write(index, end, page).await
    }

    async fn write(
        &self,
        index: usize,
        end: End,
        writing: impl Future<Output = io::Result<()>>,
    ) -> End {
        let deadline = Instant::now() + limits::ANSWER_TIME;
        let writing = self.reactor.before(deadline, writing);
        match self.slots.unless_evicted(index, writing).await {
            Some(Ok(Ok(()))) => end,
            Some(Ok(Err(_)) | Err(_)) => End::Reset,
            None => self.reject(Rejection::Evicted, End::Reset),
        }
    }

    /// Reads what the client still sends, within bounds, so that it gets to read the answer.
    async fn linger(&self, index: usize, socket: &Socket) {
        socket.shutdown();
        let drain = async {
            let mut left = limits::LINGER_BYTES;
            while let Ok(len @ 1..) = socket.read_with(<[u8]>::len).await {
                left = left.saturating_sub(len);
                if left == 0 {
                    break;
                }
            }
        };
        let deadline = Instant::now() + limits::LINGER_TIME;
        let drain = self.reactor.before(deadline, drain);
        // However it ends, it has ended.
        let _ = self.slots.unless_evicted(index, drain).await;
    }

    fn reject<T>(&self, rejection: Rejection, then: T) -> T {
        self.metrics.rejected(rejection);
        then
    }
}

/// Reads until a head is complete or wrong; nothing when the client ends before.
async fn read_head(
    socket: &Socket,
    buf: &mut [u8],
) -> io::Result<Option<Result<Request, RequestError>>> {
    let mut parser = RequestParser::new();
    let mut len = 0;
    loop {
        match socket.read(&mut buf[len..]).await? {
            0 => return Ok(None),
            more => len += more,
        }
        match parser.parse(&buf[..len]) {
            Ok(None) => {}
            Ok(Some(head)) => {
                let surplus = len > head.len();
                return Ok(Some(Ok(Request { head, surplus })));
            }
            Err(error) => return Ok(Some(Err(error))),
        }
    }
}
