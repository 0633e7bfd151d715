//! Parses the arguments of `probelet check` into one probe.

use core::net::IpAddr;
use core::time::Duration;

use std::rc::Rc;

use super::args_error::{ArgFault, ArgsError};
use super::go_duration;
use super::metadata::{self, Metadata};
use super::synthetic_request::{SyntheticRequest, USER_AGENT};
pub use super::target::DialTarget;
use super::target::{Target, UrlScheme};
use crate::config::{
    Action, BodyText, ClientCert, ConfigError, Expect, FileSetting, Header, HttpGet, Protocol,
    Scheme, StatusList, TlsSettings, headers, is_spiffe_id,
};
use crate::limits;
use crate::net::tls::{IS_BUILT, Tls};
pub use crate::probe::Method;
use crate::probe::load_tls;

/// The arguments, before any is parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawArgs {
    /// The URL.
    pub url: String,
    /// `--timeout`
    pub timeout: Option<String>,
    /// `--connect-timeout`
    pub connect_timeout: Option<String>,
    /// `-H`, in their order.
    pub headers: Vec<String>,
    /// `--user-agent`
    pub user_agent: Option<String>,
    /// `--method`
    pub method: Option<String>,
    /// `--expect-status`
    pub expect_status: Option<String>,
    /// `--expect-body`
    pub expect_body: Option<String>,
    /// `--source-ip`
    pub source_ip: Option<String>,
    /// `--cert`
    pub cert: Option<String>,
    /// `--key`
    pub key: Option<String>,
    /// `--ca`
    pub ca: Option<String>,
    /// `--server-name`
    pub server_name: Option<String>,
    /// `--expect-id`
    pub expect_id: Option<String>,
    /// `--quiet`
    pub is_quiet: bool,
    /// `--verbose`
    pub is_verbose: bool,
    /// `--json`
    pub is_json: bool,
}

/// One probe, checked as a whole.
#[derive(Debug)]
pub struct Plan {
    /// The URL as it was given.
    pub url: Box<str>,
    /// Where the connection goes.
    pub dial: DialTarget,
    /// The host of the URL, an IPv6 address in its brackets.
    pub host: Box<str>,
    /// Whether the URL names the port.
    pub has_port: bool,
    /// The server name of TLS, if it is not the host.
    pub server_name: Option<Box<str>>,
    /// Whether the app's certificate must have this name, or the host.
    pub verifies_name: bool,
    /// The source address of the connection.
    pub source: Option<IpAddr>,
    /// The probe.
    pub action: Action,
    /// The method of HTTP.
    pub method: Method,
    /// The request that kubelet would have sent to the agent, with the `User-Agent` of `-H`.
    pub request: SyntheticRequest,
    /// The `user-agent` of a gRPC call.
    pub user_agent: Box<str>,
    /// The metadata of a gRPC call.
    pub metadata: Box<[Header]>,
    /// The client certificate, and the CAs of the app's.
    pub tls: Rc<Tls>,
    /// The limit of the whole check, name resolution included.
    pub timeout: Duration,
    /// The limit until a request can be sent, if it has its own: name resolution, connecting, the TLS handshake and
    /// the SETTINGS of gRPC.
    pub connect_timeout: Option<Duration>,
    /// The limit of a gRPC call, if it has its own.
    pub call_timeout: Option<Duration>,
    /// Whether no result is printed.
    pub is_quiet: bool,
    /// Whether each step is printed.
    pub is_verbose: bool,
    /// Whether the result is printed as JSON.
    pub is_json: bool,
}

impl Plan {
    /// Parses the arguments.
    ///
    /// # Errors
    /// The first argument that is not valid, alone or with the others.
    pub fn from_args(args: RawArgs) -> Result<Plan, ArgsError> {
        let target = Target::parse(&args.url)?;
        let duration = |text: &Option<String>, fault: ArgFault| match text {
            Some(text) => parse_duration(text)
                .ok_or_else(|| fault.error(text))
                .map(Some),
            None => Ok(None),
        };
        let timeout = duration(&args.timeout, ArgFault::Timeout)?;
        let connect_timeout = duration(&args.connect_timeout, ArgFault::ConnectTimeout)?;
        let source = parse_source(&target, args.source_ip.as_deref())?;
        let method = parse_method(&target, args.method.as_deref())?;
        let expect = parse_expect(target.scheme, method, &args)?;
        let tls = load_files(target.scheme, &args)?;
        let mut headers = args.headers;
        if let Some(text) = args.user_agent {
            // The first one counts.
            headers.insert(0, format!("User-Agent:{text}"));
        }
        let (dial, host, has_port) = (target.dial, target.host, target.has_port);
        let of_action = ActionParts {
            scheme: target.scheme,
            port: target.port,
            request_target: target.request_target,
            service: target.service,
            expect,
        };
        let planned = of_action.plan(&headers)?;
        let user_agent = planned.user_agent.unwrap_or_else(|| USER_AGENT.into());
        let request = SyntheticRequest::new(&user_agent);
        let request = request.ok_or_else(|| ArgFault::LongUserAgent.error("User-Agent"))?;
        Ok(Plan {
            url: args.url.into(),
            dial,
            host,
            has_port,
            server_name: args.server_name.map(Into::into),
            verifies_name: args.ca.is_some() && args.expect_id.is_none(),
            source,
            action: planned.action,
            method,
            request,
            user_agent,
            metadata: planned.metadata,
            tls,
            timeout: timeout.unwrap_or(limits::DEFAULT_PROBE_TIMEOUT),
            connect_timeout,
            call_timeout: None,
            is_quiet: args.is_quiet,
            is_verbose: args.is_verbose,
            is_json: args.is_json,
        })
    }

    /// The address of the connection, unless it has to be resolved.
    pub fn address(&self) -> Option<IpAddr> {
        match &self.dial {
            DialTarget::Host(host) => host.parse().ok(),
            DialTarget::Unix(_) => None,
        }
    }

    /// Whether the connection goes to a name.
    pub fn has_name(&self) -> bool {
        matches!(self.dial, DialTarget::Host(_)) && self.address().is_none()
    }

    /// Whether the probe is a gRPC call.
    pub fn is_grpc(&self) -> bool {
        matches!(self.action, Action::Grpc { .. })
    }

    /// Whether the first connection uses TLS.
    pub fn is_tls(&self) -> bool {
        match &self.action {
            Action::Http(get) => get.scheme == Scheme::Https,
            Action::Tcp { .. } => false,
            Action::Grpc { tls, .. } => *tls,
        }
    }
}

/// Reads the files of TLS before the probe begins.
fn load_files(scheme: UrlScheme, args: &RawArgs) -> Result<Rc<Tls>, ArgsError> {
    let file = |flag: &str, path: &str| FileSetting {
        origin: flag.into(),
        path: path.into(),
    };
    if !scheme.is_tls() {
        let flags = [
            (&args.cert, ArgFault::PlainTls("--cert")),
            (&args.key, ArgFault::PlainTls("--key")),
            (&args.ca, ArgFault::PlainTls("--ca")),
            (&args.server_name, ArgFault::PlainTls("--server-name")),
            (&args.expect_id, ArgFault::PlainTls("--expect-id")),
        ];
        if let Some((value, fault)) = flags.into_iter().find(|(value, _)| value.is_some()) {
            return Err(fault.error(value.as_deref().unwrap_or_default()));
        }
    }
    let client = match (&args.cert, &args.key) {
        (None, None) => None,
        (None, Some(key)) => return Err(ArgFault::NoCert.error(key)),
        (Some(cert), None) => return Err(ArgFault::NoKey.error(cert)),
        (Some(cert), Some(key)) => Some(ClientCert {
            cert: file("--cert", cert),
            key: file("--key", key),
        }),
    };
    if let Some(id) = &args.expect_id {
        if !is_spiffe_id(id) {
            return Err(ArgFault::SpiffeId.error(id));
        }
        if args.ca.is_none() {
            return Err(ArgFault::IdWithoutCa.error(id));
        }
    }
    let origin = match (&client, &args.ca) {
        (Some(_), _) => Some("--cert"),
        (None, Some(_)) => Some("--ca"),
        (None, None) => None,
    };
    if let (Some(origin), false) = (origin, IS_BUILT) {
        let origin = origin.into();
        return Err(ArgsError::NoTls(ConfigError::NoTls { origin }));
    }
    let settings = TlsSettings {
        client,
        app_ca: args.ca.iter().map(|path| file("--ca", path)).collect(),
        app_id: args.expect_id.as_deref().map(Into::into),
        verifies_name: args.expect_id.is_none(),
        require_files: true,
        ..TlsSettings::default()
    };
    load_tls(&settings).map_err(ArgsError::Tls)
}

fn parse_source(target: &Target, text: Option<&str>) -> Result<Option<IpAddr>, ArgsError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let refuse = |fault: ArgFault| Err(fault.error(text));
    let Ok(source) = text.parse::<IpAddr>() else {
        return refuse(ArgFault::SourceIp);
    };
    match &target.dial {
        DialTarget::Unix(_) => refuse(ArgFault::SourceOfUnix),
        DialTarget::Host(host) => match host.parse::<IpAddr>() {
            Ok(ip) if ip.to_canonical().is_ipv4() != source.is_ipv4() => {
                refuse(ArgFault::SourceFamily)
            }
            _ => Ok(Some(source)),
        },
    }
}

fn parse_method(target: &Target, text: Option<&str>) -> Result<Method, ArgsError> {
    let Some(text) = text else {
        return Ok(Method::Get);
    };
    if !matches!(target.scheme, UrlScheme::Http(_)) {
        return Err(ArgFault::MethodWithoutHttp.error(text));
    }
    Method::parse(text).ok_or_else(|| ArgFault::Method.error(text))
}

/// The response that `--expect-status` and `--expect-body` expect.
fn parse_expect(
    scheme: UrlScheme,
    method: Method,
    args: &RawArgs,
) -> Result<Option<Box<Expect>>, ArgsError> {
    let (status, body) = (args.expect_status.as_deref(), args.expect_body.as_deref());
    match (status.or(body), scheme) {
        (None, _) => return Ok(None),
        (Some(_), UrlScheme::Http(_)) => {}
        (Some(text), UrlScheme::Tcp | UrlScheme::Grpc { .. }) => {
            return Err(ArgFault::ExpectWithoutHttp.error(text));
        }
    }
    let status = match status {
        Some(text) => StatusList::parse(text).ok_or_else(|| ArgFault::ExpectStatus.error(text))?,
        None => StatusList::default(),
    };
    let body = match body {
        Some(text) if method == Method::Head => return Err(ArgFault::ExpectBodyOfHead.error(text)),
        Some(text) => Some(BodyText::new(text).ok_or_else(|| ArgFault::ExpectBody.error(text))?),
        None => None,
    };
    Ok(Some(Box::new(Expect { status, body })))
}

/// The parts of a URL that the probe is made of.
struct ActionParts {
    scheme: UrlScheme,
    port: u16,
    request_target: Box<str>,
    service: Box<str>,
    expect: Option<Box<Expect>>,
}

/// The probe, and what `-H` sets beside it.
struct PlannedAction {
    action: Action,
    user_agent: Option<Box<str>>,
    metadata: Box<[Header]>,
}

impl ActionParts {
    fn plan(self, headers: &[String]) -> Result<PlannedAction, ArgsError> {
        let port = self.port;
        let scheme = match self.scheme {
            UrlScheme::Http(scheme) => scheme,
            UrlScheme::Tcp => {
                if let Some(header) = headers.first() {
                    let name = header.split(':').next().unwrap_or_default();
                    return Err(ArgFault::HeaderOfTcp.error(name));
                }
                return Ok(PlannedAction {
                    action: Action::Tcp { port },
                    user_agent: None,
                    metadata: Box::default(),
                });
            }
            UrlScheme::Grpc { tls } => {
                let CallHeaders {
                    user_agent,
                    metadata,
                } = parse_metadata(headers)?;
                let service = self.service;
                return Ok(PlannedAction {
                    action: Action::Grpc { port, service, tls },
                    user_agent,
                    metadata,
                });
            }
        };
        let list = headers.iter().map(|text| parse_header(text));
        let (host, headers) = headers::as_sent(list.collect::<Result<_, _>>()?);
        // The agent passes on the `User-Agent` of the request; an empty one removes the field.
        let user_agent = headers.iter().find(|header| *header.name == *"User-Agent");
        let user_agent = user_agent.map(|header| header.value.clone());
        let get = HttpGet {
            follows_redirects: true,
            expect: self.expect,
            scheme,
            protocol: Protocol::Http1,
            port,
            request_target: self.request_target,
            host,
            headers,
        };
        Ok(PlannedAction {
            action: Action::Http(get),
            user_agent,
            metadata: Box::default(),
        })
    }
}

/// What `-H` sets of a gRPC call.
struct CallHeaders {
    user_agent: Option<Box<str>>,
    metadata: Box<[Header]>,
}

fn parse_metadata(headers: &[String]) -> Result<CallHeaders, ArgsError> {
    let mut user_agent = None;
    for text in headers {
        let Header { name, value } = parse_header(text)?;
        if *name == *"User-Agent" {
            user_agent = user_agent.or(Some(value));
        } else if metadata::broken_rule(&name.to_lowercase(), &value).is_some() {
            return Err(ArgFault::Metadata.error(&name));
        }
    }
    let parsed = Metadata::parse(headers).map_err(|_| ArgFault::HeaderColon.error(""))?;
    Ok(CallHeaders {
        user_agent,
        metadata: parsed.fields,
    })
}

/// `Name: value`
fn parse_header(text: &str) -> Result<Header, ArgsError> {
    let Some((name, value)) = text.split_once(':') else {
        let word = text.split_ascii_whitespace().next();
        return Err(ArgFault::HeaderColon.error(word.unwrap_or_default()));
    };
    let name = headers::canonical_name(name).ok_or_else(|| ArgFault::HeaderName.error(name))?;
    if !headers::is_value(value) {
        return Err(ArgFault::HeaderValue.error(&name));
    }
    let value = headers::trim(value).into();
    Ok(Header { name, value })
}

/// A duration as Go writes it, or seconds such as `2.5`. More than none and at most `PROBE_TIMEOUT_MAX`.
fn parse_duration(text: &str) -> Option<Duration> {
    let is_decimal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let time = match is_decimal && text.bytes().any(|b| b.is_ascii_digit()) {
        true => go_duration::parse(&format!("{text}s"))?,
        false if text.starts_with(['+', '-']) => return None,
        false => go_duration::parse(text)?,
    };
    (!time.is_zero() && time <= limits::PROBE_TIMEOUT_MAX).then_some(time)
}

#[cfg(test)]
mod tests;
