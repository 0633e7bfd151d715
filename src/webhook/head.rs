//! The head of a request: strict (RFC 9112), as it may come from anybody who reaches the port. Pure.

use super::problem::Problem;
use crate::limits;
use core::time::Duration;
use httparse::{EMPTY_HEADER, Header, Request, Status};

/// What a head says, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What is asked of what.
    pub route: Route,
    /// How long the body is.
    pub length: Length,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects: bool,
    /// Whether the connection may serve another request.
    pub keeps: bool,
    /// How long the client waits for the answer, at most as long as we do.
    pub time: Duration,
}

/// What is asked of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /inject`
    Inject,
    /// `GET /healthz`, and whether the body is wanted.
    Health(bool),
    /// `GET /metrics`, and whether the body is wanted.
    Metrics(bool),
    /// Something else, and what is wrong with it.
    Wrong(Problem),
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Known(usize),
    /// It ends with a last chunk.
    Chunked,
}

/// Reads a head, and says how many bytes it has; none where more must come first.
///
/// # Errors
/// What is wrong with it.
pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Problem> {
    let mut fields = [EMPTY_HEADER; limits::REQUEST_FIELDS];
    let mut request = Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(Status::Complete(len)) if len <= limits::REQUEST_HEAD_BYTES => {
            read(&request).map(|head| Some((head, len)))
        }
        Ok(Status::Partial) if bytes.len() < limits::REQUEST_HEAD_BYTES => Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Err(Problem::LargeHead),
        Err(_) => Err(Problem::BadHead),
    }
}

fn read(request: &Request<'_, '_>) -> Result<Head, Problem> {
    let is_new = request.version == Some(1);
    let hosts = all(request.headers, "Host").count();
    if hosts > 1 || (is_new && hosts == 0) {
        return Err(Problem::BadHead);
    }
    let (method, target) = (request.method, request.path);
    let route = route(
        method.unwrap_or_default(),
        target.unwrap_or_default(),
        request.headers,
    );
    Ok(Head {
        route,
        length: length(request.headers, is_new)?,
        expects: is_new && has_word(request.headers, "Expect", "100-continue"),
        keeps: is_new && !has_word(request.headers, "Connection", "close"),
        time: time(target.unwrap_or_default()),
    })
}

fn route(method: &str, target: &str, fields: &[Header<'_>]) -> Route {
    // The API server adds how long it waits.
    let path = target.split('?').next().unwrap_or_default();
    match (path, method) {
        ("/inject", "POST") if is_json(fields) => Route::Inject,
        ("/inject", "POST") => Route::Wrong(Problem::NotJson),
        ("/inject", _) => Route::Wrong(Problem::OnlyPost),
        ("/healthz", "GET" | "HEAD") => Route::Health(method == "GET"),
        ("/metrics", "GET" | "HEAD") => Route::Metrics(method == "GET"),
        ("/healthz" | "/metrics", _) => Route::Wrong(Problem::OnlyGet),
        _ => Route::Wrong(Problem::NotFound),
    }
}

/// `?timeout=10s`: the webhook's `timeoutSeconds`, or what is left of the request's time, as a Go duration of whole
/// seconds, which has minutes only where it is longer than we wait.
fn time(target: &str) -> Duration {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let seconds = query.split('&').find_map(|member| {
        let seconds = member.strip_prefix("timeout=")?.strip_suffix('s')?;
        seconds.parse().ok().filter(|seconds| *seconds > 0)
    });
    let time = seconds.map_or(limits::REVIEW_TIME, Duration::from_secs);
    time.min(limits::REVIEW_TIME)
}

fn is_json(fields: &[Header<'_>]) -> bool {
    let mut kinds = all(fields, "Content-Type");
    let kind = kinds.next().and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// RFC 9112 section 6.3. Both kinds of length at once, or two that differ, are how requests are smuggled.
fn length(fields: &[Header<'_>], is_new: bool) -> Result<Length, Problem> {
    let mut lengths = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("Content-Length"));
    let mut codings = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("Transfer-Encoding"));
    match (
        lengths.next(),
        lengths.next(),
        codings.next(),
        codings.next(),
    ) {
        (None, _, None, _) => Ok(Length::Known(0)),
        (Some(length), None, None, _) => number(length.value).map(Length::Known),
        (None, _, Some(coding), None)
            if is_new && coding.value.eq_ignore_ascii_case(b"chunked") =>
        {
            Ok(Length::Chunked)
        }
        _ => Err(Problem::BadLength),
    }
}

/// Digits and nothing else; a number that is beyond all bounds is only too large.
fn number(digits: &[u8]) -> Result<usize, Problem> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Problem::BadLength);
    }
    Ok(digits.iter().fold(0_usize, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'))
    }))
}

fn all<'h>(fields: &'h [Header<'_>], name: &'h str) -> impl Iterator<Item = &'h str> {
    fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(name))
        .map(|field| core::str::from_utf8(field.value).unwrap_or_default())
}

fn has_word(fields: &[Header<'_>], name: &str, word: &str) -> bool {
    all(fields, name)
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
