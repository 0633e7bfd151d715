//! Parses `ISTIO_KUBE_APP_PROBERS` as Istio's agent does (`pilot/cmd/pilot-agent/status/server.go`: `KubeAppProbers`,
//! `validateAppKubeProber`), with Go's rules of JSON: names of members in any case, null as if absent, unknown members
//! ignored.

use super::headers;
use super::json::{Container, Kind, Reader};
use super::members::{
    Cause, Members, Stop, invalid_value, members, missing, missing_port, one_of, read_port,
    read_string, read_timeout,
};
use super::{Action, HttpGet, Prober, Probers, ProbersError, Problem, Protocol, Rule, Scheme};
use crate::limits;
use crate::wire::{class, url};
use core::net::{IpAddr, Ipv4Addr};
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
    /// The first error, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, ProbersError> {
        if text.len() > limits::PROBERS_JSON_BYTES {
            return Err(ProbersError::TooLong {
                bytes: Some(text.len()),
            });
        }
        if text.trim_ascii().is_empty() {
            return Ok(Probers::default());
        }
        let mut reader = Reader::new(text);
        let mut table = Vec::new();
        match reader.kind().map_err(ProbersError::Syntax)? {
            Kind::Object => entries(&mut reader, &mut table)?,
            kind => {
                reader.raw_value().map_err(ProbersError::Syntax)?;
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
    let mut object = reader.enter().map_err(ProbersError::Syntax)?;
    while let Some(key) = object.next_key(reader).map_err(ProbersError::Syntax)? {
        let path = |prober: &Prober| (*prober.path).cmp(&*key);
        let Err(index) = table.binary_search_by(path) else {
            return Err(at(&key, Problem::RepeatedEntry.into()));
        };
        if table.len() == limits::PROBERS {
            let count = table.len() + count_entries(reader, &mut object)?;
            return Err(ProbersError::TooMany { count });
        }
        let prober = entry(reader, &key).map_err(|stop| at(&key, stop))?;
        table.insert(index, prober);
    }
    Ok(())
}

/// The number of entries from the one whose value is next.
fn count_entries(reader: &mut Reader<'_>, object: &mut Container) -> Result<usize, ProbersError> {
    let mut count = 0;
    loop {
        reader.raw_value().map_err(ProbersError::Syntax)?;
        count += 1;
        if object
            .next_key(reader)
            .map_err(ProbersError::Syntax)?
            .is_none()
        {
            return Ok(count);
        }
    }
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
    // Paths are compared without decoding: no request would match such a key.
    if !key.bytes().all(|byte| class::is(class::PATH, byte)) {
        return Err(Problem::PathByte.into());
    }
    let mut members = Members::<EntryMember>::of(reader, "the value", Rule::Entry)?;
    let mut action = None;
    let mut timeout = limits::DEFAULT_PROBE_TIMEOUT;
    let mut loopback = None;
    while let Some(member) = members.next(reader)? {
        let found = match member {
            EntryMember::TimeoutSeconds => {
                timeout = read_timeout(reader)?;
                continue;
            }
            EntryMember::Target => {
                let targets = [("loopback", IpAddr::V4(Ipv4Addr::LOCALHOST))];
                loopback = Some(one_of(reader, member.name(), Rule::Target, &targets)?);
                continue;
            }
            EntryMember::HttpGet => Action::Http(http_get(reader)?),
            EntryMember::TcpSocket => tcp_socket(reader)?,
            EntryMember::Grpc => grpc(reader)?,
        };
        if is_hook && !matches!(found, Action::Http(_)) {
            return Err(Problem::Hook(member.name()).into());
        }
        if action.replace(found).is_some() {
            return Err(Problem::ManyKinds.into());
        }
    }
    Ok(Prober {
        path: key.into(),
        is_hook,
        timeout,
        loopback,
        action: action.ok_or(Problem::NoKind)?,
    })
}

members! {
    /// The members of an entry. Istio has no `target`.
    EntryMember:
    HttpGet = "httpGet",
    TcpSocket = "tcpSocket",
    Grpc = "grpc",
    TimeoutSeconds = "timeoutSeconds",
    Target = "target",
}

members! {
    HttpGetMember:
    Path = "httpGet.path",
    Port = "httpGet.port",
    Scheme = "httpGet.scheme",
    Protocol = "httpGet.protocol",
    HttpHeaders = "httpGet.httpHeaders",
}

members! {
    /// The members of an item of `httpHeaders`.
    HeaderMember:
    Name = "httpHeaders.name",
    Value = "httpHeaders.value",
}

members! {
    TcpSocketMember:
    Port = "tcpSocket.port",
}

members! {
    GrpcMember:
    Port = "grpc.port",
    Service = "grpc.service",
    Mode = "grpc.mode",
}

/// `httpGet`. Its `host` is ignored: probelet probes its own pod only.
fn http_get(reader: &mut Reader<'_>) -> Result<HttpGet, Stop> {
    let mut members = Members::<HttpGetMember>::of(reader, "httpGet", Rule::HttpGet)?;
    let mut path = None;
    let mut port = None;
    let mut scheme = Scheme::Http;
    let mut protocol = Protocol::Http1;
    let mut list = Vec::new();
    while let Some(member) = members.next(reader)? {
        match member {
            HttpGetMember::Path => path = Some(request_target(reader)?),
            HttpGetMember::Port => port = Some(read_port(reader, member.name())?),
            HttpGetMember::Scheme => {
                let schemes = [
                    ("", Scheme::Http),
                    ("HTTP", Scheme::Http),
                    ("HTTPS", Scheme::Https),
                ];
                scheme = one_of(reader, member.name(), Rule::Scheme, &schemes)?;
            }
            HttpGetMember::Protocol => {
                let protocols = [("HTTP1", Protocol::Http1), ("HTTP2", Protocol::Http2)];
                protocol = one_of(reader, member.name(), Rule::Protocol, &protocols)?;
            }
            HttpGetMember::HttpHeaders => header_list(reader, &mut list)?,
        }
    }
    if (scheme, protocol) == (Scheme::Https, Protocol::Http2) {
        return Err(Problem::Http2OverTls.into());
    }
    let (host, headers) = headers::as_sent(list);
    Ok(HttpGet {
        scheme,
        protocol,
        port: port.ok_or_else(|| missing_port(HttpGetMember::Port.name()))?,
        request_target: path.unwrap_or_else(|| "/".into()),
        host,
        headers,
    })
}

fn request_target(reader: &mut Reader<'_>) -> Result<Box<str>, Stop> {
    let field = HttpGetMember::Path.name();
    let before = reader.clone();
    let path = read_string(reader, field)?;
    url::request_target(&path).map_err(|error| {
        let rule = match error {
            url::BadPath::UserInfo => Rule::UserInfo,
            url::BadPath::Opaque => Rule::Opaque,
        };
        invalid_value(before, field, rule)
    })
}

fn header_list(reader: &mut Reader<'_>, list: &mut Vec<super::Header>) -> Result<(), Stop> {
    if reader.kind()? != Kind::Array {
        let field = HttpGetMember::HttpHeaders.name();
        return Err(invalid_value(reader.clone(), field, Rule::Headers));
    }
    let mut array = reader.enter()?;
    while array.next_item(reader)? {
        let mut members = Members::<HeaderMember>::of(reader, "one of httpHeaders", Rule::Header)?;
        let mut name = None;
        let mut value = Cow::Borrowed("");
        while let Some(member) = members.next(reader)? {
            let before = reader.clone();
            let found = read_string(reader, member.name())?;
            let invalid = |rule| invalid_value(before, member.name(), rule);
            match member {
                HeaderMember::Name => {
                    let token = headers::canonical_name(&found);
                    name = Some(token.ok_or_else(|| invalid(Rule::HeaderName))?);
                }
                HeaderMember::Value if headers::is_value(&found) => value = found,
                HeaderMember::Value => return Err(invalid(Rule::HeaderValue)),
            }
        }
        let name = name.ok_or_else(|| missing(HeaderMember::Name.name(), Rule::HeaderName))?;
        list.push(super::Header {
            name,
            value: headers::trim(&value).into(),
        });
    }
    Ok(())
}

fn tcp_socket(reader: &mut Reader<'_>) -> Result<Action, Stop> {
    let mut members = Members::<TcpSocketMember>::of(reader, "tcpSocket", Rule::TcpSocket)?;
    let mut port = None;
    while let Some(member) = members.next(reader)? {
        match member {
            TcpSocketMember::Port => port = Some(read_port(reader, member.name())?),
        }
    }
    Ok(Action::Tcp {
        port: port.ok_or_else(|| missing_port(TcpSocketMember::Port.name()))?,
    })
}

fn grpc(reader: &mut Reader<'_>) -> Result<Action, Stop> {
    let mut members = Members::<GrpcMember>::of(reader, "grpc", Rule::Grpc)?;
    let mut port = None;
    let mut service = Cow::Borrowed("");
    let mut tls = false;
    while let Some(member) = members.next(reader)? {
        match member {
            GrpcMember::Port => port = Some(read_port(reader, member.name())?),
            GrpcMember::Service => service = read_string(reader, member.name())?,
            GrpcMember::Mode => {
                let modes = [("Plaintext", false), ("TLS", true)];
                tls = one_of(reader, member.name(), Rule::Mode, &modes)?;
            }
        }
    }
    let port = port.ok_or_else(|| missing_port(GrpcMember::Port.name()))?;
    Ok(Action::Grpc {
        port,
        service: service.into(),
        tls,
    })
}

#[cfg(test)]
mod tests;
