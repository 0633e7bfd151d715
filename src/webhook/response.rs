//! A response and its bytes. `wire::response_writer` is not used: it writes the agent's responses, which have no body
//! of a known length and always close the connection.

use super::http_error::HttpError;
use crate::telemetry::prometheus::CONTENT_TYPE;
use crate::wire::response_writer::reason_phrase;

/// What to do with the connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterResponse {
    /// Receive the next request.
    KeepAlive,
    /// Close it.
    Close,
    /// Close it, and discard what the client still sends.
    Linger,
}

/// Whether a response is sent with its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// Head and body.
    Include,
    /// The head alone, with the length of the body.
    Omit,
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// `Content-Type`
    pub content_type: &'static str,
    /// `Allow`, with 405.
    pub allow: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// One line of text.
    pub fn text(status: u16, text: &str) -> Response {
        Response {
            status,
            content_type: "text/plain; charset=utf-8",
            allow: None,
            body: [text, "\n"].concat().into(),
        }
    }

    /// An AdmissionReview with its response.
    pub fn json(body: Vec<u8>) -> Response {
        Response {
            status: 200,
            content_type: "application/json",
            allow: None,
            body,
        }
    }

    /// A page of metrics.
    pub fn metrics(body: Vec<u8>) -> Response {
        Response {
            status: 200,
            content_type: CONTENT_TYPE,
            allow: None,
            body,
        }
    }

    /// Encodes the head and, unless it is omitted, the body. The head announces whether the connection is closed.
    pub fn encode(&self, body: BodyMode, after: AfterResponse) -> Vec<u8> {
        let (status, reason, content_type) =
            (self.status, reason_phrase(self.status), self.content_type);
        let length = self.body.len();
        let mut bytes = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n"
        )
        .into_bytes();
        if let Some(methods) = self.allow {
            bytes.extend_from_slice(["Allow: ", methods, "\r\n"].concat().as_bytes());
        }
        if after != AfterResponse::KeepAlive {
            bytes.extend_from_slice(b"Connection: close\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        if body == BodyMode::Include {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

impl From<HttpError> for Response {
    fn from(error: HttpError) -> Response {
        let response = Response::text(error.status(), &error.to_string());
        Response {
            allow: error.allow(),
            ..response
        }
    }
}
