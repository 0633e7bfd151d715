//! One request of a connection: its head, its body, its answer.

use super::answer::Answer;
use super::chunked::Chunked;
use super::head::{self, Head, Length, Route};
use super::places::{Id, Phase};
use super::problem::{Problem, review_status};
use super::shared::Shared;
use super::stream::{Tls, before, write};
use crate::limits;
use crate::net::BytePermit;
use std::io;
use std::time::Instant;

/// What comes after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The next request.
    Next,
    /// The end.
    Close,
    /// The end, with what the client still sends thrown away.
    Linger,
}

/// A request whose head has begun to come.
struct Exchange<'s> {
    shared: &'s Shared,
    stream: &'s mut Tls,
    /// What was read and not yet looked at.
    read: &'s mut Vec<u8>,
    began: Instant,
}

/// Why there is no body.
enum Lost {
    To(Problem),
    Stream(io::Error),
}

/// Serves one request, of which `read` has the beginning; what it has of the next one stays there.
///
/// # Errors
/// The stream's; then nobody can be told anything.
pub async fn exchange(
    shared: &Shared,
    stream: &mut Tls,
    id: Id,
    read: &mut Vec<u8>,
) -> io::Result<After> {
    let began = Instant::now();
    let mut exchange = Exchange {
        shared,
        stream,
        read,
        began,
    };
    let head = match exchange.head().await? {
        Ok(head) => head,
        Err(problem) => {
            shared.note_problem(&problem.to_string());
            exchange.answer(&problem.into(), true, true).await?;
            return Ok(After::Linger);
        }
    };
    shared.places.enter(id, Phase::Busy);
    exchange.serve(head).await
}

impl Exchange<'_> {
    async fn head(&mut self) -> io::Result<Result<Head, Problem>> {
        let late = self.began + limits::WEBHOOK_HEAD_TIME;
        loop {
            match head::parse(self.read) {
                Ok(Some((head, len))) => {
                    self.read.drain(..len);
                    return Ok(Ok(head));
                }
                Ok(None) => {}
                Err(problem) => return Ok(Err(problem)),
            }
            let had = self.read.len();
            match before(late, self.more()).await {
                Some(more) => more?,
                None => return Ok(Err(Problem::SlowHead)),
            }
            if self.read.len() == had {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        let read = &mut *self.read;
        let take = |bytes: &[u8]| read.extend_from_slice(bytes);
        self.shared.scratch.read(self.stream, take).await
    }

    async fn serve(&mut self, head: Head) -> io::Result<After> {
        let (answer, has_body) = match head.route {
            Route::Inject => return self.inject(head).await,
            Route::Health(has_body) => (Answer::text(200, "ok"), has_body),
            Route::Metrics(has_body) => (Answer::page(self.shared.page()), has_body),
            Route::Wrong(problem) => {
                self.shared.note_problem(&problem.to_string());
                (problem.into(), true)
            }
        };
        // A body that nobody wants is not read, so nothing can come behind it.
        let is_bare = head.length == Length::Known(0);
        let closes = !is_bare || !head.keeps || self.shared.is_draining();
        self.answer(&answer, has_body, closes).await?;
        Ok(match (closes, is_bare) {
            (false, _) => After::Next,
            (true, true) => After::Close,
            (true, false) => After::Linger,
        })
    }

    async fn inject(&mut self, head: Head) -> io::Result<After> {
        let _in_flight = self.shared.metrics.begin_review();
        let (answer, is_read) = match self.body(head).await {
            Ok((body, share)) => {
                let answer = self.review(&body);
                drop((body, share));
                (answer, true)
            }
            Err(Lost::Stream(error)) => return Err(error),
            Err(Lost::To(problem)) => {
                self.shared.note_problem(&problem.to_string());
                (problem.into(), false)
            }
        };
        let closes = !is_read || !head.keeps || self.shared.is_draining();
        self.answer(&answer, true, closes).await?;
        Ok(match (closes, is_read) {
            (false, _) => After::Next,
            (true, true) => After::Close,
            (true, false) => After::Linger,
        })
    }

    fn review(&self, body: &[u8]) -> Answer {
        match self.shared.review(body) {
            Ok(answer) => Answer::json(answer),
            Err(error) => {
                let text = error.to_string();
                self.shared.note_problem(&text);
                Answer::text(review_status(&error), &text)
            }
        }
    }

    /// The body, once there is room for it. Until then it stays with the client.
    async fn body(&mut self, head: Head) -> Result<(Vec<u8>, BytePermit), Lost> {
        let most = match head.length {
            Length::Known(bytes) if bytes > limits::REVIEW_BYTES => {
                return Err(Lost::To(Problem::LargeBody));
            }
            Length::Known(bytes) => bytes,
            Length::Chunked => limits::REVIEW_BYTES,
        };
        let deadline = self.began + head.time;
        let permit = before(deadline, self.shared.body_bytes.acquire(most)).await;
        let mut permit = permit.ok_or(Lost::To(Problem::Full))?;
        if head.expects && self.read.is_empty() {
            let go = b"HTTP/1.1 100 Continue\r\n\r\n";
            write(self.stream, go).await.map_err(Lost::Stream)?;
        }
        let late = deadline.min(Instant::now() + limits::WEBHOOK_BODY_TIME);
        let reading = async {
            match head.length {
                Length::Known(bytes) => self.known(bytes).await,
                Length::Chunked => self.chunked().await,
            }
        };
        let body = before(late, reading).await;
        let body = body.ok_or(Lost::To(Problem::SlowBody))??;
        permit.shrink_to(body.len());
        self.shared.metrics.count_received(body.len());
        Ok((body, permit))
    }

    /// What comes goes into the body at once: a thousand that are half there are held once, not twice.
    async fn known(&mut self, bytes: usize) -> Result<Vec<u8>, Lost> {
        let mut body = Vec::with_capacity(bytes);
        let taken = self.read.len().min(bytes);
        body.extend(self.read.drain(..taken));
        if self.read.is_empty() {
            *self.read = Vec::new();
        }
        while body.len() < bytes {
            let had = body.len();
            let take = |more: &[u8]| {
                let (ours, next) = more.split_at(more.len().min(bytes - had));
                body.extend_from_slice(ours);
                self.read.extend_from_slice(next);
            };
            let read = self.shared.scratch.read(self.stream, take).await;
            read.map_err(Lost::Stream)?;
            if body.len() == had {
                return Err(Lost::Stream(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(body)
    }

    async fn chunked(&mut self) -> Result<Vec<u8>, Lost> {
        let (mut body, mut chunked) = (Vec::new(), Chunked::new());
        loop {
            let used = chunked.feed(self.read, &mut body, limits::REVIEW_BYTES);
            let used = used.map_err(|_| Lost::To(Problem::BadChunk))?;
            self.read.drain(..used);
            if body.len() > limits::REVIEW_BYTES {
                return Err(Lost::To(Problem::LargeBody));
            }
            if chunked.is_done() {
                return Ok(body);
            }
            self.more_or_end().await?;
        }
    }

    async fn more_or_end(&mut self) -> Result<(), Lost> {
        self.more().await.map_err(Lost::Stream)?;
        match self.read.is_empty() {
            true => Err(Lost::Stream(io::ErrorKind::UnexpectedEof.into())),
            false => Ok(()),
        }
    }

    async fn answer(&mut self, answer: &Answer, has_body: bool, closes: bool) -> io::Result<()> {
        self.shared.metrics.count_response(answer.status);
        let late = Instant::now() + limits::ANSWER_TIME;
        let bytes = answer.bytes(has_body, closes);
        match before(late, write(self.stream, &bytes)).await {
            Some(written) => written,
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
