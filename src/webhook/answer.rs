//! An answer to a request, and its bytes. Pure.

use super::problem::Problem;
use crate::telemetry::prometheus::CONTENT_TYPE;

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Content-Type`
    pub kind: &'static str,
    /// The methods there are, where the one that came is not among them.
    pub allow: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

const PLAIN: &str = "text/plain; charset=utf-8";

impl Answer {
    /// A sentence.
    pub fn text(status: u16, text: &str) -> Answer {
        Answer {
            status,
            kind: PLAIN,
            allow: None,
            body: [text, "\n"].concat().into(),
        }
    }

    /// A review that has its answer.
    pub fn json(body: Vec<u8>) -> Answer {
        Answer {
            status: 200,
            kind: "application/json",
            allow: None,
            body,
        }
    }

    /// A page of metrics.
    pub fn page(body: Vec<u8>) -> Answer {
        Answer {
            status: 200,
            kind: CONTENT_TYPE,
            allow: None,
            body,
        }
    }

    /// All of its bytes: with or without the body itself, and whether the connection ends with it.
    pub fn bytes(&self, has_body: bool, closes: bool) -> Vec<u8> {
        let (status, reason, kind) = (self.status, reason(self.status), self.kind);
        let length = self.body.len();
        let mut bytes = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
        )
        .into_bytes();
        if let Some(methods) = self.allow {
            bytes.extend_from_slice(["Allow: ", methods, "\r\n"].concat().as_bytes());
        }
        if closes {
            bytes.extend_from_slice(b"Connection: close\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        if has_body {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Answer {
        let allow = match problem {
            Problem::OnlyPost => Some("POST"),
            Problem::OnlyGet => Some("GET, HEAD"),
            _ => None,
        };
        let answer = Answer::text(problem.status(), &problem.to_string());
        Answer { allow, ..answer }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "",
    }
}
