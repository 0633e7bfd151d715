//! Reads the app's response, HTTP/1 or HTTP/2: the head, then as much of the body as kubelet reads. No I/O.

use super::{Failure, Outcome};
use crate::config::{BodySearch, Expect};
use crate::limits;
use crate::wire::body::BodyReader;
use crate::wire::h2::{Exchange, Rules};
use crate::wire::response::{
    Framing, ParsedResponse, ResponseError, ResponseHead, ResponseParser, is_tls_record,
};
use crate::wire::url::Scheme;

/// A response that is being read.
pub struct ResponseReader<'b> {
    /// Memory of a `Location`.
    location: &'b mut [u8],
    /// Memory of an [`Exchange`].
    memory: &'b mut [u8],
    protocol: Protocol,
    is_plaintext: bool,
    /// Whether the response has no body, whatever its head says.
    pub(super) has_no_body: bool,
    /// Whether the first bytes look like a TLS record; `None` before the first byte.
    looks_like_tls: Option<bool>,
    /// The search for the text that the prober expects in the body.
    search: Option<BodySearch<'b>>,
    /// Whether the body of an error in plaintext mentions TLS.
    mentions_tls: bool,
    /// Whether the app reported that it did not process the request: it may be retried on a new connection.
    is_retriable: bool,
    /// The outcome, if the end of the connection or an error has decided it. The end of a framed body is derived in
    /// [`outcome`](Self::outcome).
    decided: Option<Outcome>,
}

enum Protocol {
    Http1 {
        parser: ResponseParser,
        /// The head and its body, once the head is complete.
        response: Option<(ResponseHead, BodyReader)>,
    },
    Http2(Exchange),
}

impl<'b> ResponseReader<'b> {
    /// A reader before the first byte. `memory` is [`H2_BYTES`](crate::wire::h2::H2_BYTES) long, and only
    /// used for HTTP/2. `expect` is the response that the prober expects, if it is not kubelet's.
    pub fn new(
        location: &'b mut [u8],
        memory: &'b mut [u8],
        expect: Option<&'b Expect>,
    ) -> ResponseReader<'b> {
        let text = expect.and_then(|expect| expect.body.as_ref());
        ResponseReader {
            location,
            memory,
            protocol: Protocol::Http1 {
                parser: ResponseParser::new(),
                response: None,
            },
            is_plaintext: true,
            has_no_body: false,
            looks_like_tls: None,
            search: text.map(BodySearch::new),
            mentions_tls: false,
            is_retriable: false,
            decided: None,
        }
    }

    /// Sets the protocol of the connection.
    pub fn set_protocol(&mut self, scheme: Scheme, is_http2: bool) {
        self.is_plaintext = scheme == Scheme::Http;
        if is_http2 {
            self.protocol = Protocol::Http2(Exchange::new(Rules::Http));
        }
    }

    /// Processes bytes of the connection; no bytes mean its end.
    pub fn receive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.end();
            return;
        }
        let looks_like_tls = *self.looks_like_tls.get_or_insert(is_tls_record(bytes));
        match self.feed(bytes) {
            Ok(()) => {}
            Err(Failure::MalformedResponse) if looks_like_tls => {
                self.outcome_or_fail(Failure::TlsRequired);
            }
            Err(failure) => {
                self.outcome_or_fail(failure);
            }
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.protocol {
            Protocol::Http1 { parser, response } => {
                if response.is_none() {
                    match parser.feed(bytes, self.location)? {
                        ParsedResponse::Partial => return Ok(()),
                        ParsedResponse::Complete { used, head } => {
                            let framing = match self.has_no_body {
                                true => Framing::Length(0),
                                false => head.framing,
                            };
                            let body = BodyReader::new(framing, limits::RESPONSE_BODY_BYTES);
                            *response = Some((head, body));
                            bytes = &bytes[used..];
                        }
                    }
                }
                let Some((head, body)) = response else {
                    return Ok(());
                };
                if !bytes.is_empty() {
                    self.mentions_tls |=
                        head.status == 400 && self.is_plaintext && contains_tls_hint(bytes);
                    // After a complete head, `outcome_or_fail` makes this a broken body.
                    let search = &mut self.search;
                    body.feed_to(bytes, &mut |data| feed(search, data))
                        .map_err(|_| ResponseError::Malformed)?;
                }
                Ok(())
            }
            Protocol::Http2(exchange) => {
                let search = &mut self.search;
                let fed = exchange.feed(bytes, self.memory, self.location, &mut |data| {
                    feed(search, data);
                });
                if let Err(error) = fed {
                    self.is_retriable = exchange.head().is_none() && error.is_retriable();
                    self.decided = exchange.head().map(|head| {
                        // The bytes that Go's client had passed on count, not the end of the stream.
                        let is_enough = exchange.body_bytes() >= limits::RESPONSE_BODY_BYTES;
                        match is_enough || self.has_no_body {
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
                response: Some((head, body)),
                ..
            } if body.check_end().is_ok() => {
                self.decided = Some(Outcome::Answered(head.status));
            }
            _ => {
                self.outcome_or_fail(Failure::ClosedEarly);
            }
        }
    }

    /// Returns the outcome if it is decided. Otherwise decides it: `failure` before the head is complete, `BodyBroken`
    /// after it.
    pub fn outcome_or_fail(&mut self, failure: Failure) -> Outcome {
        let outcome = self.outcome().unwrap_or(match self.head() {
            None => Outcome::Failed(failure),
            Some(head) => Outcome::BodyBroken(head.status),
        });
        self.decided = Some(outcome);
        outcome
    }

    /// The outcome, once it is decided.
    pub fn outcome(&self) -> Option<Outcome> {
        let is_done = self.decided.is_none()
            && match &self.protocol {
                Protocol::Http1 { response, .. } => {
                    response.as_ref().is_some_and(|(_, body)| body.is_done())
                }
                Protocol::Http2(exchange) => {
                    exchange.stream_ended() || exchange.body_bytes() >= limits::RESPONSE_BODY_BYTES
                }
            };
        let decided = match self.head() {
            Some(head) if is_done => Some(Outcome::Answered(head.status)),
            _ => self.decided,
        };
        match decided {
            Some(Outcome::Answered(400)) if self.mentions_tls => Some(Outcome::TlsRequired(400)),
            decided => decided,
        }
    }

    /// Whether the body has the text that the prober expects, if it expects one.
    pub fn has_expected_text(&self) -> bool {
        self.search.as_ref().is_none_or(BodySearch::is_found)
    }

    /// The head, once it is complete.
    pub fn head(&self) -> Option<ResponseHead> {
        match &self.protocol {
            Protocol::Http1 { response, .. } => response.map(|(head, _)| head),
            Protocol::Http2(exchange) => exchange.head().map(|head| ResponseHead {
                status: head.status,
                framing: head
                    .content_length
                    .map_or(Framing::UntilClose, Framing::Length),
                location: head.location,
            }),
        }
    }

    /// The memory of the `Location`.
    pub fn location(&self) -> &[u8] {
        self.location
    }

    /// Bytes of the body that were read.
    pub fn body_bytes(&self) -> u64 {
        match &self.protocol {
            Protocol::Http1 { response, .. } => response.as_ref().map_or(0, |(_, body)| {
                limits::RESPONSE_BODY_BYTES - body.remaining()
            }),
            Protocol::Http2(exchange) => exchange.body_bytes(),
        }
    }

    /// Whether the request may be retried on a new connection.
    pub fn is_retriable(&self) -> bool {
        self.is_retriable
    }

    /// HTTP/2 control frames to send.
    pub fn pending(&self) -> &[u8] {
        match &self.protocol {
            Protocol::Http1 { .. } => &[],
            Protocol::Http2(exchange) => exchange.pending(self.memory),
        }
    }

    /// Removes the pending control frames, which have been sent.
    pub fn clear_pending(&mut self) {
        if let Protocol::Http2(exchange) = &mut self.protocol {
            exchange.clear_pending();
        }
    }
}

fn feed(search: &mut Option<BodySearch<'_>>, data: &[u8]) {
    if let Some(search) = search {
        search.feed(data);
    }
}

/// Whether an error page says that the port expects TLS, as those of nginx, Go and Apache do. Only the reason depends on
/// it, not the status code, so words split across two reads may be missed.
fn contains_tls_hint(bytes: &[u8]) -> bool {
    let words: [&[u8]; 2] = [b"HTTPS", b"SSL-enabled"];
    let contains = |word: &[u8]| bytes.windows(word.len()).any(|place| place == word);
    words.into_iter().any(contains)
}
