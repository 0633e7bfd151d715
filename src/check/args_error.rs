//! Errors in the arguments of `check`: the argument, and what to write instead.

use core::fmt;

use super::synthetic_request::USER_AGENT_BYTES;
use crate::config::ConfigError;
use crate::limits;
use crate::probe::TlsSettingError;
use crate::text::{Quoted, Redacted};

/// An error in the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgsError {
    /// An argument has a value that is not valid.
    Value {
        /// The rule it breaks.
        fault: ArgFault,
        /// The URL or the value as given. For a header only its name, as its value may be a secret.
        value: Box<str>,
    },
    /// The client certificate cannot be used, for the same reasons as the agent's.
    Tls(TlsSettingError),
    /// A client certificate in a build without TLS.
    NoTls(ConfigError),
}

/// The rule that an argument breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgFault {
    /// A URL has no scheme.
    NoScheme,
    /// A URL that cannot be parsed.
    InvalidUrl,
    /// An unknown scheme.
    Scheme,
    /// A name or password in a URL.
    User,
    /// A URL has no host.
    NoHost,
    /// A host that is neither a name nor an address.
    Host,
    /// A URL has no port and its scheme no default; a valid example.
    NoPort(&'static str),
    /// An invalid port.
    Port,
    /// A path of a TCP URL.
    TcpPath,
    /// An invalid name of a gRPC service.
    Service,
    /// A UNIX socket whose path or request is not valid.
    UnixSocket,
    /// An invalid time.
    Timeout,
    /// The same of `--connect-timeout`.
    ConnectTimeout,
    /// A source address that is none.
    SourceIp,
    /// A source address of the other version of IP.
    SourceFamily,
    /// A source address for a UNIX socket.
    SourceOfUnix,
    /// Status codes that are none.
    ExpectStatus,
    /// An expected text that is empty or too long.
    ExpectBody,
    /// An expected response of a probe that is not HTTP.
    ExpectWithoutHttp,
    /// An expected text of a response without a body.
    ExpectBodyOfHead,
    /// An unknown method.
    Method,
    /// A method of a probe that is not HTTP.
    MethodWithoutHttp,
    /// Metadata that gRPC does not allow.
    Metadata,
    /// A SPIFFE ID that is none.
    SpiffeId,
    /// A SPIFFE ID without a CA.
    IdWithoutCa,
    /// A header without a colon.
    HeaderColon,
    /// A header's name that is not a token (RFC 9110 section 5.6.2).
    HeaderName,
    /// A control character in a header's value.
    HeaderValue,
    /// A `User-Agent` that makes the request head longer than the agent accepts.
    LongUserAgent,
    /// A header of a TCP probe.
    HeaderOfTcp,
    /// A flag of TLS, by its name, without TLS.
    PlainTls(&'static str),
    /// A key without its certificate.
    NoCert,
    /// A certificate without its key.
    NoKey,
}

impl ArgFault {
    /// The error for this value.
    pub(super) fn error(self, value: &str) -> ArgsError {
        let value = value.into();
        ArgsError::Value { fault: self, value }
    }

    /// Whether the value is a part of a header. Its `@` does not end a password.
    fn is_header_fault(self) -> bool {
        matches!(
            self,
            ArgFault::HeaderColon
                | ArgFault::HeaderName
                | ArgFault::HeaderValue
                | ArgFault::LongUserAgent
                | ArgFault::HeaderOfTcp
                | ArgFault::Metadata
        )
    }

    /// The text before the value, unless the text does not repeat the value.
    fn subject(self) -> Option<&'static str> {
        match self {
            ArgFault::NoScheme
            | ArgFault::InvalidUrl
            | ArgFault::Scheme
            | ArgFault::User
            | ArgFault::NoHost
            | ArgFault::Host
            | ArgFault::NoPort(_)
            | ArgFault::Port
            | ArgFault::TcpPath
            | ArgFault::UnixSocket
            | ArgFault::Service => Some("the URL is "),
            ArgFault::Timeout => Some("--timeout is "),
            ArgFault::ConnectTimeout => Some("--connect-timeout is "),
            ArgFault::SourceIp | ArgFault::SourceFamily | ArgFault::SourceOfUnix => {
                Some("--source-ip is ")
            }
            ArgFault::Method | ArgFault::MethodWithoutHttp => Some("--method is "),
            ArgFault::ExpectStatus => Some("--expect-status is "),
            ArgFault::ExpectBody => Some("--expect-body is "),
            ArgFault::SpiffeId => Some("--expect-id is "),
            ArgFault::HeaderColon => Some("-H is "),
            ArgFault::HeaderName
            | ArgFault::HeaderValue
            | ArgFault::LongUserAgent
            | ArgFault::Metadata
            | ArgFault::HeaderOfTcp => Some("-H names the header "),
            ArgFault::PlainTls(_)
            | ArgFault::ExpectWithoutHttp
            | ArgFault::ExpectBodyOfHead
            | ArgFault::IdWithoutCa
            | ArgFault::NoCert
            | ArgFault::NoKey => None,
        }
    }

    /// Writes the text after the value: what is wrong, and what to write.
    fn write_rule(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            ArgFault::NoCert => "--key requires --cert",
            ArgFault::NoKey => "--cert requires --key",
            ArgFault::PlainTls(flag) => {
                return write!(f, "{flag} requires an https:// or grpcs:// URL");
            }
            ArgFault::IdWithoutCa => "--expect-id requires --ca",
            ArgFault::ExpectWithoutHttp => {
                "--expect-status and --expect-body require an http:// or https:// URL"
            }
            ArgFault::ExpectBodyOfHead => {
                "--expect-body requires a response with a body: leave out --method HEAD"
            }
            ArgFault::ExpectStatus => {
                "but must be codes and ranges from 100 to 599: write one such as 200-299,401"
            }
            ArgFault::ExpectBody => {
                return write!(
                    f,
                    "but must have from 1 to {} bytes: write a part of the body",
                    limits::EXPECTED_BODY_BYTES
                );
            }
            ArgFault::SpiffeId => {
                "but must be a SPIFFE ID: write one such as spiffe://example.org/web"
            }
            ArgFault::SourceIp => "but must be an IP address: write one such as 127.0.0.6",
            ArgFault::SourceFamily => {
                "but the host of the URL is an address of the other version of IP: write one of the same version"
            }
            ArgFault::SourceOfUnix => "but a UNIX socket has no source address: leave it out",
            ArgFault::Method => "but must be GET, HEAD, OPTIONS or POST",
            ArgFault::MethodWithoutHttp => {
                "but only http and https requests have a method: leave it out"
            }
            ArgFault::Metadata => {
                "but gRPC metadata has a name of letters, digits, `.`, `_` and `-`, and a value of printable ASCII"
            }
            ArgFault::UnixSocket => {
                "but must have the path of a socket: write one such as http+unix:/run/app.sock:/healthz"
            }
            ArgFault::NoScheme => {
                "but must begin with http://, https://, tcp://, grpc://, grpcs://, http+unix: or grpc+unix:; \
                 write one such as http://10.0.0.7:8080/healthz"
            }
            ArgFault::InvalidUrl => {
                "which is not a URL: write one such as http://10.0.0.7:8080/healthz"
            }
            ArgFault::Scheme => {
                "but its scheme must be one of http, https, tcp, grpc, grpcs, http+unix, grpc+unix"
            }
            ArgFault::User => {
                "but it must not contain a name or password: write -H 'Authorization: Basic ...'"
            }
            ArgFault::NoHost => "but has no host: write one such as http://10.0.0.7:8080/healthz",
            ArgFault::Host => {
                "but its host must be a name, an IPv4 address, or an IPv6 address in brackets, \
                 without a zone: write one such as tcp://[::1]:8080"
            }
            ArgFault::NoPort(example) => {
                return write!(f, "but has no port: write one such as {example}");
            }
            ArgFault::Port => {
                "but its port must be a number from 1 to 65535: write one such as 8080"
            }
            ArgFault::TcpPath => {
                "but a TCP connection has no path: write http:// instead of tcp://, or remove everything after the port"
            }
            ArgFault::Service => {
                "but the name of the service must follow a slash: \
                 write one such as grpc://10.0.0.7:9090/my.package.Service"
            }
            ArgFault::Timeout | ArgFault::ConnectTimeout => {
                let most = limits::PROBE_TIMEOUT_MAX.as_secs();
                return write!(
                    f,
                    "but must be a duration, more than 0 and at most {most} seconds: write one such as 2.5 or 250ms"
                );
            }
            ArgFault::HeaderColon => {
                "but must be a name and a value: write one such as 'Host: example.org'"
            }
            ArgFault::HeaderName => {
                "but its name must not contain spaces, quotes or separators: \
                 write one such as 'X-Probe: liveness'"
            }
            ArgFault::HeaderValue => {
                "but its value has a line break or another control character: write it on one line"
            }
            ArgFault::LongUserAgent => {
                return write!(
                    f,
                    "but its value is too long: write at most {USER_AGENT_BYTES} bytes"
                );
            }
            ArgFault::HeaderOfTcp => "but a TCP connection has no headers: leave it out",
        };
        f.write_str(text)
    }
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fault, value) = match self {
            ArgsError::Value { fault, value } => (fault, value),
            ArgsError::Tls(error) => return error.fmt(f),
            ArgsError::NoTls(error) => return error.fmt(f),
        };
        if let Some(subject) = fault.subject() {
            match fault.is_header_fault() {
                true => write!(f, "{subject}{}, ", Quoted(value)),
                false => write!(f, "{subject}{}, ", Redacted(value)),
            }?;
        }
        fault.write_rule(f)
    }
}

impl core::error::Error for ArgsError {}
