//! The URL of `check`: the kind of probe, and where the connection goes.

use core::net::Ipv6Addr;

use rustix::net::SocketAddrUnix;

use super::args_error::{ArgFault, ArgsError};
use crate::config::Scheme;
use crate::wire::url;

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlScheme {
    /// `http` and `https`.
    Http(Scheme),
    /// `tcp`
    Tcp,
    /// `grpc` and `grpcs`.
    Grpc {
        /// Whether the call is made over TLS.
        tls: bool,
    },
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

    /// Whether the connection uses TLS.
    pub fn is_tls(self) -> bool {
        matches!(
            self,
            UrlScheme::Http(Scheme::Https) | UrlScheme::Grpc { tls: true }
        )
    }
}

/// Where a connection goes.
#[derive(Debug)]
pub enum DialTarget {
    /// A name or an address.
    Host(Box<str>),
    /// A UNIX socket.
    Unix(SocketAddrUnix),
}

/// A parsed URL.
#[derive(Debug)]
pub struct Target {
    /// Its scheme.
    pub scheme: UrlScheme,
    /// Where the connection goes.
    pub dial: DialTarget,
    /// The host, an IPv6 address in brackets; `localhost` of a UNIX socket.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// Whether the URL names the port.
    pub has_port: bool,
    /// The request-target of HTTP.
    pub request_target: Box<str>,
    /// The service of gRPC.
    pub service: Box<str>,
}

impl Target {
    /// Parses a URL.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Target, ArgsError> {
        let refuse = |fault: ArgFault| fault.error(text);
        for (prefix, scheme) in [
            ("http+unix:", UrlScheme::Http(Scheme::Http)),
            ("grpc+unix:", UrlScheme::Grpc { tls: false }),
        ] {
            let start = text.get(..prefix.len()).unwrap_or_default();
            if start.eq_ignore_ascii_case(prefix) {
                let rest = &text[prefix.len()..];
                return Target::unix(scheme, rest).ok_or_else(|| refuse(ArgFault::UnixSocket));
            }
        }
        if !text.contains("://") {
            return Err(refuse(ArgFault::NoScheme));
        }
        let (address, service) = match split_service(text) {
            Some((address, service)) => (address, service),
            None => (text, "".into()),
        };
        let url = url::parse_absolute(address).ok_or_else(|| refuse(parse_fault(text)))?;
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
        if matches!(scheme, UrlScheme::Grpc { .. }) && url.has_query {
            return Err(refuse(ArgFault::Service));
        }
        let host = parse_host(url.host).map_err(refuse)?;
        Ok(Target {
            scheme,
            dial: DialTarget::Host(host.trim_matches(['[', ']']).into()),
            host,
            port: parse_port(scheme, url.port).map_err(refuse)?,
            has_port: !url.port.is_empty(),
            request_target: url.request_target,
            service,
        })
    }

    /// `/SOCKET`, `///SOCKET` or `//SOCKET`, the latter with escapes as in a host; then `:/PATH`, or `/PATH` after the
    /// latter.
    fn unix(scheme: UrlScheme, rest: &str) -> Option<Target> {
        let (socket, path) = match rest.strip_prefix("//") {
            Some(rest) if !rest.starts_with('/') => {
                let (socket, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                (url::unescape(socket)?, path)
            }
            stripped => {
                let rest = stripped.unwrap_or(rest);
                let (socket, path) = rest.split_once(':').unwrap_or((rest, ""));
                (socket.into(), path)
            }
        };
        if !socket.starts_with('/') || !(path.is_empty() || path.starts_with(['/', '?'])) {
            return None;
        }
        let service = path.strip_prefix('/').unwrap_or(path);
        Some(Target {
            scheme,
            dial: DialTarget::Unix(SocketAddrUnix::new(&*socket).ok()?),
            host: "localhost".into(),
            port: 0,
            has_port: false,
            request_target: url::request_target(path).ok()?,
            service: url::unescape_valid(service),
        })
    }
}

/// Splits the service of a gRPC URL off: all characters after the first slash, escapes of a URL decoded.
fn split_service(text: &str) -> Option<(&str, Box<str>)> {
    let (scheme, rest) = text.split_once("://")?;
    if !matches!(UrlScheme::parse(scheme), Some(UrlScheme::Grpc { .. })) {
        return None;
    }
    let slash = rest.find('/')?;
    let address = &text[..scheme.len() + 3 + slash];
    Some((address, url::unescape_valid(&rest[slash + 1..])))
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
