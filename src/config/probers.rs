//! The value of `ISTIO_KUBE_APP_PROBERS` as a table. What is taken is what Istio's agent takes
//! (`pilot/cmd/pilot-agent/status/server.go`: `KubeAppProbers`, `validateAppKubeProber`), read as
//! Go reads JSON: names of members in any case, null as if it were not there, unknown ones ignored.

use super::headers;
use super::json::{Kind, Reader};
use super::members::{
    Cause, Members, Stop, missing, missing_port, number, one_of, refuse, seconds, text,
};
use super::{Action, HttpGet, Prober, Probers, ProbersError, Problem, Protocol, Rule, Scheme};
use crate::limits;
use crate::wire::{class, url};
use std::borrow::Cow;

fn at(key: &str, stop: Stop) -> ProbersError {
    match *stop.0 {
        Cause::Syntax(error) => ProbersError::Syntax(error),
        Cause::Problem(problem) => ProbersError::Entry {
            key: key.into(),
            problem,
        },
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
        Ok(Probers(table.into()))
    }
}

fn entries(reader: &mut Reader<'_>, table: &mut Vec<Prober>) -> Result<(), ProbersError> {
    reader.enter().map_err(ProbersError::Syntax)?;
    let mut seen = false;
    while let Some(key) = reader.key(&mut seen).map_err(ProbersError::Syntax)? {
        let path = |prober: &Prober| (*prober.path).cmp(&*key);
        let Err(place) = table.binary_search_by(path) else {
            return Err(at(&key, Problem::RepeatedEntry.into()));
        };
        if table.len() == limits::PROBERS {
            return Err(ProbersError::TooMany);
        }
        let prober = entry(reader, &key).map_err(|stop| at(&key, stop))?;
        table.insert(place, prober);
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
    // Paths are compared as they are sent, so such a key would never be found.
    if !key.bytes().all(|byte| class::is(class::PATH, byte)) {
        return Err(Problem::PathByte.into());
    }
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
    if (scheme, protocol) == (Scheme::Https, Protocol::Http2) {
        return Err(Problem::Http2OverTls.into());
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

#[cfg(test)]
mod tests;
