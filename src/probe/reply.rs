//! The app's answer as it comes in, by HTTP/1 or HTTP/2: its head, then as much of the body as kubelet
//! reads. No I/O.

use super::{Failure, Outcome};
use crate::limits;
use crate::wire::body::Body;
use crate::wire::h2::{Exchange, Rules};
use crate::wire::response::{Fed, Framing, ResponseError, ResponseHead, ResponseParser};
use crate::wire::url::Scheme;

/// An answer under way.
pub struct Reply<'b> {
    /// Where a `Location` is kept.
    location: &'b mut [u8],
    /// What an [`Exchange`] needs.
    memory: &'b mut [u8],
    protocol: Protocol,
    is_plaintext: bool,
    /// Something has come, and it began as a TLS record does.
    began_as_tls: Option<bool>,
    /// Whether the body of an error in plaintext spoke of TLS.
    wants_tls: bool,
    /// The app did not look at the request, and says so.
    is_retried: bool,
    /// How it ended, when that was not the end of the body.
    ended: Option<Outcome>,
}

enum Protocol {
    Http1 {
        parser: ResponseParser,
        /// The head and its body, once the head is complete.
        answer: Option<(ResponseHead, Body)>,
    },
    Http2(Exchange),
}

impl<'b> Reply<'b> {
    /// An answer of which nothing has come yet. `memory` is [`H2_BYTES`](crate::wire::h2::H2_BYTES) long, and only
    /// used for HTTP/2.
    pub fn new(location: &'b mut [u8], memory: &'b mut [u8]) -> Reply<'b> {
        Reply {
            location,
            memory,
            protocol: Protocol::Http1 {
                parser: ResponseParser::new(),
                answer: None,
            },
            is_plaintext: true,
            began_as_tls: None,
            wants_tls: false,
            is_retried: false,
            ended: None,
        }
    }

    /// Says what the connection turned out to speak.
    pub fn expect(&mut self, scheme: Scheme, is_http2: bool) {
        self.is_plaintext = scheme == Scheme::Http;
        if is_http2 {
            self.protocol = Protocol::Http2(Exchange::new(Rules::Http));
        }
    }

    /// Takes what came; nothing is the end of the connection.
    pub fn take(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.end();
            return;
        }
        let began_as_tls = *self.began_as_tls.get_or_insert(is_tls(bytes));
        match self.feed(bytes) {
            Ok(()) => {}
            Err(Failure::Malformed) if began_as_tls => {
                self.fail(Failure::TlsPort);
            }
            Err(failure) => {
                self.fail(failure);
            }
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.protocol {
            Protocol::Http1 { parser, answer } => {
                if answer.is_none() {
                    match parser.feed(bytes, self.location)? {
                        Fed::Partial => return Ok(()),
                        Fed::Complete { used, head } => {
                            let body = Body::new(head.framing, limits::RESPONSE_BODY_BYTES);
                            *answer = Some((head, body));
                            bytes = &bytes[used..];
                        }
                    }
                }
                let Some((head, body)) = answer else {
                    return Ok(());
                };
                if !bytes.is_empty() {
                    self.wants_tls |=
                        head.status == 400 && self.is_plaintext && speaks_of_tls(bytes);
                    // A head that is complete makes this a body that broke.
                    body.feed(bytes).map_err(|_| ResponseError::Malformed)?;
                }
                Ok(())
            }
            Protocol::Http2(exchange) => {
                let fed = exchange.feed(bytes, self.memory, self.location, &mut |_| ());
                if let Err(error) = fed {
                    self.is_retried = exchange.head().is_none() && error.is_retried();
                    self.ended = exchange.head().map(|head| {
                        // What Go's client had handed on by then counts, the end of the stream does not.
                        match exchange.body_bytes() >= limits::RESPONSE_BODY_BYTES {
                            true => Outcome::Answered(head.status),
                            false => Outcome::BodyBroken(head.status),
                        }
                    });
                }
                Ok(fed?)
            }
        }
    }

    fn end(&mut self) {
        match &self.protocol {
            Protocol::Http1 {
                answer: Some((head, body)),
                ..
            } if body.end().is_ok() => {
                self.ended = Some(Outcome::Answered(head.status));
            }
            _ => {
                self.fail(Failure::ClosedEarly);
            }
        }
    }

    /// The connection broke, or the time was up: what that means depends on how far the answer got.
    pub fn fail(&mut self, failure: Failure) -> Outcome {
        let outcome = self.outcome().unwrap_or(match self.head() {
            None => Outcome::Failed(failure),
            Some(head) => Outcome::BodyBroken(head.status),
        });
        self.ended = Some(outcome);
        outcome
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        let is_done = self.ended.is_none()
            && match &self.protocol {
                Protocol::Http1 { answer, .. } => {
                    answer.as_ref().is_some_and(|(_, body)| body.is_done())
                }
                Protocol::Http2(exchange) => {
                    exchange.is_ended() || exchange.body_bytes() >= limits::RESPONSE_BODY_BYTES
                }
            };
        let ended = match self.head() {
            Some(head) if is_done => Some(Outcome::Answered(head.status)),
            _ => self.ended,
        };
        match ended {
            Some(Outcome::Answered(400)) if self.wants_tls => Some(Outcome::WantsTls(400)),
            ended => ended,
        }
    }

    /// The head, once it is complete.
    pub fn head(&self) -> Option<ResponseHead> {
        match &self.protocol {
            Protocol::Http1 { answer, .. } => answer.map(|(head, _)| head),
            Protocol::Http2(exchange) => exchange.head().map(|head| ResponseHead {
                status: head.status,
                framing: head
                    .content_length
                    .map_or(Framing::UntilClose, Framing::Length),
                location: head.location,
            }),
        }
    }

    /// What was kept of the `Location`.
    pub fn location(&self) -> &[u8] {
        self.location
    }

    /// Bytes of the body so far.
    pub fn body_bytes(&self) -> u64 {
        match &self.protocol {
            Protocol::Http1 { answer, .. } => answer
                .as_ref()
                .map_or(0, |(_, body)| limits::RESPONSE_BODY_BYTES - body.wanted()),
            Protocol::Http2(exchange) => exchange.body_bytes(),
        }
    }

    /// Whether the request is to be sent again on a new connection.
    pub fn is_retried(&self) -> bool {
        self.is_retried
    }

    /// What HTTP/2 asks to be answered with.
    pub fn pending(&self) -> &[u8] {
        match &self.protocol {
            Protocol::Http1 { .. } => &[],
            Protocol::Http2(exchange) => exchange.pending(self.memory),
        }
    }

    /// All that was pending has been sent.
    pub fn sent(&mut self) {
        if let Protocol::Http2(exchange) = &mut self.protocol {
            exchange.sent();
        }
    }
}

/// Whether these are a TLS alert's or handshake's first bytes (RFC 8446 section 5.1), which come together.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [21 | 22, 3, ..])
}

/// Whether the page of an error says that the port wants TLS, as those of nginx, Go and Apache do. A hint
/// for the log; it is not looked for across two reads.
fn speaks_of_tls(bytes: &[u8]) -> bool {
    let words: [&[u8]; 2] = [b"HTTPS", b"SSL-enabled"];
    let says = |word: &[u8]| bytes.windows(word.len()).any(|place| place == word);
    words.into_iter().any(says)
}
