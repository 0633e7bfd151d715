//! Parses the arguments of `probelet check` into one probe.

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use std::rc::Rc;

use rustix::net::SocketAddrUnix;

use super::args_error::{ArgFault, ArgsError};
use super::synthetic_request::{SyntheticRequest, USER_AGENT};
use crate::config::{
    Action, ClientCert, ConfigError, FileSetting, Header, HttpGet, Protocol, Scheme, TlsSettings,
    headers,
};
use crate::limits;
use crate::net::tls::{IS_BUILT, Tls};
use crate::probe::load_tls;
use crate::wire::url::{self, AbsoluteUrl};

/// The arguments, before any is parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawArgs {
    /// The URL.
    pub url: String,
    /// `--timeout`
    pub timeout: Option<String>,
    /// `-H`, in their order.
    pub headers: Vec<String>,
    /// `--cert`
    pub cert: Option<String>,
    /// `--key`
    pub key: Option<String>,
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
    /// The probe.
    pub action: Action,
    /// The request that kubelet would have sent to the agent, with the `User-Agent` of `-H`.
    pub request: SyntheticRequest,
    /// The `user-agent` of a gRPC call.
    pub user_agent: Box<str>,
    /// The metadata of a gRPC call.
    pub metadata: Box<[Header]>,
    /// The client certificate, if there is one.
    pub tls: Rc<Tls>,
    /// The limit of the whole check, name resolution included.
    pub timeout: Duration,
    /// The limit until a request can be sent, if it has its own: name resolution, connecting, the TLS handshake and
    /// the SETTINGS of gRPC.
    pub connect_timeout: Option<Duration>,
    /// The limit of a gRPC call, if it has its own.
    pub call_timeout: Option<Duration>,
    /// Whether each step is printed.
    pub is_verbose: bool,
    /// Whether the result is printed as JSON.
    pub is_json: bool,
}

/// Where a connection goes.
#[derive(Debug)]
pub enum DialTarget {
    /// A name or an address.
    Host(Box<str>),
    /// A UNIX socket.
    Unix(SocketAddrUnix),
}

impl Plan {
    /// Parses the arguments.
    ///
    /// # Errors
    /// The first argument that is not valid, alone or with the others.
    pub fn from_args(args: RawArgs) -> Result<Plan, ArgsError> {
        let target = Target::parse(&args.url)?;
        let timeout = match &args.timeout {
            Some(text) => parse_seconds(text).ok_or_else(|| ArgFault::Timeout.error(text))?,
            None => limits::DEFAULT_PROBE_TIMEOUT,
        };
        let tls = load_client_cert(target.scheme.client_cert(args.cert, args.key)?)?;
        let (host, has_port) = (target.host.clone(), target.has_port);
        let PlannedAction { action, user_agent } = target.into_action(&args.headers)?;
        let request = SyntheticRequest::new(user_agent.as_deref().unwrap_or(USER_AGENT));
        let request = request.ok_or_else(|| ArgFault::LongUserAgent.error("User-Agent"))?;
        Ok(Plan {
            url: args.url.into(),
            dial: DialTarget::Host(host.trim_matches(['[', ']']).into()),
            host,
            has_port,
            action,
            request,
            user_agent: USER_AGENT.into(),
            metadata: Box::default(),
            tls,
            timeout,
            connect_timeout: None,
            call_timeout: None,
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

/// The scheme of a URL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UrlScheme {
    Http(Scheme),
    Tcp,
    Grpc { tls: bool },
}

impl UrlScheme {
    fn parse(scheme: &str) -> Option<UrlScheme> {
        let schemes = [
            ("http", UrlScheme::Http(Scheme::Http)),
            ("https", UrlScheme::Http(Scheme::Https)),
            ("tcp", UrlScheme::Tcp),
            ("grpc", UrlScheme::Grpc { tls: false }),
            ("grpcs", UrlScheme::Grpc { tls: true }),
        ];
        let is_it = |(name, _): &(&str, UrlScheme)| name.eq_ignore_ascii_case(scheme);
        schemes.into_iter().find(is_it).map(|(_, scheme)| scheme)
    }

    /// The files of a client certificate and its key.
    fn client_cert(
        self,
        cert: Option<String>,
        key: Option<String>,
    ) -> Result<Option<ClientCert>, ArgsError> {
        let is_plain = !matches!(
            self,
            UrlScheme::Http(Scheme::Https) | UrlScheme::Grpc { tls: true }
        );
        match (cert, key) {
            (None, None) => Ok(None),
            (Some(cert), _) if is_plain => Err(ArgFault::PlainCert.error(&cert)),
            (None, Some(key)) if is_plain => Err(ArgFault::PlainKey.error(&key)),
            (None, Some(key)) => Err(ArgFault::NoCert.error(&key)),
            (Some(cert), None) => Err(ArgFault::NoKey.error(&cert)),
            (Some(cert), Some(key)) => {
                let file = |flag: &str, path: String| FileSetting {
                    origin: flag.into(),
                    path: path.into(),
                };
                Ok(Some(ClientCert {
                    cert: file("--cert", cert),
                    key: file("--key", key),
                }))
            }
        }
    }
}

/// Reads the files of the client certificate before the probe begins.
fn load_client_cert(client: Option<ClientCert>) -> Result<Rc<Tls>, ArgsError> {
    if client.is_some() && !IS_BUILT {
        let origin = "--cert".into();
        return Err(ArgsError::NoTls(ConfigError::NoTls { origin }));
    }
    let settings = TlsSettings {
        client,
        require_files: true,
        ..TlsSettings::default()
    };
    load_tls(&settings).map_err(ArgsError::Tls)
}

/// The target of a URL.
struct Target {
    scheme: UrlScheme,
    host: Box<str>,
    port: u16,
    has_port: bool,
    request_target: Box<str>,
    service: Box<str>,
}

/// The probe, and the `User-Agent` of `-H`.
struct PlannedAction {
    action: Action,
    user_agent: Option<Box<str>>,
}

impl Target {
    fn parse(text: &str) -> Result<Target, ArgsError> {
        let refuse = |fault: ArgFault| fault.error(text);
        if !text.contains("://") {
            return Err(refuse(ArgFault::NoScheme));
        }
        let url = url::parse_absolute(text).ok_or_else(|| refuse(parse_fault(text)))?;
        let scheme = UrlScheme::parse(url.scheme).ok_or_else(|| refuse(ArgFault::Scheme))?;
        if url.has_user {
            return Err(refuse(ArgFault::User));
        }
        if url.host.contains(':') && !text.contains('[') {
            return Err(refuse(ArgFault::Host));
        }
        if matches!(scheme, UrlScheme::Tcp) && (url.path.len() > 1 || url.has_query) {
            return Err(refuse(ArgFault::TcpPath));
        }
        Ok(Target {
            scheme,
            host: parse_host(url.host).map_err(refuse)?,
            port: parse_port(scheme, url.port).map_err(refuse)?,
            has_port: !url.port.is_empty(),
            service: parse_service(scheme, &url).map_err(refuse)?,
            request_target: url.request_target,
        })
    }

    fn into_action(self, headers: &[String]) -> Result<PlannedAction, ArgsError> {
        let port = self.port;
        let without_headers = |action| PlannedAction {
            action,
            user_agent: None,
        };
        let scheme = match (self.scheme, headers.first()) {
            (UrlScheme::Http(scheme), _) => scheme,
            (_, Some(header)) => {
                let name = header.split(':').next().unwrap_or_default();
                return Err(ArgFault::HeaderWithoutHttp.error(name));
            }
            (UrlScheme::Tcp, _) => return Ok(without_headers(Action::Tcp { port })),
            (UrlScheme::Grpc { tls }, _) => {
                let service = self.service;
                return Ok(without_headers(Action::Grpc { port, service, tls }));
            }
        };
        let list = headers.iter().map(|text| parse_header(text));
        let (host, headers) = headers::as_sent(list.collect::<Result<_, _>>()?);
        // The agent passes on the `User-Agent` of the request; an empty one removes the field.
        let user_agent = headers.iter().find(|header| *header.name == *"User-Agent");
        let user_agent = user_agent.map(|header| header.value.clone());
        let get = HttpGet {
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
        })
    }
}

/// Why a URL cannot be parsed. A `%` in the host is a zone: without its escape `%25` it is an invalid escape.
fn parse_fault(text: &str) -> ArgFault {
    let authority = text.split("://").nth(1).unwrap_or_default();
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.contains('%') {
        true => ArgFault::Host,
        false => ArgFault::InvalidUrl,
    }
}

/// The host, an IPv6 address in brackets.
fn parse_host(text: &str) -> Result<Box<str>, ArgFault> {
    let has_colon = text.contains(':');
    match text.parse::<Ipv6Addr>() {
        Ok(_) => Ok(format!("[{text}]").into()),
        Err(_) if text.is_empty() => Err(ArgFault::NoHost),
        // A zone, or a list of hosts.
        Err(_) if has_colon || text.contains('%') => Err(ArgFault::Host),
        Err(_) => Ok(text.into()),
    }
}

fn parse_port(scheme: UrlScheme, digits: &str) -> Result<u16, ArgFault> {
    match (scheme, digits) {
        (UrlScheme::Http(scheme), "") => Ok(scheme.default_port()),
        (UrlScheme::Grpc { tls: false }, "") => Err(ArgFault::NoPort("grpc://10.0.0.7:9090")),
        (UrlScheme::Grpc { tls: true }, "") => Err(ArgFault::NoPort("grpcs://10.0.0.7:9090")),
        (UrlScheme::Tcp, "") => Err(ArgFault::NoPort("tcp://10.0.0.7:8080")),
        _ => match digits.parse() {
            Ok(port) if port != 0 => Ok(port),
            _ => Err(ArgFault::Port),
        },
    }
}

/// The service of `grpc://host:port/service`. Its name is not unescaped: no valid name has an escape.
fn parse_service(scheme: UrlScheme, url: &AbsoluteUrl<'_>) -> Result<Box<str>, ArgFault> {
    if !matches!(scheme, UrlScheme::Grpc { .. }) {
        return Ok("".into());
    }
    let service = url.path.strip_prefix('/').unwrap_or(url.path);
    if url.has_query || service.contains(['/', '%']) {
        return Err(ArgFault::Service);
    }
    Ok(service.into())
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

/// Seconds with up to nine decimals, more than none and at most `PROBE_TIMEOUT_MAX`.
fn parse_seconds(text: &str) -> Option<Duration> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 9 {
        return None;
    }
    if whole.is_empty() || text.ends_with('.') {
        return None;
    }
    let digits = decimals.bytes().chain(core::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let time = Duration::new(whole.parse().ok()?, nanos);
    (!time.is_zero() && time <= limits::PROBE_TIMEOUT_MAX).then_some(time)
}

#[cfg(test)]
mod tests;
