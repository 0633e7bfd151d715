//! The app's answer as it comes in: its head, then as much of the body as kubelet reads. No I/O.

use super::{Failure, Outcome};
use crate::limits;
use crate::wire::body::Body;
use crate::wire::response::{Fed, ResponseHead, ResponseParser};

/// An answer under way.
pub struct Reply<'b> {
    /// Where a `Location` is kept.
    location: &'b mut [u8],
    parser: ResponseParser,
    /// The head and its body, once the head is complete.
    answer: Option<(ResponseHead, Body)>,
    /// How it ended, when that was not the end of the body.
    ended: Option<Outcome>,
}

impl<'b> Reply<'b> {
    /// An answer of which nothing has come yet.
    pub fn new(location: &'b mut [u8]) -> Reply<'b> {
        Reply {
            location,
            parser: ResponseParser::new(),
            answer: None,
            ended: None,
        }
    }

    /// Takes what came; nothing is the end of the connection.
    pub fn take(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.end();
        } else {
            self.feed(bytes);
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        if self.answer.is_none() {
            match self.parser.feed(bytes, self.location) {
                Ok(Fed::Partial) => return,
                Ok(Fed::Complete { used, head }) => {
                    let body = Body::new(head.framing, limits::RESPONSE_BODY_BYTES);
                    self.answer = Some((head, body));
                    bytes = &bytes[used..];
                }
                Err(error) => {
                    self.fail(error.into());
                    return;
                }
            }
        }
        if let Some((head, body)) = &mut self.answer
            && !bytes.is_empty()
            && body.feed(bytes).is_err()
        {
            self.ended = Some(Outcome::BodyBroken(head.status));
        }
    }

    fn end(&mut self) {
        match &self.answer {
            Some((head, body)) if body.end().is_ok() => {
                self.ended = Some(Outcome::Answered(head.status));
            }
            _ => {
                self.fail(Failure::ClosedEarly);
            }
        }
    }

    /// The connection broke, or the time was up: what that means depends on how far the answer got.
    pub fn fail(&mut self, failure: Failure) -> Outcome {
        let outcome = self.outcome().unwrap_or(match &self.answer {
            None => Outcome::Failed(failure),
            Some((head, _)) => Outcome::BodyBroken(head.status),
        });
        self.ended = Some(outcome);
        outcome
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.answer {
            Some((head, body)) if self.ended.is_none() && body.is_done() => {
                Some(Outcome::Answered(head.status))
            }
            _ => self.ended,
        }
    }

    /// The head, once it is complete.
    pub fn head(&self) -> Option<&ResponseHead> {
        self.answer.as_ref().map(|(head, _)| head)
    }

    /// What was kept of the `Location`.
    pub fn location(&self) -> &[u8] {
        self.location
    }

    /// Bytes of the body so far.
    pub fn body_bytes(&self) -> u64 {
        let wanted = self.answer.as_ref().map(|(_, body)| body.wanted());
        wanted.map_or(0, |wanted| limits::RESPONSE_BODY_BYTES - wanted)
    }
}
