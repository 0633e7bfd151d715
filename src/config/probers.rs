//! The value of `ISTIO_KUBE_APP_PROBERS` as a table. What is taken is what Istio's agent takes
//! (`pilot/cmd/pilot-agent/status/server.go`: `KubeAppProbers`, `validateAppKubeProber`), read as
//! Go reads JSON: names of members in any case, null as if it were not there, unknown ones ignored.

use super::headers;
use super::json::{self, Kind, Reader};
use super::{Action, HttpGet, Prober, Probers, ProbersError, Problem, Protocol, Rule, Scheme};
use crate::limits;
use crate::wire::url;
use core::time::Duration;
use std::borrow::Cow;

/// What stops the reading of one entry.
pub(super) enum Stop {
    /// The text is not JSON.
    Syntax(json::Error),
    /// The entry is refused.
    Problem(Problem),
}

impl From<json::Error> for Stop {
    fn from(error: json::Error) -> Self {
        Stop::Syntax(error)
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Stop::Problem(problem)
    }
}

impl Stop {
    fn of(self, key: &str) -> ProbersError {
        match self {
            Stop::Syntax(error) => ProbersError::Syntax(error),
            Stop::Problem(problem) => ProbersError::Entry {
                key: key.into(),
                problem,
            },
        }
    }
}

impl Probers {
    /// Reads the table; empty text, `null` and `{}` are an empty one.
    ///
    /// # Errors
    /// The first thing wrong with it, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, ProbersError> {
        if text.len() > limits::PROBERS_JSON_BYTES {
            return Err(ProbersError::TooLong { bytes: text.len() });
        }
        if text.trim_ascii().is_empty() {
            return Ok(Probers::default());
        }
        let mut reader = Reader::new(text);
        let mut table = Vec::new();
        match reader.kind().map_err(ProbersError::Syntax)? {
            Kind::Object => entries(&mut reader, &mut table)?,
            kind => {
                reader.skip().map_err(ProbersError::Syntax)?;
                if kind != Kind::Null {
                    return Err(ProbersError::NotATable);
                }
            }
        }
        reader.end().map_err(ProbersError::Syntax)?;
        table.sort_unstable_by(|a: &Prober, b| a.path.cmp(&b.path));
        Ok(Probers(table.into()))
    }
}

fn entries(reader: &mut Reader<'_>, table: &mut Vec<Prober>) -> Result<(), ProbersError> {
    reader.enter().map_err(ProbersError::Syntax)?;
    let mut seen = false;
    while let Some(key) = reader.key(&mut seen).map_err(ProbersError::Syntax)? {
        if table.iter().any(|prober| *prober.path == *key) {
            return Err(Stop::from(Problem::RepeatedEntry).of(&key));
        }
        if table.len() == limits::PROBERS {
            return Err(ProbersError::TooMany);
        }
        table.push(entry(reader, &key).map_err(|stop| stop.of(&key))?);
    }
    Ok(())
}

/// Istio's `^/(app-health|app-lifecycle)/[^/]+/(livez|readyz|startupz|prestopz|poststartz)$`;
/// whether it is a lifecycle hook.
fn is_hook(key: &str) -> Option<bool> {
    let mut parts = key.strip_prefix('/')?.split('/');
    let is_hook = match parts.next()? {
        "app-health" => false,
        "app-lifecycle" => true,
        _ => return None,
    };
    let container = parts.next()?;
    let probe = parts.next()?;
    let known = ["livez", "readyz", "startupz", "prestopz", "poststartz"].contains(&probe);
    (known && !container.is_empty() && parts.next().is_none()).then_some(is_hook)
}

fn entry(reader: &mut Reader<'_>, key: &str) -> Result<Prober, Stop> {
    let is_hook = is_hook(key).ok_or(Problem::Path)?;
    let mut members = Members::of(reader, "the value", Rule::Entry, ENTRY)?;
    let mut action = None;
    let mut timeout = limits::PROBE_TIMEOUT;
    while let Some(member) = members.next(reader)? {
        let found = match member {
            "timeoutSeconds" => {
                timeout = seconds(reader)?;
                continue;
            }
            "httpGet" => Action::Http(http_get(reader)?),
            "tcpSocket" => tcp_socket(reader)?,
            _ => grpc(reader)?,
        };
        if is_hook && !matches!(found, Action::Http(_)) {
            return Err(Problem::Hook(member).into());
        }
        if action.replace(found).is_some() {
            return Err(Problem::ManyKinds.into());
        }
    }
    Ok(Prober {
        path: key.into(),
        is_hook,
        timeout,
        action: action.ok_or(Problem::NoKind)?,
    })
}

const ENTRY: &[&str] = &["httpGet", "tcpSocket", "grpc", "timeoutSeconds"];
const HTTP_GET: &[&str] = &[
    "httpGet.path",
    "httpGet.port",
    "httpGet.scheme",
    "httpGet.protocol",
    HEADERS,
];
const HEADERS: &str = "httpGet.httpHeaders";
const HEADER: &[&str] = &["httpHeaders.name", "httpHeaders.value"];
const TCP_SOCKET: &[&str] = &["tcpSocket.port"];
const GRPC: &[&str] = &["grpc.port", "grpc.service", "grpc.mode"];

/// `httpGet`. Its `host` is not read: probelet asks its own pod and nobody else.
fn http_get(reader: &mut Reader<'_>) -> Result<HttpGet, Stop> {
    let mut members = Members::of(reader, "httpGet", Rule::HttpGet, HTTP_GET)?;
    let mut path = None;
    let mut port = None;
    let mut scheme = Scheme::Http;
    let mut protocol = Protocol::Http1;
    let mut list = Vec::new();
    while let Some(member) = members.next(reader)? {
        match member {
            "httpGet.path" => path = Some(request_target(reader)?),
            "httpGet.port" => port = Some(number(reader, member)?),
            "httpGet.scheme" => {
                let schemes = [
                    ("", Scheme::Http),
                    ("HTTP", Scheme::Http),
                    ("HTTPS", Scheme::Https),
                ];
                scheme = one_of(reader, member, Rule::Scheme, &schemes)?;
            }
            "httpGet.protocol" => {
                let protocols = [("HTTP1", Protocol::Http1), ("HTTP2", Protocol::Http2)];
                protocol = one_of(reader, member, Rule::Protocol, &protocols)?;
            }
            _ => header_list(reader, &mut list)?,
        }
    }
    let (host, headers) = headers::as_sent(list);
    Ok(HttpGet {
        scheme,
        protocol,
        port: port.ok_or_else(|| missing_port("httpGet.port"))?,
        request_target: path.unwrap_or_else(|| "/".into()),
        host,
        headers,
    })
}

fn request_target(reader: &mut Reader<'_>) -> Result<Box<str>, Stop> {
    const FIELD: &str = "httpGet.path";
    let before = reader.clone();
    let path = text(reader, FIELD)?;
    url::request_target(&path).map_err(|error| {
        let rule = match error {
            url::BadPath::UserInfo => Rule::UserInfo,
            url::BadPath::Opaque => Rule::Opaque,
        };
        refuse(before, FIELD, rule)
    })
}

fn header_list(reader: &mut Reader<'_>, list: &mut Vec<super::Header>) -> Result<(), Stop> {
    if reader.kind()? != Kind::Array {
        return Err(refuse(reader.clone(), HEADERS, Rule::Headers));
    }
    reader.enter()?;
    let mut seen = false;
    while reader.item(&mut seen)? {
        let mut members = Members::of(reader, "one of httpHeaders", Rule::Header, HEADER)?;
        let mut name = None;
        let mut value = Cow::Borrowed("");
        while let Some(member) = members.next(reader)? {
            let (before, found) = (reader.clone(), text(reader, member)?);
            if member == "httpHeaders.name" {
                name = Some(
                    headers::name(&found)
                        .ok_or_else(|| refuse(before, member, Rule::HeaderName))?,
                );
            } else if headers::is_value(&found) {
                value = found;
            } else {
                return Err(refuse(before, member, Rule::HeaderValue));
            }
        }
        let name = name.ok_or_else(|| missing("httpHeaders.name", Rule::HeaderName))?;
        list.push(super::Header {
            name,
            value: headers::trim(&value).into(),
        });
    }
    Ok(())
}

fn tcp_socket(reader: &mut Reader<'_>) -> Result<Action, Stop> {
    let mut members = Members::of(reader, "tcpSocket", Rule::TcpSocket, TCP_SOCKET)?;
    let mut port = None;
    while let Some(member) = members.next(reader)? {
        port = Some(number(reader, member)?);
    }
    Ok(Action::Tcp {
        port: port.ok_or_else(|| missing_port("tcpSocket.port"))?,
    })
}

fn grpc(reader: &mut Reader<'_>) -> Result<Action, Stop> {
    let mut members = Members::of(reader, "grpc", Rule::Grpc, GRPC)?;
    let mut port = None;
    let mut service = Cow::Borrowed("");
    let mut tls = false;
    while let Some(member) = members.next(reader)? {
        match member {
            "grpc.port" => port = Some(number(reader, member)?),
            "grpc.service" => service = text(reader, member)?,
            _ => {
                tls = one_of(
                    reader,
                    member,
                    Rule::Mode,
                    &[("Plaintext", false), ("TLS", true)],
                )?
            }
        }
    }
    let port = port.ok_or_else(|| missing_port("grpc.port"))?;
    Ok(Action::Grpc {
        port,
        service: service.into(),
        tls,
    })
}

/// The members of one object that are known, in the order of the text.
struct Members {
    names: &'static [&'static str],
    met: u8,
    seen: bool,
}

impl Members {
    /// Goes into the object that must be next.
    fn of(
        reader: &mut Reader<'_>,
        field: &'static str,
        rule: Rule,
        names: &'static [&'static str],
    ) -> Result<Self, Stop> {
        if reader.kind()? != Kind::Object {
            return Err(refuse(reader.clone(), field, rule));
        }
        reader.enter()?;
        Ok(Members {
            names,
            met: 0,
            seen: false,
        })
    }

    /// The name of the next member that is known and not null.
    fn next(&mut self, reader: &mut Reader<'_>) -> Result<Option<&'static str>, Stop> {
        while let Some(key) = reader.key(&mut self.seen)? {
            let is_key = |name: &&str| {
                name.rsplit('.')
                    .next()
                    .is_some_and(|last| last.eq_ignore_ascii_case(&key))
            };
            let Some(index) = self.names.iter().position(is_key) else {
                reader.skip()?;
                continue;
            };
            if self.met & 1 << index != 0 {
                return Err(Problem::Repeated(self.names[index]).into());
            }
            self.met |= 1 << index;
            if reader.kind()? != Kind::Null {
                return Ok(Some(self.names[index]));
            }
            reader.skip()?;
        }
        Ok(None)
    }
}

/// A port: a whole number, as Go reads one into an integer.
fn number(reader: &mut Reader<'_>, field: &'static str) -> Result<u16, Stop> {
    let before = reader.clone();
    match reader.skip()?.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(refuse(before, field, Rule::Port)),
    }
}

/// `timeoutSeconds`: 0 is the default, as the API server has it.
fn seconds(reader: &mut Reader<'_>) -> Result<Duration, Stop> {
    let before = reader.clone();
    let raw = reader.skip()?;
    let is_whole = raw.bytes().all(|b| b.is_ascii_digit());
    match raw.parse::<u64>() {
        _ if !is_whole => Err(refuse(before, "timeoutSeconds", Rule::Timeout)),
        Ok(0) => Ok(limits::PROBE_TIMEOUT),
        Ok(seconds) => Ok(Duration::from_secs(seconds).min(limits::PROBE_TIMEOUT_MAX)),
        Err(_) => Ok(limits::PROBE_TIMEOUT_MAX),
    }
}

fn text<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<Cow<'a, str>, Stop> {
    match reader.kind()? {
        Kind::String => Ok(reader.string()?),
        _ => Err(refuse(reader.clone(), field, Rule::Text)),
    }
}

fn one_of<T: Copy>(
    reader: &mut Reader<'_>,
    field: &'static str,
    rule: Rule,
    words: &[(&str, T)],
) -> Result<T, Stop> {
    let before = reader.clone();
    let found = text(reader, field)?;
    let word = words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(&found));
    word.map(|&(_, value)| value)
        .ok_or_else(|| refuse(before, field, rule))
}

/// Names the value that is next, as it is written.
fn refuse(mut before: Reader<'_>, field: &'static str, rule: Rule) -> Stop {
    let found = match (before.kind(), before.skip()) {
        (Err(error), _) | (_, Err(error)) => return error.into(),
        (Ok(Kind::Object), _) => "an object",
        (Ok(Kind::Array), _) => "a list",
        (_, Ok(raw)) => {
            return Problem::Value {
                field,
                found: shorten(raw),
                rule,
            }
            .into();
        }
    };
    Problem::Value {
        field,
        found: found.into(),
        rule,
    }
    .into()
}

fn missing(field: &'static str, rule: Rule) -> Stop {
    Problem::Value {
        field,
        found: "missing".into(),
        rule,
    }
    .into()
}

fn missing_port(field: &'static str) -> Stop {
    missing(field, Rule::Port)
}

fn shorten(raw: &str) -> Box<str> {
    const CHARS: usize = 60;
    match raw.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}...", &raw[..end]).into(),
        None => raw.into(),
    }
}

#[cfg(test)]
mod tests;
